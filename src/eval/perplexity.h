// How well a model predicts texts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "eval/scorer.h"

namespace tern::eval {

/// Tokens that stand at positions [from, to] of their document or window: position p is predicted from p
/// tokens of text (and, in a document, the start token).
struct PositionBucket {
  int64_t from = 0, to = 0;
  int64_t tokens = 0;
  double nats = 0;  ///< sum over the tokens
};

/// Sums over predicted tokens; they add up over texts.
struct Perplexity {
  int64_t documents = 0;
  int64_t tokens = 0;  ///< predicted
  int64_t bytes = 0;   ///< of the predicted tokens
  double nats = 0;
  std::vector<PositionBucket> positions;  ///< 0, 1, 2–3, 4–7, …; no gaps

  double NatsPerToken() const;
  double BitsPerToken() const;
  double BitsPerByte() const;  ///< 0 where no token has bytes
  double PerToken() const;     ///< the perplexity, e^(nats/token)
  void Add(const Perplexity& other);
};

struct PerplexityOptions {
  /// 0: every document is read from the zero state to its end. Otherwise documents are cut into windows of so
  /// many predictions, each from the zero state; a window begins with the last token of the one before.
  int64_t context = 0;
  int64_t limit = 0;  ///< at most so many predictions, the first ones; 0: all
  ScoreOptions score = {};
};

/// Predicts every token of every document but the first in each: `documents` hold the token to start from, as
/// EncodeAll makes them. Without a tokenizer (null) no bytes are counted. Fails when there is nothing to
/// predict.
Result<Perplexity> MeasurePerplexity(const Model& model, const Tokenizer* tokenizer,
                                     std::span<const std::vector<int32_t>> documents,
                                     const PerplexityOptions& options);

/// The curve of loss by position as a drawing of its own: axes, labels, light and dark. Bytes of the title
/// that are no UTF-8 are replaced.
std::string DrawLossByPosition(const Perplexity& perplexity, const std::string& title);

}  // namespace tern::eval
