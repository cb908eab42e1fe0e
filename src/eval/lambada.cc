#include "eval/lambada.h"

#include <cmath>

namespace tern::eval {

double LambadaResult::Perplexity() const { return std::exp(nats / static_cast<double>(examples)); }
double LambadaResult::Accuracy() const {
  return static_cast<double>(correct) / static_cast<double>(examples);
}
double LambadaResult::AccuracyError() const { return StandardError(Accuracy(), examples); }

double StandardError(double share, int64_t n) {
  return std::sqrt(share * (1 - share) / static_cast<double>(n));
}

Result<LambadaResult> MeasureLambada(const Model& model, const Tokenizer& tokenizer,
                                     std::span<const LambadaExample> examples, std::optional<int32_t> start,
                                     const ScoreOptions& options) {
  if (examples.empty()) return Corrupt("there are no examples");
  std::vector<std::string> contexts, targets;
  for (const LambadaExample& example : examples) {
    contexts.push_back(example.context);
    targets.push_back(example.target);
  }
  const auto prefixes = EncodeAll(tokenizer, contexts, start);
  const auto continuations = EncodeAll(tokenizer, targets, std::nullopt);
  std::vector<Task> tasks(examples.size());
  for (size_t i = 0; i < tasks.size(); ++i) tasks[i] = {prefixes[i], {continuations[i]}};
  TERN_ASSIGN_OR_RETURN(const auto scores, ScoreTasks(model, tasks, options));
  LambadaResult result{.examples = static_cast<int64_t>(examples.size())};
  for (const auto& score : scores) {
    result.nats -= score.front().Sum();
    result.correct += score.front().greedy ? 1 : 0;
  }
  return result;
}

}  // namespace tern::eval
