#include "model/initial_state.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "formats/checkpoint_canonical.h"
#include "model/model.h"

namespace tern {
namespace {

constexpr std::string_view kTunedState = "blocks.*.att.time_state";

/// S of a layer from a file's [head, value, key]: RWKV-7 keeps that order, RWKV-5 and 6 keep [head, key, value].
void SetTunedLayer(const std::vector<float>& tuned, int64_t layer, State* state) {
  float* s = state->wkv(layer);
  const StateLayout& l = state->layout();
  if (l.generation == Generation::kRwkv7) {
    std::copy(tuned.begin(), tuned.end(), s);
    return;
  }
  const int64_t N = l.head_size;
  for (int64_t head = 0; head < l.heads; ++head) {
    const float* from = tuned.data() + head * N * N;
    float* to = s + head * N * N;
    for (int64_t value = 0; value < N; ++value) {
      for (int64_t key = 0; key < N; ++key) to[key * N + value] = from[value * N + key];
    }
  }
}

Status Refuse(const TensorSource& source, const std::string& why) {
  return InvalidArgument(fmt::format("tuned state '{}': {}", source.path(), why));
}

/// A tensor [H, N, N] as the model needs it, in the order [head, value, key].
Result<std::vector<float>> ReadTunedLayer(const TensorSource& source, const TensorInfo& info, const ModelConfig& c) {
  const Shape wanted = {c.heads, c.head_size, c.head_size};
  if (info.shape != wanted) {
    return Refuse(source, fmt::format("tensor '{}' has shape {}; the model needs {}", info.name, ToString(info.shape),
                                      ToString(wanted)));
  }
  const auto bytes = NumBytes(info.dtype, info.shape);
  if (!Traits(info.dtype).is_float || !bytes || *bytes != info.bytes.size()) {
    return Refuse(source, fmt::format("tensor '{}' is stored as {} in {} bytes", info.name, Name(info.dtype),
                                      info.bytes.size()));
  }
  CheckpointTensor tensor{.name = info.name, .dtype = info.dtype, .shape = info.shape, .bytes = info.bytes};
  tensor.transposed = source.format() == FileFormat::kSafetensors;
  std::vector<float> values(static_cast<size_t>(c.heads * c.head_size * c.head_size));
  ReadCanonical(tensor, values.data());
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) return Refuse(source, fmt::format("tensor '{}' holds {}", info.name, *bad));
  return values;
}

/// Whether it is not a state that Tern saved: those are safetensors without tensors of layers.
bool MayBeTuned(const TensorSource& source) {
  if (source.format() != FileFormat::kSafetensors) return true;
  const auto& tensors = source.tensors();
  return std::any_of(tensors.begin(), tensors.end(), [](const TensorInfo& t) { return SplitLayer(t.name).layer >= 0; });
}

}  // namespace

Status ReadInitialState(const Checkpoint& checkpoint, const ModelConfig& config, WeightLoader& loader, State* state) {
  if (FindInitialState(checkpoint) == nullptr) return OkStatus();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    VectorParam tuned;
    // A layer without one is an error of the loader, which names the tensor.
    loader.Vector(WithLayer(kTunedState, layer), tuned, {config.heads, config.head_size, config.head_size},
                  Role::kVector, Encoding::kPlain);
    TERN_RETURN_IF_ERROR(loader.status());
    SetTunedLayer(tuned.values, layer, state);
  }
  return OkStatus();
}

Result<State> LoadTunedState(const TensorSource& source, const ModelConfig& config) {
  if (config.generation == Generation::kRwkv4) {
    return Refuse(source, "the model is RWKV-4, whose state has another form");
  }
  if (source.format() != FileFormat::kPth && source.format() != FileFormat::kSafetensors) {
    return Refuse(source, fmt::format("the format {} holds no tuned states", Name(source.format())));
  }
  for (const TensorInfo& info : source.tensors()) {
    const LayeredName name = SplitLayer(info.name);
    if (name.pattern != kTunedState) {
      return Refuse(source, fmt::format("tensor '{}' is not a tuned state; expected blocks.N.att.time_state alone",
                                        info.name));
    }
    if (name.layer >= config.layers) {
      return Refuse(source, fmt::format("tensor '{}' is of layer {}; the model has {} layers", info.name, name.layer,
                                        config.layers));
    }
  }
  State state{StateLayout(config)};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string name = WithLayer(kTunedState, layer);
    const TensorInfo* info = source.Find(name);
    if (info == nullptr) {
      return Refuse(source, fmt::format("there is no tensor '{}'; the model has {} layers", name, config.layers));
    }
    TERN_ASSIGN_OR_RETURN(const std::vector<float> tuned, ReadTunedLayer(source, *info, config));
    SetTunedLayer(tuned, layer, &state);
  }
  return state;
}

Result<SavedState> LoadStartState(const std::string& path, const Model& model) {
  const auto source = OpenTensorSource(path);
  if (!source.ok() || !MayBeTuned(**source)) return LoadState(path, model.config(), model.Hash());
  SavedState start;
  TERN_ASSIGN_OR_RETURN(start.state, LoadTunedState(**source, model.config()));
  return start;
}

}  // namespace tern
