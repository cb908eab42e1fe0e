// How probable a model finds texts: the one loop under perplexity, LAMBADA and multiple choice.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern::eval {

/// A text that is read, and the texts that may follow it. The tokens are not owned.
struct Task {
  std::span<const int32_t> prefix;                      ///< read from the initial state; not empty
  std::vector<std::span<const int32_t>> continuations;  ///< each is scored as what follows the prefix
};

struct Score {
  std::vector<double> log_probabilities;  ///< nats, of each token of the continuation after all before it
  bool greedy = true;                     ///< every token was the most probable one (of equals, the first)

  double Sum() const;
};

struct ScoreOptions {
  int64_t sequences = 32;  ///< texts read side by side; fewer where their states would take over 256 MiB
  /// Tokens of one pass over all sequences; fewer where their logits would take over 64 MiB.
  int64_t pass_tokens = 512;
  /// What every prefix is read from; null: the model's initial state.
  const State* start = nullptr;
  /// Called between passes with tokens read and to read; false stops (kCancelled).
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

/// Scores [task][continuation]. A prefix is run once and its state is forked for the continuations. Sequences
/// share passes in whatever order keeps these full; no score depends on that, nor on the options. At no time
/// are there more than 64 MiB of logits (or one token's, where those are larger). Logits that are no numbers
/// are an error that names the tensor at fault.
Result<std::vector<std::vector<Score>>> ScoreTasks(const Model& model, std::span<const Task> tasks,
                                                   const ScoreOptions& options);

/// log softmax(logits)[target], in nats, and whether target is the first largest.
struct TokenScore {
  double log_probability;
  bool best;
};
TokenScore ScoreToken(std::span<const float> logits, int32_t target);

/// The token that every text starts after: the one that ends documents, or a line break where the vocabulary
/// has no such token (raw bytes).
int32_t DefaultStart(const Tokenizer& tokenizer);

/// Tokens of each text, after `start` where given. On all threads.
std::vector<std::vector<int32_t>> EncodeAll(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                            std::optional<int32_t> start);

}  // namespace tern::eval
