// From logits to the next token.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace tern {

class Tokenizer;

/// How a token is chosen. Defaults are those of pip `rwkv` (its PIPELINE_ARGS). Order of application:
/// logit bias and bans → penalties → softmax → (mirostat 2, or: typical-p → min-p → top-p → top-k) → p^(1/T).
/// Where only pip `rwkv`'s own options are used the result is its result.
struct SamplingOptions {
  float temperature = 1.0f;        ///< 0: the most probable token, nothing random
  float top_p = 0.85f;             ///< 0 behaves as in pip `rwkv`: the most probable token; 1: off
  int32_t top_k = 0;               ///< 0: off
  float min_p = 0.0f;              ///< keep p ≥ min_p·p_max; 0: off
  float typical_p = 1.0f;          ///< locally typical sampling; 1: off
  float presence = 0.2f;           ///< alpha_presence: subtracted from every token that occurred
  float frequency = 0.2f;          ///< alpha_frequency: subtracted per (decayed) occurrence
  float penalty_decay = 0.996f;    ///< occurrences fade by this factor per token
  int32_t mirostat = 0;            ///< 0 or 2
  float mirostat_tau = 5.0f;       ///< target surprise in bits
  float mirostat_eta = 0.1f;       ///< learning rate
  std::map<int32_t, float> logit_bias;
  std::vector<int32_t> banned;     ///< tokens that never come
  uint64_t seed = 0;               ///< the same seed, the same text
};

/// InvalidArgument, naming the option, when a value makes no sense.
Status Validate(const SamplingOptions& options);

/// The sampler of one sequence: options, penalties' counts, random numbers. Copy it to fork a sequence. Deterministic:
/// its choice depends on the logits, its options and what it has accepted, never on threads or time. Not thread-safe.
class Sampler {
 public:
  /// `tokenizer` tells which tokens carry no penalty (digits, space, tab, as in pip `rwkv`); may be null: none.
  explicit Sampler(SamplingOptions options, const Tokenizer* tokenizer = nullptr);

  /// Chooses a token from logits[V]; they are read, not changed. Does not count it: Accept does.
  /// Fails when every token is banned or the logits hold NaN.
  Result<int32_t> Sample(std::span<const float> logits);
  /// Counts a token for the penalties. Call it for each token that becomes part of the text.
  void Accept(int32_t token);
  /// Forgets the counts (a new document); random numbers go on.
  void ResetPenalties();

  /// The final probabilities that Sample draws from, for the same logits (V values, zeros where cut). For tests and
  /// for showing a distribution; draws nothing. Fails as Sample does.
  Result<std::vector<float>> Distribution(std::span<const float> logits) const;

  const SamplingOptions& options() const { return options_; }

 private:
  struct Candidate {
    int32_t token;
    float p;
  };
  Status Candidates(std::span<const float> logits, std::vector<Candidate>* out) const;

  SamplingOptions options_;
  Random random_;
  std::unordered_map<int32_t, float> occurrences_;
  std::vector<int32_t> unpenalised_;
  float mirostat_mu_;
};

}  // namespace tern
