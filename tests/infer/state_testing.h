// States whose numbers follow from their tokens, so that whoever gets one can tell whether it is the right
// one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "infer/prefix_index.h"
#include "infer/state_cache.h"

namespace tern::testing {

using Tokens = std::vector<int32_t>;
using StatePtr = std::shared_ptr<const KeptState>;

inline constexpr const char* kModelHash = "0123456789abcdef0123456789abcdef";

inline ModelConfig StateConfig() {
  ModelConfig config;
  config.generation = Generation::kRwkv7;
  config.vocab = 16, config.layers = 1, config.width = config.att_width = 8, config.heads = 2,
  config.head_size = 4;
  return config;
}

inline StatePtr MakeState(const Tokens& tokens, bool with_logits = true) {
  auto kept = std::make_shared<KeptState>();
  kept->tokens = tokens;
  kept->state = State(StateLayout(StateConfig()));
  Random random(HashTokens(tokens));
  for (float& value : kept->state.data()) value = static_cast<float>(random.Normal());
  if (with_logits) kept->logits.resize(static_cast<size_t>(StateConfig().vocab));
  for (float& value : kept->logits) value = static_cast<float>(random.Normal());
  return kept;
}

inline ::testing::AssertionResult IsStateOf(const StatePtr& state, const Tokens& tokens) {
  if (state == nullptr) return ::testing::AssertionFailure() << "there is no state";
  if (state->tokens != tokens) return ::testing::AssertionFailure() << "it has other tokens";
  const StatePtr expected = MakeState(tokens, !state->logits.empty());
  const auto found = state->state.data(), wanted = expected->state.data();
  if (!std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()) ||
      state->logits != expected->logits) {
    return ::testing::AssertionFailure() << "it has other numbers";
  }
  return ::testing::AssertionSuccess();
}

/// Of a state of about ten tokens; ten such states have a file of at most 3,000 bytes each.
inline uint64_t StateBytes() {
  const StatePtr state = MakeState(Tokens(10));
  return state->state.data().size_bytes() + state->logits.size() * 4 + 10 * 4 + sizeof(KeptState);
}

inline std::shared_ptr<StateCache> OpenCache(const StateCacheOptions& options) {
  auto cache = StateCache::Open(options, StateConfig(), kModelHash);
  EXPECT_TRUE(cache.ok()) << cache.status().message();
  return cache.ok() ? *cache : nullptr;
}

/// How many tokens of `tokens` are kept; −1 when what is found is wrong.
inline int64_t Found(StateCache& cache, std::string_view owner, const Tokens& tokens) {
  const StatePtr state = cache.Find(owner, tokens);
  if (state == nullptr) return 0;
  if (state->tokens.size() > tokens.size()) return -1;
  const Tokens beginning(tokens.begin(), tokens.begin() + static_cast<int64_t>(state->tokens.size()));
  return IsStateOf(state, beginning) ? static_cast<int64_t>(beginning.size()) : -1;
}

/// `n` tokens below `vocab` that begin with `first`.
inline Tokens RandomText(Random& random, size_t n, uint64_t vocab = 16, int32_t first = 0) {
  Tokens tokens = {first};
  while (tokens.size() < n) tokens.push_back(static_cast<int32_t>(random.Below(vocab)));
  return tokens;
}

}  // namespace tern::testing
