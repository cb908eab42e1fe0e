// A prompt that the engine reads, piece by piece.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "infer/embedding.h"
#include "infer/engine_task.h"

namespace tern {

/// Not thread-safe.
class PromptReader {
 public:
  /// Begins at `start` (a place in the text, of this model; null: at its beginning). `piece`: tokens per
  /// pass; pieces end at multiples of it, counted from the beginning of the text, so that how a text is cut
  /// depends on nothing but the text.
  PromptReader(std::shared_ptr<EngineTask> task, std::shared_ptr<const KeptState> start, const Model& model,
               int64_t piece);

  const std::shared_ptr<EngineTask>& task() const { return task_; }
  int64_t position() const { return position_; }  ///< tokens read, cached ones included
  int64_t cached() const { return cached_; }
  bool done() const { return position_ == static_cast<int64_t>(task_->text.size()); }

  /// Where this text and another's part, rounded down to where pieces end (the end, where they are the same):
  /// both come to the same place there. 0 when their owners differ or one of them shares nothing.
  int64_t CommonWith(const PromptReader& other) const;
  /// Reads nothing until `leader` has come to `until`, which both have in common.
  void Follow(const PromptReader& leader, int64_t until);
  bool following() const { return leader_ != 0; }
  Engine::Ticket leader() const { return leader_; }
  int64_t follows_until() const { return until_; }
  /// Goes on where the leader is, or (null) where it is itself.
  void StopFollowing(const PromptReader* leader);

  /// What the next pass reads; empty when done.
  std::span<const int32_t> NextPiece() const;
  /// How many rows a piece asks for.
  struct Rows {
    int64_t logits = 0, hidden = 0;
  };
  /// Adds it to a batch.
  Rows AddTo(Batch* batch);
  /// The pass was made; the rows asked for. `logits` must stay valid as long as last_logits() is used.
  void Took(std::span<const float> logits, std::span<const float> hidden);

  /// Of an embedding, when done.
  Result<std::vector<float>> Embedding() const { return pool_->Vector(); }
  /// When done: [V], after the last token.
  std::span<const float> last_logits() const { return last_logits_; }
  const State& state() const { return state_; }
  /// A copy of this place, when done with logits.
  std::shared_ptr<const KeptState> Place() const;
  State TakeState() { return std::move(state_); }
  std::vector<TokenReport> TakeReports() { return std::move(reports_); }

 private:
  int64_t Pooled(int64_t end) const;
  void Report(std::span<const float> rows);

  std::shared_ptr<EngineTask> task_;
  std::shared_ptr<const KeptState> start_;
  int64_t piece_;
  int64_t vocab_;
  State state_;
  int64_t position_ = 0, cached_ = 0;
  Engine::Ticket leader_ = 0;  ///< whom it follows; 0: nobody
  int64_t until_ = 0;
  std::span<const float> last_logits_;
  std::vector<TokenReport> reports_;
  std::optional<EmbeddingPool> pool_;  ///< of an embedding
};

}  // namespace tern
