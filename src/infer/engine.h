// Continuous batching: one thread owns the model's passes, and generations join and leave its batch at any
// step.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/status.h"
#include "infer/generator.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/state_cache.h"
#include "infer/token_report.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern {

/// What an answer wants. Plain data.
struct EngineRequest {
  /// Whose kept states it may begin from and whose the ones it leaves are; nobody else ever sees them.
  std::string owner = {};
  /// The text so far, from its very beginning, or, with `from`, what follows there.
  std::vector<int32_t> prompt = {};
  /// A place to go on from; the prompt may then be empty if the place has logits. (With `prompt_logprobs`:
  /// not allowed.) Null: the longest kept beginning of the prompt, or an empty state.
  std::shared_ptr<const KeptState> from = nullptr;
  SamplingOptions sampling = {};
  GenerateOptions generate = {};  ///< `constraint`: every choice gets a copy
  int choices = 1;        ///< continuations of the one prompt; choice i is sampled with `sampling.seed` + i
  int top_logprobs = -1;  ///< of how many tokens each event tells; −1: no log-probabilities at all
  /// Log-probabilities of the prompt's own tokens (it is then read in full), and of every generated
  /// token, also of those that end the answer and are not part of its text.
  bool prompt_logprobs = false;
  bool keep_states = false;      ///< hand back the place where each choice ends
  bool cache = true;             ///< look for kept beginnings and leave some
  /// Keep the last place before the prompt's end where pieces end as well: for prompts whose last few tokens
  /// longer texts will not have.
  bool keep_before_end = false;
};

struct PromptRead {
  int64_t tokens = 0;  ///< of the whole text before the answer
  int64_t cached = 0;  ///< of them not read again
  std::vector<TokenReport> logprobs =
      {};  ///< with prompt_logprobs: of tokens 1, 2, … (nothing comes before the first)
};

struct AnswerPiece {
  int choice = 0;
  std::string text = {};                 ///< that became certain: whole characters, never part of a stop text
  std::vector<TokenReport> tokens = {};  ///< with top_logprobs ≥ 0: those whose text this piece completes
  int64_t generated = 0;                 ///< tokens so far
};

struct AnswerEnd {
  int choice = 0;
  Status status = {};  ///< the answer is as far as it came when not ok
  StopReason reason = StopReason::kLength;
  int64_t generated = 0;
  std::shared_ptr<const KeptState> state = {};  ///< with keep_states: having read just what was shown
  bool refused = false;  ///< it waited and had to give way to another owner's (status kUnavailable)
};

/// Hears of one request. Called on the engine's thread, in this order: OnPrompt, OnPiece…, and always one
/// OnEnd per choice (alone where the prompt was not read to its end). Calls must return at once (hand the
/// data over). One that throws has its request cancelled.
class EngineListener {
 public:
  virtual ~EngineListener() = default;
  virtual void OnPrompt(PromptRead read) = 0;
  virtual void OnPiece(AnswerPiece piece) = 0;
  virtual void OnEnd(AnswerEnd end) = 0;
};

/// A request and who hears of it.
struct EngineCall {
  EngineRequest request = {};
  std::shared_ptr<EngineListener> listener = {};
};

/// What a text means to the model, as one vector (docs/embeddings.md).
struct EmbeddingResult {
  Status status = {};
  std::vector<float> vector = {};  ///< of length 1
  int64_t tokens = 0;
  bool refused = false;  ///< as AnswerEnd's
};

struct EngineOptions {
  int max_batch = 64;   ///< answers that are written at once
  /// Requests that wait beyond them, a list counting as one; more are refused (kUnavailable).
  int max_queue = 256;
  int64_t prompt_chunk =
      64;  ///< tokens of prompts that one step reads at most: the time between two tokens of others
  int64_t snapshot_every = 1024;  ///< tokens of a prompt between places that are kept for others to begin at
};

/// For the metrics; all counts since the start.
struct EngineStats {
  static constexpr double kRateSeconds = 5;

  int64_t waiting = 0, reading = 0,
          writing = 0;  ///< requests in the queue, prompts being read, answers being written
  /// Each of a list counts; those that gave way to another owner's are among `requests` and `refused`.
  int64_t requests = 0, refused = 0, cancelled = 0, failed = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int64_t steps = 0;        ///< forward passes
  double busy_seconds = 0;  ///< in them, sampling included
  double prompt_rate = 0,
         generated_rate = 0;                     ///< tokens per second, over about the last kRateSeconds
  Histogram queue_seconds = SecondsHistogram();  ///< from submission to the first pass
  Histogram first_token_seconds = SecondsHistogram();  ///< from submission to a choice's first token
  Histogram token_seconds = SecondsHistogram();        ///< between two tokens of an answer
  Histogram batch = Histogram({1, 2, 4, 8, 16, 32, 64, 128, 256});  ///< answers written by a pass
};

struct EngineTask;

/// Thread-safe. Destroying it cancels what still runs (kCancelled, with status kUnavailable); not from a
/// listener.
class Engine {
 public:
  /// A handle on a submitted request.
  using Ticket = uint64_t;

  /// `cache` may be null and may be shared by engines of the same model.
  Engine(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
         std::shared_ptr<StateCache> cache, const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a request. Fails at once for tokens outside the vocabulary, options out of range, an empty text,
  /// a place of another model, and kUnavailable when the queue is full or the engine is stopping. One that
  /// waits in a full queue may have to give way to another owner's later: it then ends as `refused`.
  Result<Ticket> Submit(EngineRequest request, std::shared_ptr<EngineListener> listener);
  /// Queues a list, of one owner: it takes one place in the queue until all of it has been admitted, however
  /// long it is. All are taken, or none.
  Result<std::vector<Ticket>> SubmitAll(std::vector<EngineCall> calls);
  /// The answer ends with StopReason::kCancelled before the next step (with `keep_states` after it, so that
  /// the place has read all that was shown); its listener is still told. Unknown tickets are ignored (it may
  /// have ended already).
  void Cancel(Ticket ticket);

  /// Queues a text for its embedding; the callback is called on the engine's thread.
  Result<Ticket> Embed(std::string owner, std::vector<int32_t> tokens,
                       std::function<void(EmbeddingResult)> done);
  /// Queues a list as SubmitAll does; the callback is told which of the texts it is.
  Result<std::vector<Ticket>> EmbedAll(const std::string& owner, std::vector<std::vector<int32_t>> texts,
                                       const std::function<void(size_t, EmbeddingResult)>& done);

  /// Takes no more requests, and waits until all have ended or `deadline` has passed; then cancels the rest.
  /// True when nothing had to be cancelled.
  bool Drain(std::chrono::steady_clock::time_point deadline);

  EngineStats stats() const;
  const Model& model() const;
  const Tokenizer& tokenizer() const;
  const EngineOptions& options() const;

 private:
  class Loop;
  Result<std::shared_ptr<EngineTask>> NewTask(EngineRequest request,
                                              std::shared_ptr<EngineListener> listener) const;
  Result<std::shared_ptr<EngineTask>> NewTask(const std::string& owner, const std::vector<int32_t>& tokens,
                                              std::function<void(EmbeddingResult)> done) const;
  std::unique_ptr<Loop> loop_;
};

}  // namespace tern
