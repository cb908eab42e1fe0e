// LAMBADA: is the last word of a passage guessed? Counted as the authors of RWKV count.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "eval/examples.h"
#include "eval/scorer.h"

namespace tern::eval {

struct LambadaResult {
  int64_t examples = 0;
  double nats = 0;      ///< sum over examples of −log P(all tokens of the target)
  int64_t correct = 0;  ///< examples in which every token of the target was the most probable one

  double Perplexity() const;  ///< per word: e^(nats/examples)
  double Accuracy() const;
  double AccuracyError() const;  ///< standard error of it
};

/// Context and target are tokenised apart, the context after `start` where given.
Result<LambadaResult> MeasureLambada(const Model& model, const Tokenizer& tokenizer,
                                     std::span<const LambadaExample> examples, std::optional<int32_t> start,
                                     const ScoreOptions& options);

/// √(p(1−p)/n): how far chance moves a share p counted over n examples.
double StandardError(double share, int64_t n);

}  // namespace tern::eval
