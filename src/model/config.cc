#include "model/config.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace tern {
namespace {

/// Heads up to this size are fine in a model of any width.
constexpr int64_t kLargestSmallHead = 256;

class Reader {
 public:
  explicit Reader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  Result<const CheckpointTensor*> Get(const char* name, size_t min_dims) const {
    const CheckpointTensor* tensor = checkpoint_.Find(name);
    if (tensor == nullptr) return Corrupt(fmt::format("'{}' has no tensor '{}'", path(), name));
    if (tensor->shape.size() < min_dims) return Bad(*tensor, fmt::format("at least {} dimensions", min_dims));
    if (std::any_of(tensor->shape.begin(), tensor->shape.end(), [](int64_t d) { return d <= 0; })) {
      return Bad(*tensor, "no empty dimension");
    }
    return tensor;
  }

  Status Bad(const CheckpointTensor& tensor, const std::string& expected) const {
    return Corrupt(fmt::format("'{}': tensor '{}' has shape {}; expected {}", path(), tensor.name,
                               ToString(tensor.shape), expected));
  }

  const std::string& path() const { return checkpoint_.source().path(); }

 private:
  const Checkpoint& checkpoint_;
};

/// Layers are the block numbers from 0 without a gap.
Result<int64_t> CountLayers(const Checkpoint& checkpoint) {
  int64_t layers = 0;
  while (checkpoint.Find(fmt::format("blocks.{}.ln1.weight", layers)) != nullptr) ++layers;
  if (layers == 0) return Corrupt(fmt::format("'{}' has no layers (no 'blocks.0.ln1.weight')", checkpoint.source().path()));
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    if (tensor.name.rfind("blocks.", 0) != 0) continue;
    int64_t index = -1;
    std::from_chars(tensor.name.data() + 7, tensor.name.data() + tensor.name.size(), index);
    if (index >= layers) {
      return Corrupt(fmt::format("'{}': tensor '{}' belongs to layer {}, but layer {} has no 'ln1.weight'",
                                 checkpoint.source().path(), tensor.name, index, layers));
    }
  }
  return layers;
}

/// RWKV-5.0 is told by layer 0 having no gate: then no layer may have one.
Status CheckGates(const Checkpoint& checkpoint) {
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    if (tensor.name.ends_with(".att.gate.weight")) {
      return Corrupt(fmt::format("'{}' has a tensor '{}', but no 'blocks.0.att.gate.weight'", checkpoint.source().path(),
                                 tensor.name));
    }
  }
  return OkStatus();
}

/// H and N from the tensor that is shaped by heads in this generation.
Status ReadHeads(const Reader& reader, ModelConfig* config) {
  const char* name = config->generation == Generation::kRwkv7   ? "blocks.0.att.r_k"
                     : config->generation == Generation::kRwkv6 ? "blocks.0.att.time_faaaa"
                                                                : "blocks.0.att.time_decay";
  TERN_ASSIGN_OR_RETURN(const CheckpointTensor* tensor, reader.Get(name, 1));
  config->heads = tensor->shape[0];
  if (config->att_width % config->heads != 0) {
    return reader.Bad(*tensor, fmt::format("a number of heads that divides the attention's width {}", config->att_width));
  }
  config->head_size = config->att_width / config->heads;
  // Bounds the state, which grows with the head size, by the weights, which the file really holds.
  if (config->head_size > std::max<int64_t>(config->width, kLargestSmallHead)) {
    return reader.Bad(*tensor, fmt::format("heads no larger than the width {}, not of {}", config->width, config->head_size));
  }
  if (tensor->shape.size() >= 2 && tensor->shape[1] != 1 && tensor->shape[1] != config->head_size) {
    return reader.Bad(*tensor, fmt::format("[heads, head size] with product {}", config->att_width));
  }
  return OkStatus();
}

}  // namespace

Result<ModelConfig> ReadConfig(const Checkpoint& checkpoint) {
  const Reader reader(checkpoint);
  ModelConfig config;
  config.generation = checkpoint.generation();
  config.ln_eps = checkpoint.layer_norm_eps();
  // A file means what its own program computes: rwkv.cpp normalises RWKV-5's heads with 1e-5, every other program with
  // 64e-5 (docs/formats/rwkv_bin.md).
  if (checkpoint.source().format() == FileFormat::kRwkvBin && Major(config.generation) == 5) config.gn_eps = 1e-5f;
  TERN_ASSIGN_OR_RETURN(config.layers, CountLayers(checkpoint));
  TERN_ASSIGN_OR_RETURN(const CheckpointTensor* emb, reader.Get("emb.weight", 2));
  config.vocab = emb->shape[0];
  config.width = emb->shape[1];
  if (config.vocab > INT32_MAX) return reader.Bad(*emb, "fewer than 2^31 tokens");
  TERN_ASSIGN_OR_RETURN(const CheckpointTensor* att_key, reader.Get("blocks.0.att.key.weight", 2));
  config.att_width = att_key->shape[0];
  TERN_ASSIGN_OR_RETURN(const CheckpointTensor* ffn_key, reader.Get("blocks.0.ffn.key.weight", 2));
  config.ffn_width = ffn_key->shape[0];
  if (config.generation == Generation::kRwkv5_0) TERN_RETURN_IF_ERROR(CheckGates(checkpoint));
  if (config.generation != Generation::kRwkv4) TERN_RETURN_IF_ERROR(ReadHeads(reader, &config));
  return config;
}

}  // namespace tern
