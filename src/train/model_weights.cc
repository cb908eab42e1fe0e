#include "train/model_weights.h"

#include <fmt/format.h>

#include <cstring>

#include "tensor/dtype.h"

namespace tern::train {
namespace {

std::span<const float> ValuesOf(const Parameter& parameter, std::span<const float> parameters) {
  return parameters.subspan(static_cast<size_t>(parameter.offset), static_cast<size_t>(parameter.size));
}

/// A .pth's names and orientation, in memory.
class TrainedSource final : public TensorSource {
 public:
  TrainedSource() : TensorSource(FileFormat::kPth, "the model in training") {}
  Status AddAll(const ParameterLayout& layout, std::span<const float> parameters) {
    for (const Parameter& parameter : layout.parameters()) {
      const auto values = ValuesOf(parameter, parameters);
      TERN_RETURN_IF_ERROR(Add({parameter.name, DType::kF32, parameter.shape, std::as_bytes(values)}));
    }
    return OkStatus();
  }
};

std::vector<std::byte> Transposed(std::span<const float> values, int64_t rows, int64_t columns) {
  std::vector<std::byte> bytes(values.size_bytes());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      std::memcpy(bytes.data() + static_cast<size_t>(j * rows + i) * sizeof(float),
                  &values[static_cast<size_t>(i * columns + j)], sizeof(float));
    }
  }
  return bytes;
}

/// RWKV-7's layer 0 mixes no earlier values in, but the reference code's module has the parameters for it and refuses
/// files without them: they are written as zeros, which nothing reads.
void AddUnused(const ModelShape& shape, std::vector<OutputTensor>* tensors) {
  if (shape.generation != Generation::kRwkv7) return;
  const auto add = [&](const char* name, Shape dims) {
    const auto bytes = static_cast<size_t>(NumElements(dims).value_or(0)) * sizeof(float);
    tensors->push_back({fmt::format("blocks.0.att.{}", name), DType::kF32, dims, [=]() -> Result<TensorBytes> {
                          return TensorBytes{{}, std::vector<std::byte>(bytes)};
                        }});
  };
  add("v0", {shape.att_width});
  add("v1", {shape.rank_v, shape.width});
  add("v2", {shape.att_width, shape.rank_v});
}

}  // namespace

Status LoadParameters(const Checkpoint& checkpoint, const ParameterLayout& layout,
                      std::span<float> parameters) {
  for (const Parameter& parameter : layout.parameters()) {
    const CheckpointTensor* tensor = checkpoint.Find(parameter.name);
    if (tensor == nullptr) {
      return Corrupt(fmt::format("'{}' has no tensor '{}'", checkpoint.source().path(), parameter.name));
    }
    if (tensor->shape != parameter.shape) {
      return Corrupt(fmt::format("'{}': tensor '{}' is {}, expected {}", checkpoint.source().path(),
                                 parameter.name, ToString(tensor->shape), ToString(parameter.shape)));
    }
    ReadCanonical(*tensor, parameters.data() + parameter.offset);
    checkpoint.source().Forget(tensor->bytes);
  }
  return OkStatus();
}

Result<std::shared_ptr<const Checkpoint>> ViewAsCheckpoint(const ParameterLayout& layout,
                                                           std::span<const float> parameters) {
  auto source = std::make_shared<TrainedSource>();
  TERN_RETURN_IF_ERROR(source->AddAll(layout, parameters));
  return Checkpoint::FromSource(std::move(source));
}

std::vector<OutputTensor> SafetensorsOf(const ParameterLayout& layout, std::span<const float> parameters) {
  std::vector<OutputTensor> tensors;
  for (const Parameter& parameter : layout.parameters()) {
    const auto values = ValuesOf(parameter, parameters);
    // Under BlinkDL's names safetensors hold low-rank matrices transposed (web-rwkv, Ai00).
    if (parameter.role == Role::kLowRank) {
      const int64_t rows = parameter.shape[0], columns = parameter.shape[1];
      tensors.push_back({parameter.name, DType::kF32, {columns, rows}, [=]() -> Result<TensorBytes> {
                           return TensorBytes{{}, Transposed(values, rows, columns)};
                         }});
      continue;
    }
    tensors.push_back({parameter.name, DType::kF32, parameter.shape, [=]() -> Result<TensorBytes> {
                         return TensorBytes{std::as_bytes(values), {}};
                       }});
  }
  AddUnused(layout.shape(), &tensors);
  return tensors;
}

}  // namespace tern::train
