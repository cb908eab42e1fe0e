// A model that can be run: weights, and the one forward pass that serves decoding, prefill and any mixture of them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/config.h"
#include "model/layer_stream.h"
#include "model/state.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace tern {

class Architecture;

/// Which rows of a sequence's tokens give logits.
enum class Logits { kNone, kLast, kAll };

/// Tokens of several sequences, one after the other: a decode step is many sequences of one token, a prefill one
/// sequence of many, and any mixture is the same call.
class Batch {
 public:
  /// Adds a sequence. `state` is read and updated by Forward; a state may stand in a batch only once. `hidden`:
  /// the hidden vectors of all these tokens are wanted too.
  void Add(std::span<const int32_t> tokens, State* state, Logits wanted, bool hidden = false);
  void Clear();

  const std::vector<int32_t>& tokens() const { return tokens_; }      ///< [T]
  const std::vector<int64_t>& starts() const { return starts_; }      ///< [S + 1]
  const std::vector<State*>& states() const { return states_; }       ///< [S]
  const std::vector<int64_t>& logit_rows() const { return logit_rows_; }  ///< rows of [T] whose logits are wanted
  const std::vector<int64_t>& hidden_rows() const { return hidden_rows_; }  ///< and whose hidden vectors are

 private:
  std::vector<int32_t> tokens_;
  std::vector<int64_t> starts_ = {0};
  std::vector<State*> states_;
  std::vector<int64_t> logit_rows_, hidden_rows_;
};

/// What running a model costs, from its shapes.
struct Footprint {
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;          ///< as stored, all tensors in use
  uint64_t bytes_per_token = 0;       ///< weights read to decode one token (of the embedding, one row)
  uint64_t flop_per_token = 0;        ///< multiply-adds of the matrices and of WKV, times two
  uint64_t state_bytes = 0;           ///< of one sequence
  uint64_t streamed_bytes = 0;        ///< of the weights, those that every pass reads from the file: memory has no room
  uint64_t memory_bytes = 0;          ///< predicted resident memory: weights, one state, scratch of a 256-token chunk
};

/// Weights of any generation, ready to run. Immutable: Forward may be called from several threads at once, with
/// distinct states and workspaces.
class Model {
 public:
  /// Opens a weight file (or a folder with one) and checks every tensor's shape against the others. The file stays
  /// mapped; `placement` says whether matrices are used there. With `state_in` every text starts from what that file
  /// says (LoadStartState), not from the model's own initial state; Hash is another then.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path, Placement placement = Placement::kAuto,
                                                   const std::string& state_in = {});
  static Result<std::shared_ptr<const Model>> FromCheckpoint(std::shared_ptr<const Checkpoint> checkpoint,
                                                             Placement placement = Placement::kAuto);
  ~Model();

  const ModelConfig& config() const { return config_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const Footprint& footprint() const { return footprint_; }
  /// The state that every text starts from: zeros, the file's tuned state (att.time_state), or what Load was given.
  State NewState() const { return initial_state_; }

  /// Runs all tokens of the batch and updates the states. Appends nothing, but sets `logits` to
  /// [batch.logit_rows().size(), V], and `hidden`, where it is given, to [batch.hidden_rows().size(), C]: what the head
  /// makes logits of (after ln_out). Tokens outside the vocabulary, or a foreign state, are errors found before
  /// anything is changed. Results depend neither on the number of threads nor on what else is in the batch.
  Status Forward(const Batch& batch, Workspace& workspace, std::vector<float>* logits,
                 std::vector<float>* hidden = nullptr) const;

  /// 128 bits over the configuration, every byte of the weights and the initial state, in hexadecimal: states that
  /// follow from another start are another model's. Reads the whole file at the first call (a second per 10 GB);
  /// thread-safe.
  const std::string& Hash() const;

  /// The first tensor that holds NaN or infinity, as a sentence, or an empty string: for explaining NaN logits.
  std::string FindNonFinite() const;

 private:
  Model() = default;
  static Result<std::shared_ptr<Model>> Build(std::shared_ptr<const Checkpoint> checkpoint, Placement placement);
  Status LoadWeights(Placement placement);
  Status StartFrom(const std::string& path);
  void Embed(std::span<const int32_t> tokens, float* x) const;
  void StreamWeights();
  void NormaliseRows(const float* x, const std::vector<int64_t>& rows, float* y) const;
  void MeasureFootprint(const WeightLoader& loader);

  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelConfig config_;
  PageBuffer arena_;                 ///< what matrices were copied into
  MatrixParam emb_, head_;           ///< [V, C] both
  LayerNormParam ln0_, ln_out_;      ///< [C]
  std::unique_ptr<Architecture> architecture_;
  std::unique_ptr<LayerStream> stream_;  ///< where matrices stay in the file; a pass enters and leaves its parts
  State initial_state_;
  Footprint footprint_;
  mutable std::once_flag hash_once_;
  mutable std::string hash_;
  std::string start_hash_;  ///< with a start state from a file of its own: what Hash gives instead of hash_
};

}  // namespace tern
