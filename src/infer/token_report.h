// Log-probabilities of tokens, as answers report them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tern {

struct TokenLogprob {
  int32_t token = 0;
  float logprob =
      0;  ///< natural, of the model's own distribution (temperature 1, no filter, penalty or grammar)
};

/// A token that was sampled, or one of the prompt.
struct TokenReport {
  TokenLogprob chosen = {};
  std::vector<TokenLogprob> top = {};  ///< the most probable first; of equals the lower ids
};

/// The report of `token` (within the vocabulary) chosen from `logits` [V], finite ones, with the `top` most
/// probable tokens (0: none).
TokenReport ReportToken(std::span<const float> logits, int32_t token, int top);

}  // namespace tern
