// An answer that the engine writes: one choice of a request.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "infer/continuation.h"
#include "infer/engine_task.h"

namespace tern {

/// Not thread-safe; distinct ones may step at once.
class AnswerWriter {
 public:
  /// `state`: after the request's text.
  static Result<std::unique_ptr<AnswerWriter>> Make(std::shared_ptr<EngineTask> task, int choice, State state,
                                                    const Tokenizer& tokenizer, SharedTokens uncounted);

  const std::shared_ptr<EngineTask>& task() const { return task_; }
  int64_t generated() const { return continuation_->generated(); }

  /// Adds the tokens to be read to a batch (one, but at the end of an answer); returns how many rows of
  /// logits it asks for, 0 or 1.
  int64_t AddTo(Batch* batch);
  /// What AddTo added was read; `logits`: [V] after it (or after the prompt, the first time), or empty where
  /// none were asked for. Chooses the next token, or ends. Never throws.
  void Step(std::span<const float> logits);
  /// Whether the last Step chose a token.
  bool chose() const { return chose_; }
  /// Notes that a token came; returns when the one before it did, or when the request came.
  Clock::time_point NoteToken(Clock::time_point now) { return std::exchange(token_time_, now); }
  /// Ends the answer where it stands. Where its place is to be handed back, one more pass follows. False
  /// when its text is over already.
  bool Cancel();
  /// Ends it with an error: what it read is not known, or of no use.
  void Fail(Status status);

  bool ended() const { return ended_; }
  /// What became certain since the last call; nothing when nothing did.
  std::optional<AnswerPiece> TakePiece();
  /// When ended: once.
  AnswerEnd TakeEnd();

 private:
  AnswerWriter(std::shared_ptr<EngineTask> task, int choice, State state)
      : task_(std::move(task)), choice_(choice), state_(std::move(state)), token_time_(task_->submitted) {}
  Status Choose(std::span<const float> logits);
  void Finish(StopReason reason);
  void ReadToTheEnd(std::vector<int32_t> rest, std::span<const float> logits);

  std::shared_ptr<EngineTask> task_;
  int choice_;
  State state_;
  std::optional<Sampler> sampler_;
  std::optional<Continuation> continuation_;
  std::vector<int32_t> read_;    ///< tokens of the answer that the state has seen
  std::vector<int32_t> unread_;  ///< those that the next pass reads
  bool chose_ = false;
  Clock::time_point token_time_;
  bool in_batch_ = false;  ///< they are in the pass that is being made

  struct HeldReport {
    size_t end;  ///< where the token's bytes end
    TokenReport report;
  };
  std::deque<HeldReport> held_reports_;
  AnswerPiece piece_;

  bool finishing_ = false;  ///< the text is over; what is unread leads to the place that is handed back
  bool ended_ = false;
  AnswerEnd end_;
  std::vector<float> end_logits_;  ///< with keep_states
};

}  // namespace tern
