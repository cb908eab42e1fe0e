// From logits to the next token. docs/sampling.md has the formulas and the differences to others.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace tern {

class Tokenizer;
struct Choices;

/// How a token is chosen. Defaults are those of pip `rwkv` (its PIPELINE_ARGS). Order of application:
/// logit bias → bans → penalties (repeat, then presence and frequency) → softmax → (mirostat 2, or: typical-p
/// → min-p → top-p → top-k) → p^(1/T). A filter sees the probabilities that the ones before it left, scaled to sum to 1. Where only pip `rwkv`'s
/// own options are used the distribution is its distribution (but for top_p = 1, which there can turn greedy
/// by rounding).
struct SamplingOptions {
  float temperature = 1.0f;  ///< 0: the most probable token (of equals the first), nothing random, no filter
  float top_p = 0.85f;     ///< smallest set of tokens with that mass, and all that tie with its least; 1: off
  int32_t top_k = 0;       ///< at most so many tokens (of equals the first ones); 0: off
  float min_p = 0.0f;      ///< keep p ≥ min_p·p_max; 0: off
  float typical_p = 1.0f;  ///< locally typical sampling; 1: off
  float presence = 0.2f;   ///< alpha_presence: subtracted from the logit of every token that occurred
  float frequency = 0.2f;  ///< alpha_frequency: subtracted per (decayed) occurrence
  float penalty_decay = 0.996f;  ///< occurrences fade by this factor per token
  /// The logit of every token that occurred is divided by this where it is positive and multiplied by it where
  /// it is negative (llama.cpp's repeat_penalty, vLLM's repetition_penalty); 1: off.
  float repeat = 1.0f;
  int32_t mirostat = 0;          ///< 0: off; 2: replaces typical-p, min-p, top-p and top-k
  float mirostat_tau = 5.0f;     ///< target surprise in bits
  float mirostat_eta = 0.1f;     ///< learning rate
  std::map<int32_t, float> logit_bias = {};
  std::vector<int32_t> banned = {};  ///< tokens that never come
  uint64_t seed = 0;                 ///< the same seed, the same text
};

/// InvalidArgument, naming the option and its value, when the value makes no sense.
Status Validate(const SamplingOptions& options);

/// Tokens by ascending id, shared between samplers.
using SharedTokens = std::shared_ptr<const std::vector<int32_t>>;
/// The tokens that penalties never count (single digits, space, tab, as in pip `rwkv`: they pay the presence
/// penalty only). Looks through the whole vocabulary (a millisecond or two).
SharedTokens UncountedTokens(const Tokenizer& tokenizer);

/// The sampler of one sequence: options, penalties' counts, random numbers. Copy it to fork a sequence.
/// Deterministic: its choice depends on the logits, its options and what it has chosen and accepted, never on
/// threads, time or the machine. Not thread-safe.
class Sampler {
 public:
  /// `tokenizer` tells which tokens are never counted; may be null: none. It is not kept. Invalid options
  /// make Sample and Distribution fail.
  explicit Sampler(SamplingOptions options, const Tokenizer* tokenizer = nullptr);
  /// `uncounted`: UncountedTokens of the tokenizer; may be null: none.
  Sampler(SamplingOptions options, SharedTokens uncounted);

  /// Chooses a token from logits[V]; they are read, not changed. Does not count it: Accept does. Takes one
  /// random number (none at temperature 0); moves mirostat's threshold. A logit of -inf is a token that
  /// cannot come. InvalidArgument when V is 0, a logit is NaN or +inf, every token is impossible, or an
  /// option or an accepted token names a token outside the V; the sampler is then as before.
  Result<int32_t> Sample(std::span<const float> logits);
  /// Counts a token for the penalties. Call it for each generated token that becomes part of the text (pip
  /// `rwkv` counts neither the prompt nor the token that stops).
  void Accept(int32_t token);
  /// Forgets the counts (a new document); random numbers and mirostat's threshold go on.
  void ResetPenalties();

  /// The final probabilities that Sample draws from, for the same logits (V values, zeros where cut). For
  /// tests and for showing a distribution; draws nothing. Fails as Sample does.
  Result<std::vector<float>> Distribution(std::span<const float> logits) const;

  const SamplingOptions& options() const { return options_; }

  /// Everything that its next choices depend on beside the options: saved with a state, so that a text goes
  /// on as if it had never stopped.
  struct Place {
    std::array<uint64_t, 4> random;
    std::vector<std::pair<int32_t, double>> occurrences;  ///< by token, ascending
    double mirostat_mu;
  };
  Place place() const;
  void set_place(const Place& place);

 private:
  /// With bias, bans and penalties; the largest of them. They lie in the thread's buffers.
  struct Adjusted {
    std::span<const float> logits;
    float top;
  };
  Result<Adjusted> AdjustedLogits(std::span<const float> logits) const;
  Status Adjust(std::span<float> logits) const;
  /// Sample where nothing is filtered: no list of candidates, which would be the whole vocabulary.
  Result<int32_t> SampleAll(std::span<const float> logits);
  /// The choices lie in the thread's buffers: valid until its next choice.
  Result<Choices> Choose(std::span<const float> logits) const;

  SamplingOptions options_;
  Status valid_;
  Random random_;
  SharedTokens uncounted_;  // may be null
  std::unordered_map<int32_t, double> occurrences_;
  double mirostat_mu_;  // bits: more surprising tokens are cut
};

}  // namespace tern
