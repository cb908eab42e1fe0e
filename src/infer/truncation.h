// Which tokens may come, and with what weight: the part of sampling between the logits and the draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "infer/probability.h"
#include "infer/sampler.h"

namespace tern {

struct Candidate {
  int32_t token;
  float distance;  ///< logit minus the largest logit: ≤ 0, finite
  float weight;    ///< in proportion to the probability
};

struct Choices {
  std::span<Candidate> candidates;  ///< by ascending token; never empty; the largest weight is 1
  double total = 0;                 ///< of the weights
  double log2_mass = 0;             ///< log2 Σ e^distance over the whole vocabulary; for mirostat only
};

/// Buffers for one choice. There is one per thread: allocating 2 MB for each token would cost more than
/// choosing it, and one for each sequence would add up. They only grow; nothing in them outlives a choice.
struct SamplerScratch {
  std::vector<float> allowed;  ///< under a constraint: the logits of what may follow
  std::vector<float> logits;
  std::vector<float> weights;
  std::vector<Candidate> candidates;
  std::vector<Weighted> items;

  static SamplerScratch& OfThisThread();
};

/// The first n of a buffer that only grows.
template <typename T>
std::span<T> Take(std::vector<T>* buffer, size_t n) {
  if (buffer->size() < n) buffer->resize(n);
  return {buffer->data(), n};
}

/// Softmax, the filters of `options` and the temperature (> 0), in the order that SamplingOptions documents.
/// top is the largest of the logits and finite; no logit is NaN. Tokens more surprising than `mirostat_mu`
/// bits are cut where mirostat is on. The candidates lie in `scratch`.
Choices Truncate(std::span<const float> logits, float top, const SamplingOptions& options, double mirostat_mu,
                 SamplerScratch* scratch);

}  // namespace tern
