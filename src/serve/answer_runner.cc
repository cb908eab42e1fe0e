#include "serve/answer_runner.h"

#include <chrono>
#include <optional>
#include <utility>

#include "serve/handler.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {
namespace {

/// A comment, which clients pass over.
constexpr std::string_view kPing = ": ping\n\n";

/// One job on its way: what is open, and what the client has got.
class Runner {
 public:
  Runner(ServiceContext& context, Exchange& exchange, AnswerJob job)
      : context_(context), exchange_(exchange), job_(std::move(job)) {}

  Task<void> Run() {
    std::optional<ApiError> error = Submit();
    if (error) co_return co_await SendError(exchange_, *error);
    bool there = true;
    if (job_.stream) there = co_await Begin();
    while (there && !error && open_ > 0) {
      AnswerEvents news = co_await stream_->Next(deadline_);
      std::string events;
      if (news.empty()) events = kPing;
      error = co_await Take(std::move(news), &events);
      there = !exchange_.gone();
      if (there && !error && job_.stream && !events.empty()) there = co_await Write(events);
    }
    Log();
    if (error || open_ > 0) Cancel();
    co_await Finish(error);
  }

 private:
  std::optional<ApiError> Submit() {
    stream_ = std::make_shared<AnswerStream>(exchange_.executor());
    std::vector<EngineCall> calls;
    for (EngineRequest& request : job_.requests) {
      const int choices = request.choices;
      calls.push_back({std::move(request), stream_->Listener(static_cast<int>(calls.size()), open_)});
      open_ += choices;
    }
    auto tickets = job_.model->engine().SubmitAll(std::move(calls));
    if (!tickets.ok()) return context_.stopping ? Stopping() : ToApiError(tickets.status());
    tickets_ = std::move(*tickets);
    exchange_.OnGone([model = job_.model, tickets = tickets_, stream = stream_] {
      for (const Engine::Ticket ticket : tickets) model->engine().Cancel(ticket);
    });
    return std::nullopt;
  }

  void Cancel() {
    for (const Engine::Ticket ticket : tickets_) job_.model->engine().Cancel(ticket);
  }

  Task<std::optional<ApiError>> Take(AnswerEvents news, std::string* events) {
    for (const auto& prompt : news.prompts) job_.writer->OnPrompt(prompt.number, prompt.read, events);
    for (const AnswerPiece& piece : news.pieces) job_.writer->OnPiece(piece, events);
    for (const AnswerEnd& end : news.ends) {
      --open_;
      if (auto failure = Failure(end)) co_return failure;
      KeptEnd kept;
      if (job_.keep_state && end.state) kept = co_await Keep(end.state);
      job_.writer->OnEnd(end, kept, events);
    }
    co_return std::nullopt;
  }

  /// Saves the state; a session's replaces its old one. The answer is complete by now, so a failure becomes a
  /// warning in the answer.
  Task<KeptEnd> Keep(std::shared_ptr<const KeptState> state) {
    const std::string& session = job_.session.name();
    std::optional<Result<StateInfo>> saved;
    std::function<void()> save = [&] {
      StateCache& cache = job_.model->cache();
      saved = !session.empty() ? cache.Replace(job_.owner, job_.parent, state, "", SessionNote(session))
              : job_.evictable ? cache.SaveEvictable(job_.owner, state, job_.parent, "")
                               : cache.Save(job_.owner, state, job_.parent, "");
    };
    co_await context_.preparing.Run(exchange_.executor(), std::move(save));
    if (saved->ok()) co_return KeptEnd{.id = (*saved)->id};
    const ApiError error = StoreFault(saved->status());
    const char* what = session.empty() ? "the state of this answer was not kept: "
                                       : "the session still ends before this question and answer: ";
    co_return KeptEnd{.warning = what + error.message, .code = error.code};
  }

  /// The head of a stream, before there is anything to say: a client that waits for a long prompt to be read
  /// knows that it is.
  Task<bool> Begin() {
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("Cache-Control", "no-cache, no-transform");
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx would collect the pieces
    const Status begun = co_await exchange_.Begin(std::move(head));
    NoteWritten();
    co_return begun.ok();
  }

  Task<bool> Write(std::string_view events) {
    const Status written = co_await exchange_.Write(events);
    NoteWritten();
    co_return written.ok();
  }

  void NoteWritten() { deadline_ = std::chrono::steady_clock::now() + context_.longest_silence; }

  Task<void> Finish(const std::optional<ApiError>& error) {
    if (!job_.stream) co_return co_await SendWhole(error);
    std::string last;
    if (error) {
      last = ErrorEvent(*error);
    } else if (open_ == 0) {
      job_.writer->OnFinish(&last);
    }
    if (last.empty()) co_return;
    const bool written = co_await Write(last);
    if (!written) co_return;
    const Status ended = co_await exchange_.End();
    static_cast<void>(ended);
  }

  Task<void> SendWhole(const std::optional<ApiError>& error) {
    if (exchange_.gone() && (error || open_ > 0)) co_return;
    if (error) co_return co_await SendError(exchange_, *error);
    HttpResponse response;
    response.body = job_.writer->Whole();
    const Status sent = co_await exchange_.Send(std::move(response));
    static_cast<void>(sent);
  }

  void Log() {
    exchange_.Log("model", job_.model->name());
    exchange_.Log("prompt_tokens", std::to_string(job_.writer->prompt_tokens()));
    exchange_.Log("cached_tokens", std::to_string(job_.writer->cached_tokens()));
    exchange_.Log("completion_tokens", std::to_string(job_.writer->completion_tokens()));
  }

  ServiceContext& context_;
  Exchange& exchange_;
  AnswerJob job_;
  std::shared_ptr<AnswerStream> stream_;
  std::vector<Engine::Ticket> tickets_;
  int open_ = 0;                                       // choices that have not ended
  Bell::TimePoint deadline_ = Bell::TimePoint::max();  // of a stream's silence
};

}  // namespace

Task<void> RunJob(ServiceContext& context, Exchange& exchange, AnswerJob job) {
  Runner runner(context, exchange, std::move(job));
  co_await runner.Run();
}

}  // namespace tern::serve
