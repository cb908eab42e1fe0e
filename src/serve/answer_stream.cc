#include "serve/answer_stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>
#include <utility>

namespace tern::serve {

namespace asio = boost::asio;

struct Bell::Sleeper {
  explicit Sleeper(const asio::any_io_executor& on) : executor(on), timer(on) {}

  asio::any_io_executor executor;
  asio::steady_timer timer;  // cancelling it wakes; used on the strand only
  std::mutex mutex;
  bool rung = false, asleep = false;
};

Bell::Bell(asio::any_io_executor executor) : sleeper_(std::make_shared<Sleeper>(executor)) {}
Bell::~Bell() = default;

void Bell::Ring() {
  {
    const std::lock_guard lock(sleeper_->mutex);
    sleeper_->rung = true;
    if (!std::exchange(sleeper_->asleep, false)) return;
  }
  // On the strand, so not before the coroutine that went to sleep there waits for the timer.
  asio::post(sleeper_->executor, [sleeper = sleeper_] { sleeper->timer.cancel(); });
}

Task<bool> Bell::Wait(TimePoint deadline) {
  const std::shared_ptr<Sleeper> sleeper = sleeper_;
  for (;;) {
    {
      const std::lock_guard lock(sleeper->mutex);
      const bool rung = std::exchange(sleeper->rung, false);
      sleeper->asleep = !rung && std::chrono::steady_clock::now() < deadline;
      if (!sleeper->asleep) co_return rung;
    }
    sleeper->timer.expires_at(deadline);
    co_await sleeper->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

class AnswerStream::Ear final : public EngineListener {
 public:
  Ear(std::shared_ptr<AnswerStream> stream, int prompt, int first_choice)
      : stream_(std::move(stream)), prompt_(prompt), first_choice_(first_choice) {}

  void OnPrompt(PromptRead read) override {
    Put([&](AnswerEvents* events) { events->prompts.push_back({prompt_, std::move(read)}); });
  }
  void OnPiece(AnswerPiece piece) override {
    piece.choice += first_choice_;
    Put([&](AnswerEvents* events) { Join(std::move(piece), &events->pieces); });
  }
  void OnEnd(AnswerEnd end) override {
    end.choice += first_choice_;
    Put([&](AnswerEvents* events) { events->ends.push_back(std::move(end)); });
  }

 private:
  template <typename Add>
  void Put(Add add) {
    {
      const std::lock_guard lock(stream_->mutex_);
      add(&stream_->events_);
    }
    stream_->bell_.Ring();
  }

  /// Joins a piece with the one of its choice that still waits.
  static void Join(AnswerPiece piece, std::vector<AnswerPiece>* pieces) {
    for (AnswerPiece& waiting : *pieces) {
      if (waiting.choice != piece.choice) continue;
      waiting.text += piece.text;
      std::move(piece.tokens.begin(), piece.tokens.end(), std::back_inserter(waiting.tokens));
      waiting.generated = piece.generated;
      return;
    }
    pieces->push_back(std::move(piece));
  }

  std::shared_ptr<AnswerStream> stream_;
  int prompt_, first_choice_;
};

std::shared_ptr<EngineListener> AnswerStream::Listener(int prompt, int first_choice) {
  return std::make_shared<Ear>(shared_from_this(), prompt, first_choice);
}

Task<AnswerEvents> AnswerStream::Next(Bell::TimePoint deadline) {
  for (bool waiting = true;;) {
    AnswerEvents events;
    {
      const std::lock_guard lock(mutex_);
      events = std::exchange(events_, {});
    }
    if (!events.empty() || !waiting) co_return events;
    waiting = co_await bell_.Wait(deadline);
  }
}

struct Aside::Pool {
  asio::thread_pool threads{1};
};

Aside::Aside() : pool_(std::make_unique<Pool>()) {}
Aside::~Aside() = default;
void Aside::Join() { pool_->threads.join(); }

Task<void> Aside::Run(asio::any_io_executor executor, std::function<void()> work) {
  co_await asio::post(asio::bind_executor(pool_->threads.get_executor(), asio::use_awaitable));
  work();
  co_await asio::post(asio::bind_executor(executor, asio::use_awaitable));
}

}  // namespace tern::serve
