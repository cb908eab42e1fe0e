// What a text means to a model, as one vector. docs/embeddings.md has the method and its figures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace tern {

/// What is read for the embedding of a text: the text twice. Its vector is made of the second reading, in
/// which every token knows the whole text; those are the last text.size() tokens.
std::vector<int32_t> EmbeddingText(const std::vector<int32_t>& text, const Tokenizer& tokenizer);

/// Gathers the hidden vectors of a text's tokens (Model::Forward's `hidden`). Not thread-safe.
class EmbeddingPool {
 public:
  explicit EmbeddingPool(int64_t width) : sum_(static_cast<size_t>(width)) {}

  /// Rows of [width] values, in any pieces.
  void Add(std::span<const float> hidden);
  int64_t tokens() const { return tokens_; }
  /// Their mean, scaled to length 1. Corrupt when it is no number or has no direction.
  Result<std::vector<float>> Vector() const;

 private:
  std::vector<double> sum_;
  int64_t tokens_ = 0;
};

}  // namespace tern
