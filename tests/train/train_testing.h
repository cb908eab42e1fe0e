// Small odd shapes, parameters and batches for the tests of training graphs.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "train/graph.h"

namespace tern::train {

/// RWKV-4 with an attention wider than the embedding, or RWKV-7 with heads of 5: nothing a multiple of anything.
inline ModelShape OddShape(Generation generation) {
  ModelShape shape;
  shape.generation = generation;
  shape.vocab = 11;
  shape.layers = 3;
  shape.width = 7;
  shape.att_width = generation == Generation::kRwkv4 ? 9 : 10;
  shape.ffn_width = 13;
  if (generation == Generation::kRwkv4) return shape;
  shape.heads = 2;
  shape.head_size = 5;
  shape.rank_w = 3;
  shape.rank_a = 4;
  shape.rank_v = 2;
  shape.rank_g = 5;
  return shape;
}

/// Values in [−scale, scale) that exercise every term.
template <typename T>
std::vector<T> RandomParameters(const ParameterLayout& layout, uint64_t seed) {
  Random random(seed);
  std::vector<T> values(static_cast<size_t>(layout.total()));
  for (const Parameter& p : layout.parameters()) {
    const double scale = p.is_matrix() ? 1.2 / std::sqrt(static_cast<double>(p.shape[1])) : 0.7;
    const double centre = p.role == Role::kNorm && p.name.ends_with("weight") ? 1.0 : 0.0;
    for (int64_t i = 0; i < p.size; ++i)
      values[static_cast<size_t>(p.offset + i)] = static_cast<T>(centre + scale * (2 * random.Uniform() - 1));
  }
  return values;
}

/// Two streams: one goes on from an earlier batch and meets two document borders, the other starts anew. One target is
/// not counted.
inline TrainBatch PackedBatch(const ModelShape& shape, uint64_t seed) {
  Random random(seed);
  TrainBatch batch;
  batch.segments = {{.begin = 0, .end = 5, .stream = 0, .reset = false},
                    {.begin = 5, .end = 6, .stream = 0, .reset = true},
                    {.begin = 6, .end = 24, .stream = 0, .reset = true},
                    {.begin = 24, .end = 41, .stream = 1, .reset = true}};
  for (int t = 0; t < 41; ++t) {
    batch.inputs.push_back(static_cast<int32_t>(random.Uniform() * static_cast<double>(shape.vocab)));
    batch.targets.push_back(static_cast<int32_t>(random.Uniform() * static_cast<double>(shape.vocab)));
  }
  batch.targets[7] = -1;
  return batch;
}

}  // namespace tern::train
