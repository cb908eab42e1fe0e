// Models of random weights: speed can be measured, and arithmetic tested, without any file to download.
//
// Every tensor is a pure function of a seed. Element i (row-major, in the tensor's .pth shape) of the tensor
// `name`:
//   z = seed + fnv1a64(name) + (i + 1) · 0x9e3779b97f4a7c15, put through splitmix64's finaliser
//   u = (z >> 40) · 2^-24, in [0, 1)
//   value = float(offset + scale · (2u − 1)), computed in double
// Offset and scale depend on what the tensor is (random_model.cc): lively enough that every term of the
// equations moves the logits and that half of the FFN's hidden units are zero, tame enough that fp32 keeps
// six digits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace tern {

/// The sizes of a model. Fields that a generation does not have stay 0.
struct RandomModel {
  Generation generation = Generation::kRwkv4;
  int64_t vocab = 0, width = 0, layers = 0, ffn = 0;
  int64_t head_size = 0;        ///< RWKV-5 and later; divides width
  int64_t attention_width = 0;  ///< RWKV-4: rows of key, value and receptance; 0 is width
  int64_t mix_rank = 0;         ///< RWKV-6: time_maa_w1 is [width, 5·mix_rank]
  int64_t decay_rank = 0;       ///< RWKV-6: time_decay_w1; RWKV-7: w1
  int64_t iclr_rank = 0, value_rank = 0, gate_rank = 0;  ///< RWKV-7: a1, v1, g1
  bool block0_value_mix = false;  ///< RWKV-7: blocks.0.att.v0, v1, v2 are in the file (no reader uses them)
  bool log_time_first =
      false;  ///< RWKV-5.0, 5.1: att.time_first, u = exp of it; otherwise att.time_faaaa, u itself
  uint64_t seed = 1;
};

/// The sizes that a name stands for: a published model ("rwkv4:169M", "rwkv6:1.6B", "rwkv7:1.5B" …), or
/// layers × width, with the vocabulary where it is not the usual one ("rwkv7:12x768", "rwkv7:2x64x256").
/// Generations: rwkv4, rwkv5.0, rwkv5.1, rwkv5 (which is rwkv5.2), rwkv6, rwkv7. kNotFound lists the names
/// there are; kInvalidArgument says which sizes are possible.
Result<RandomModel> RandomModelOfSize(std::string_view name);

/// One tensor of a random model.
struct RandomTensor {
  std::string name;     ///< canonical
  Shape shape;          ///< as in a .pth
  bool matrix = false;  ///< a product's left side, the embedding, or a low-rank factor
  double offset = 0, scale = 0;
  uint64_t start = 0;  ///< of its numbers
};

/// A tensor of that name and shape.
RandomTensor MakeRandomTensor(const RandomModel& model, std::string name, Shape shape);
/// All tensors in the order of a .pth.
std::vector<RandomTensor> ListTensors(const RandomModel& model);
/// Elements [begin, end) of a tensor.
void FillRandom(const RandomTensor& tensor, int64_t begin, int64_t end, float* dst);

/// Sum of the elements of all tensors.
int64_t CountParameters(const RandomModel& model);

/// Writes a random model as a file of any format and type, as quickly as the disk takes it: vectors hold the
/// values above; a row of a matrix is a run of blocks from a pool of up to 2^18 random weights of its range,
/// quantised once, and begins at a random place of the pool. So the statistics are those above, and a 1.5B
/// takes seconds in any type.
Status SaveRandomModel(const RandomModel& model, const std::string& path, const SaveOptions& options);

/// The size of that file, but for names and metadata.
Result<uint64_t> RandomModelBytes(const RandomModel& model, const SaveOptions& options);

}  // namespace tern
