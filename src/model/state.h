// What an RWKV model remembers of all the text it has read: one contiguous slab of fp32, its size known from the config.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"

namespace tern {

/// Where things lie in a state. Layers one after the other; in each
///   att_shift [C]    the normalised input of TimeMix at the last token
///   ffn_shift [C]    the same of ChannelMix
///   wkv              RWKV-4: a [A], b [A], p [A];  RWKV-5 and 6: S [H, N (key), N (value)];
///                    RWKV-7: S [H, N (value), N (key)]
struct StateLayout {
  Generation generation = Generation::kRwkv4;
  int64_t layers = 0, width = 0, att_width = 0, heads = 0, head_size = 0;

  explicit StateLayout(const ModelConfig& config)
      : generation(config.generation),
        layers(config.layers),
        width(config.width),
        att_width(config.att_width),
        heads(config.heads),
        head_size(config.head_size) {}
  StateLayout() = default;

  int64_t WkvFloats() const {
    return generation == Generation::kRwkv4 ? 3 * att_width : heads * head_size * head_size;
  }
  int64_t LayerFloats() const { return 2 * width + WkvFloats(); }
  int64_t Floats() const { return layers * LayerFloats(); }
  bool operator==(const StateLayout&) const = default;
};

/// The state of one sequence. A value: copying it forks the sequence, keeping a copy allows rolling back. A state
/// belongs to the model that made it (Model::NewState). Not thread-safe; distinct states may be used at once.
class State {
 public:
  State() = default;
  /// The zero state: zeros, and RWKV-4's running maximum p = −1e38. What a model starts from is Model::NewState.
  explicit State(const StateLayout& layout);

  const StateLayout& layout() const { return layout_; }
  std::span<float> data() { return data_; }
  std::span<const float> data() const { return data_; }

  float* att_shift(int64_t layer) { return Layer(layer); }
  float* ffn_shift(int64_t layer) { return Layer(layer) + layout_.width; }
  float* wkv(int64_t layer) { return Layer(layer) + 2 * layout_.width; }

 private:
  float* Layer(int64_t layer) { return data_.data() + layer * layout_.LayerFloats(); }
  StateLayout layout_;
  std::vector<float> data_;
};

/// A state with what it stands for: enough to refuse it where it does not belong and to show what was said.
struct SavedState {
  State state;
  std::string model_hash;        ///< Model::Hash() of the model that made it
  std::vector<int32_t> tokens;   ///< every token it has seen, in order
  std::vector<float> logits;     ///< after the last token (V values), or empty: so that a resumed text needs no re-run
  std::string note;              ///< free text of the program (a chat keeps its turns here)
};

/// Writes a state atomically as safetensors; docs/formats/state.md draws the file.
Status SaveState(const SavedState& saved, const std::string& path);

/// Reads it back. Fails, naming both, when the file is no state, of another version, generation or shape, or when
/// its model hash differs from `model_hash`.
Result<SavedState> LoadState(const std::string& path, const ModelConfig& config, const std::string& model_hash);

}  // namespace tern
