#include "eval/choice.h"

#include <algorithm>
#include <functional>

namespace tern::eval {
namespace {

/// The texts of one side (contexts or continuations) of all examples, tokenised, and where each example's
/// begin.
struct Side {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<size_t> first;
};

Side Encode(const Tokenizer& tokenizer, std::span<const ChoiceExample> examples,
            std::vector<std::string> ChoiceExample::*texts, std::optional<int32_t> start) {
  Side side;
  std::vector<std::string> all;
  for (const ChoiceExample& example : examples) {
    side.first.push_back(all.size());
    const std::vector<std::string>& own = example.*texts;
    all.insert(all.end(), own.begin(), own.end());
  }
  side.tokens = EncodeAll(tokenizer, all, start);
  return side;
}

/// Scores of an example's choices, whichever side makes the difference.
std::vector<const Score*> ChoiceScores(std::span<const std::vector<Score>> tasks) {
  std::vector<const Score*> scores;
  for (const std::vector<Score>& task : tasks) {
    for (const Score& score : task) scores.push_back(&score);
  }
  return scores;
}

void Count(const ChoiceExample& example, std::span<const Score* const> scores, ChoiceResult* result) {
  const auto right = [&](const std::function<double(size_t)>& length) {
    std::vector<double> values;
    for (size_t i = 0; i < scores.size(); ++i) values.push_back(scores[i]->Sum() / length(i));
    const auto best = std::max_element(values.begin(), values.end()) - values.begin();
    return static_cast<size_t>(best) == example.gold ? 1 : 0;
  };
  ++result->examples;
  result->correct += right([](size_t) { return 1.0; });
  result->correct_per_byte += right([&](size_t i) {
    return static_cast<double>(example.answer_bytes[example.answer_bytes.size() > 1 ? i : 0]);
  });
  result->correct_per_token +=
      right([&](size_t i) { return static_cast<double>(scores[i]->log_probabilities.size()); });
}

}  // namespace

Result<ChoiceResult> MeasureChoice(const Model& model, const Tokenizer& tokenizer,
                                   std::span<const ChoiceExample> examples, std::optional<int32_t> start,
                                   const ScoreOptions& options) {
  if (examples.empty()) return Corrupt("there are no examples");
  const Side contexts = Encode(tokenizer, examples, &ChoiceExample::contexts, start);
  const Side continuations = Encode(tokenizer, examples, &ChoiceExample::continuations, std::nullopt);
  std::vector<Task> tasks;
  for (size_t e = 0; e < examples.size(); ++e) {
    for (size_t c = 0; c < examples[e].contexts.size(); ++c) {
      Task task{.prefix = contexts.tokens[contexts.first[e] + c], .continuations = {}};
      for (size_t k = 0; k < examples[e].continuations.size(); ++k) {
        task.continuations.push_back(continuations.tokens[continuations.first[e] + k]);
      }
      tasks.push_back(std::move(task));
    }
  }
  TERN_ASSIGN_OR_RETURN(const auto scores, ScoreTasks(model, tasks, options));
  ChoiceResult result;
  for (size_t e = 0; e < examples.size(); ++e) {
    const auto own = std::span(scores).subspan(contexts.first[e], examples[e].contexts.size());
    Count(examples[e], ChoiceScores(own), &result);
  }
  return result;
}

}  // namespace tern::eval
