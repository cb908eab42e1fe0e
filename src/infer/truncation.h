// Which tokens may come, and with what weight: the part of sampling between the logits and the draw.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/sampler.h"

namespace tern {

struct Candidate {
  int32_t token;
  float distance;  ///< logit minus the largest logit: ≤ 0, finite
  float weight;    ///< in proportion to the probability
};

struct Choices {
  std::vector<Candidate> candidates;  ///< by ascending token; never empty; the largest weight is 1
  double total = 0;                   ///< of the weights
  double log2_mass = 0;               ///< log2 Σ e^distance over the whole vocabulary; for mirostat only
};

/// Softmax, the filters of `options` and the temperature (> 0), in the order that SamplingOptions documents.
/// top is the largest of the logits and finite; no logit is NaN. Tokens more surprising than `mirostat_mu`
/// bits are cut where mirostat is on.
Choices Truncate(std::span<const float> logits, float top, const SamplingOptions& options,
                 double mirostat_mu);

}  // namespace tern
