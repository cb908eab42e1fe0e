// Multiple choice: the answer is the choice that the model finds most probable.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "eval/examples.h"
#include "eval/scorer.h"

namespace tern::eval {

/// Right answers by three ways to compare choices of different lengths; of equals the first is chosen.
struct ChoiceResult {
  int64_t examples = 0;
  int64_t correct = 0;            ///< the largest log P(choice)
  int64_t correct_per_byte = 0;   ///< the largest log P(choice) / bytes of the choice (lm-eval's acc_norm)
  int64_t correct_per_token = 0;  ///< the largest log P(choice) / tokens of the choice

  double Accuracy() const { return Share(correct); }
  double AccuracyPerByte() const { return Share(correct_per_byte); }
  double AccuracyPerToken() const { return Share(correct_per_token); }
  double Share(int64_t n) const { return static_cast<double>(n) / static_cast<double>(examples); }
};

/// Contexts and choices are tokenised apart, contexts after `start` where given. A context is run once for
/// all its choices.
Result<ChoiceResult> MeasureChoice(const Model& model, const Tokenizer& tokenizer,
                                   std::span<const ChoiceExample> examples, std::optional<int32_t> start,
                                   const ScoreOptions& options);

}  // namespace tern::eval
