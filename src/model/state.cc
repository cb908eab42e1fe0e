#include "model/state.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "formats/tensor_source.h"

namespace tern {
namespace {

constexpr const char* kFormat = "tern.state";
constexpr const char* kVersion = "1";
constexpr float kNoMaximum = -1e38f;  // RWKV-4's p before the first token: e^{p−q} is 0, and p+w stays finite

std::string Describe(const StateLayout& l) {
  return fmt::format("{} with {} layers, width {}, attention width {}, {} heads", Name(l.generation), l.layers, l.width,
                     l.att_width, l.heads);
}

template <typename T>
OutputTensor View(std::string name, DType dtype, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {std::move(name), dtype, {static_cast<int64_t>(values.size())}, [bytes]() -> Result<TensorBytes> {
            return TensorBytes{.view = bytes, .owned = {}};
          }};
}

template <typename T>
Result<std::vector<T>> ReadVector(const TensorSource& source, const char* name, DType dtype) {
  const TensorInfo* tensor = source.Find(name);
  if (tensor == nullptr) return Corrupt(fmt::format("state file '{}' has no tensor '{}'", source.path(), name));
  if (tensor->dtype != dtype || tensor->shape.size() != 1) {
    return Corrupt(fmt::format("state file '{}': tensor '{}' is {} {}; expected one dimension of {}", source.path(), name,
                               Name(tensor->dtype), ToString(tensor->shape), Name(dtype)));
  }
  std::vector<T> values(tensor->bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor->bytes.data(), values.size() * sizeof(T));
  return values;
}

std::string Text(const Metadata& metadata, const char* key) {
  const auto it = metadata.find(key);
  const auto* text = it == metadata.end() ? nullptr : std::get_if<std::string>(&it->second);
  return text == nullptr ? std::string() : *text;
}

}  // namespace

State::State(const StateLayout& layout) : layout_(layout), data_(static_cast<size_t>(layout.Floats())) {
  if (layout_.generation != Generation::kRwkv4) return;
  for (int64_t layer = 0; layer < layout_.layers; ++layer) {
    float* p = wkv(layer) + 2 * layout_.att_width;
    std::fill(p, p + layout_.att_width, kNoMaximum);
  }
}

Status SaveState(const SavedState& saved, const std::string& path) {
  const std::vector<float> data(saved.state.data().begin(), saved.state.data().end());
  const OutputTensor tensors[] = {View("state", DType::kF32, data), View("tokens", DType::kI32, saved.tokens),
                                  View("logits", DType::kF32, saved.logits)};
  const StateLayout& layout = saved.state.layout();
  const Metadata metadata = {{"format", std::string(kFormat)},
                             {"version", std::string(kVersion)},
                             {"architecture", std::string(Name(layout.generation))},
                             {"layout", Describe(layout)},
                             {"model_hash", saved.model_hash},
                             {"note", saved.note}};
  return WriteSafetensors(path, tensors, metadata);
}

Result<SavedState> LoadState(const std::string& path, const ModelConfig& config, const std::string& model_hash) {
  TERN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  auto opened = OpenSafetensors(std::move(file));
  if (!opened.ok()) return Corrupt(fmt::format("'{}' is no state file: {}", path, opened.status().message()));
  const TensorSource& source = **opened;
  const Metadata& metadata = source.metadata();
  if (Text(metadata, "format") != kFormat) return Corrupt(fmt::format("'{}' is no state file of Tern", path));
  if (Text(metadata, "version") != kVersion) {
    return Unsupported(fmt::format("state file '{}' has version '{}'; this program reads {}", path,
                                   Text(metadata, "version"), kVersion));
  }
  const StateLayout layout(config);
  if (Text(metadata, "layout") != Describe(layout)) {
    return InvalidArgument(fmt::format("state file '{}' is for {}; the model is {}", path, Text(metadata, "layout"),
                                       Describe(layout)));
  }
  if (Text(metadata, "model_hash") != model_hash) {
    return InvalidArgument(fmt::format("state file '{}' was made by another model (hash {}; this one has {})", path,
                                       Text(metadata, "model_hash"), model_hash));
  }
  SavedState saved;
  saved.state = State(layout);
  saved.model_hash = model_hash;
  saved.note = Text(metadata, "note");
  TERN_ASSIGN_OR_RETURN(const std::vector<float> data, ReadVector<float>(source, "state", DType::kF32));
  if (data.size() != saved.state.data().size()) {
    return Corrupt(fmt::format("state file '{}' holds {} numbers; expected {}", path, data.size(),
                               saved.state.data().size()));
  }
  std::copy(data.begin(), data.end(), saved.state.data().begin());
  TERN_ASSIGN_OR_RETURN(saved.tokens, ReadVector<int32_t>(source, "tokens", DType::kI32));
  TERN_ASSIGN_OR_RETURN(saved.logits, ReadVector<float>(source, "logits", DType::kF32));
  if (!saved.logits.empty() && static_cast<int64_t>(saved.logits.size()) != config.vocab) {
    return Corrupt(fmt::format("state file '{}' holds {} logits; expected {}", path, saved.logits.size(), config.vocab));
  }
  return saved;
}

}  // namespace tern
