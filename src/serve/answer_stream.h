// From other threads to the coroutine that answers.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "infer/engine.h"
#include "serve/http.h"

namespace tern::serve {

/// Wakes one coroutine. Ring is thread-safe; a ring that nobody waits for is remembered, several count as
/// one.
class Bell {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// `executor`: the exchange's, a strand.
  explicit Bell(boost::asio::any_io_executor executor);
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  void Ring();
  /// On the strand. False when there was no ring until `deadline`.
  Task<bool> Wait(TimePoint deadline = TimePoint::max());

 private:
  struct Sleeper;
  std::shared_ptr<Sleeper> sleeper_;
};

/// What the engine told since the last look.
struct AnswerEvents {
  struct Prompt {
    int number = 0;  ///< of the request's prompts
    PromptRead read = {};
  };
  std::vector<Prompt> prompts = {};
  std::vector<AnswerPiece> pieces = {};  ///< one per choice: those that came while nobody looked are joined
  std::vector<AnswerEnd> ends = {};

  bool empty() const { return prompts.empty() && pieces.empty() && ends.empty(); }
};

/// Hears of one client's answers. What waits to be looked at is bounded by the answers themselves.
class AnswerStream : public std::enable_shared_from_this<AnswerStream> {
 public:
  explicit AnswerStream(boost::asio::any_io_executor executor) : bell_(std::move(executor)) {}

  /// For the engine: this prompt's choices are counted from `first_choice` on.
  std::shared_ptr<EngineListener> Listener(int prompt, int first_choice);
  /// Waits until there is something, and takes it; nothing when there was nothing until `deadline`. One
  /// coroutine at a time, on the strand.
  Task<AnswerEvents> Next(Bell::TimePoint deadline = Bell::TimePoint::max());

 private:
  class Ear;
  Bell bell_;
  std::mutex mutex_;
  AnswerEvents events_;
};

/// Runs work that takes long (loading a model, compiling a grammar, writing a state) on a thread of its own,
/// one after the other, and resumes the coroutine on its executor. Work must not throw.
class Aside {
 public:
  Aside();
  ~Aside();
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  Task<void> Run(boost::asio::any_io_executor executor, std::function<void()> work);
  /// Waits for what runs; the coroutines' executors must still live. Nothing may be run afterwards.
  void Join();

 private:
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace tern::serve
