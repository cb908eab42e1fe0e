#include "infer/embedding.h"

#include <cmath>
#include <cstddef>

#include "infer/generator.h"

namespace tern {

std::vector<int32_t> EmbeddingText(const std::vector<int32_t>& text, const Tokenizer& tokenizer) {
  std::vector<int32_t> twice = {FirstToken(tokenizer)};
  twice.insert(twice.end(), text.begin(), text.end());
  const std::vector<int32_t> between = tokenizer.Encode(" ");
  twice.insert(twice.end(), between.begin(), between.end());
  twice.insert(twice.end(), text.begin(), text.end());
  return twice;
}

void EmbeddingPool::Add(std::span<const float> hidden) {
  for (size_t row = 0; row < hidden.size(); row += sum_.size(), ++tokens_) {
    for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += hidden[row + i];
  }
}

Result<std::vector<float>> EmbeddingPool::Vector() const {
  double squares = 0;
  for (const double x : sum_) squares += x * x;
  const double length = std::sqrt(squares);
  if (!std::isfinite(length) || length == 0) return Corrupt("the model's hidden vectors are not numbers");
  std::vector<float> vector;
  vector.reserve(sum_.size());
  for (const double x : sum_) vector.push_back(static_cast<float>(x / length));
  return vector;
}

}  // namespace tern
