// One running text: a model's state, the logits after its last token, and the tokens it has seen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/model.h"

namespace tern {

/// Tokens of a prompt that go through the model in one pass. Long prompts are cut: memory stays bounded, and
/// progress and cancellation come between the pieces.
inline constexpr int64_t kPromptChunk = 256;

/// Called after each chunk; false stops (kCancelled).
using FeedProgress = std::function<bool(int64_t done, int64_t total)>;

/// Where a session stands. A value: keep it to roll back, hand it to another session of the same model to
/// fork.
struct Snapshot {
  State state;
  std::vector<float> logits;  ///< [V], or empty before the first token
  size_t tokens = 0;          ///< how many had been seen
};

/// Movable, not copyable (Fork copies). Not thread-safe; several sessions may share a model.
class Session {
 public:
  /// `remember_tokens`: keep every token seen (4 bytes each), so that the state can be saved with its
  /// history.
  explicit Session(std::shared_ptr<const Model> model, bool remember_tokens = true);

  /// Reads tokens. When `progress` stops it, what was read so far stays read: restore a snapshot to undo
  /// that.
  Status Feed(std::span<const int32_t> tokens, const FeedProgress& progress = {});
  Status Feed(int32_t token) { return Feed({&token, 1}); }

  /// After the last token, [V]; empty before the first.
  const std::vector<float>& logits() const { return logits_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  size_t tokens_seen() const { return seen_; }
  const Model& model() const { return *model_; }
  const State& state() const { return state_; }

  Snapshot Take() const { return {state_, logits_, seen_}; }
  /// Back to a snapshot of this session's own past, or forward to one whose tokens are this session's.
  void Restore(const Snapshot& snapshot);
  Session Fork() const;
  /// Back to where the session began: the model's initial state, or what StartFrom read.
  void Reset();

  /// On disk, with the model's hash; `note` is free text for the program.
  Status Save(const std::string& path, std::string note = {}) const;
  /// Replaces this session's place by the file's; returns its note. On an error nothing changes.
  Result<std::string> Load(const std::string& path);
  /// Load, and from now on Reset goes back there. The file may also hold tuned states
  /// (model/initial_state.h).
  Result<std::string> StartFrom(const std::string& path);

 private:
  void GoTo(const SavedState& saved);

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Workspace> workspace_;
  State state_;
  std::vector<float> logits_;
  std::vector<int32_t> tokens_;
  size_t seen_ = 0;
  std::shared_ptr<const SavedState> start_;  ///< null: the model's initial state
  bool remember_;
};

}  // namespace tern
