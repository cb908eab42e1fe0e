// Models whose weights are a pure function of a seed: tests and speed measurements need no file, and a golden
// answer needs only the seed, the tokens and the logits (tests/golden).
//
// Element i (row-major, in the tensor's .pth shape) of the tensor `name`:
//   z = seed + fnv1a64(name) + (i + 1) · 0x9e3779b97f4a7c15, put through splitmix64's finaliser
//   u = (z >> 40) · 2^-24, in [0, 1)
//   value = float(offset + scale · (2u − 1)), computed in double
// Offset and scale depend on what the tensor is (random_checkpoint.cc): lively enough that every term of the
// equations moves the logits, tame enough that fp32 keeps six digits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/tensor_source.h"

namespace tern::testing {

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

/// A published model's sizes by name: "rwkv4:169M", "rwkv6:1.6B", "rwkv7:1.5B" … kNotFound lists the names
/// there are.
Result<RandomModel> PublishedModel(std::string_view name);

/// All tensors in the order of a .pth. Matrices (products' left sides, embedding, low-rank factors) are
/// stored as `matrix_type`, vectors as fp32. The values of a tensor are made on all threads when its turn to
/// be written comes, so that a model larger than memory can be written. Rows that are no whole blocks of a
/// quantised type stay fp16.
std::vector<OutputTensor> RandomTensors(const RandomModel& model, DType matrix_type = DType::kF32);

/// All values of one of the model's tensors; `shape` as RandomTensors gives it.
std::vector<float> RandomValues(const RandomModel& model, const std::string& name, const Shape& shape);

/// Sum of the elements of all tensors.
int64_t CountParameters(const RandomModel& model);

}  // namespace tern::testing
