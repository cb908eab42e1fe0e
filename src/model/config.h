// The dimensions of a model, all read from its tensors.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace tern {

/// Symbols as in the paper and docs/architecture.md. RWKV-4 has heads = head_size = 0: its state is per channel.
struct ModelConfig {
  Generation generation = Generation::kRwkv4;
  int64_t vocab = 0;      ///< V
  int64_t layers = 0;     ///< L
  int64_t width = 0;      ///< C: embedding
  int64_t att_width = 0;  ///< A: rows of att.key; equal to C in every published model
  int64_t ffn_width = 0;  ///< F: rows of ffn.key
  int64_t heads = 0;      ///< H
  int64_t head_size = 0;  ///< N, A = H·N
  float ln_eps = 1e-5f;   ///< of every LayerNorm
  float gn_eps = 64e-5f;  ///< of the GroupNorm after WKV: 1e-5 · 8², whatever the head size, as the reference code
};

/// Reads the dimensions; fails, naming file and tensor, where one is missing or contradicts another.
/// Per-tensor shapes are checked when the weights are loaded.
Result<ModelConfig> ReadConfig(const Checkpoint& checkpoint);

}  // namespace tern
