// Random calls of a state cache, in memory, against what a list of places says.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "infer/state_cache.h"

namespace tern {
namespace {

using Tokens = std::vector<int32_t>;
using Places = std::map<std::pair<std::string, Tokens>, bool>;  ///< by owner and tokens: has logits

ModelConfig Config() {
  ModelConfig config;
  config.generation = Generation::kRwkv7;
  config.vocab = 2, config.layers = 1, config.width = config.att_width = 2, config.heads = 1,
  config.head_size = 2;
  return config;
}

void Require(bool condition) {
  if (!condition) std::abort();
}

/// Bytes of the input as choices; zeros when it ends.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool more() const { return left_ > 0; }
  uint32_t Below(uint32_t n) {
    if (left_ == 0) return 0;
    --left_;
    return *data_++ % n;
  }
  Tokens Text() {
    Tokens tokens(Below(7));
    for (int32_t& token : tokens) token = static_cast<int32_t>(Below(2));
    return tokens;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

std::shared_ptr<const KeptState> Place(const Tokens& tokens, bool logits) {
  return std::make_shared<const KeptState>(
      KeptState{tokens, State(StateLayout(Config())), std::vector<float>(logits ? 2 : 0)});
}

int64_t Longest(const Places& places, const std::string& owner, const Tokens& tokens) {
  int64_t longest = 0;
  for (const auto& [key, logits] : places) {
    const auto& [whose, beginning] = key;
    if (whose != owner || beginning.size() > tokens.size() || (beginning.size() == tokens.size() && !logits))
      continue;
    if (!std::equal(beginning.begin(), beginning.end(), tokens.begin())) continue;
    longest = std::max(longest, static_cast<int64_t>(beginning.size()));
  }
  return longest;
}

/// With `room` for all nothing may be missing; with little, what is found must be right.
void Play(Choices choices, uint64_t memory_bytes, bool room) {
  auto opened = StateCache::Open({.memory_bytes = memory_bytes}, Config(), "hash");
  Require(opened.ok());
  StateCache& cache = **opened;
  Places unnamed, named;
  std::map<std::string, std::pair<std::string, Tokens>> ids;
  while (choices.more()) {
    const std::string owner(1, static_cast<char>('a' + choices.Below(2)));
    const uint32_t what = choices.Below(8);
    const Tokens tokens = choices.Text();
    const bool logits = choices.Below(2) == 0;
    if (what < 3) {
      cache.Keep(owner, Place(tokens, logits));
      if (!tokens.empty() && !named.contains({owner, tokens})) unnamed[{owner, tokens}] |= logits;
    } else if (what < 6) {
      const auto found = cache.Find(owner, tokens);
      const int64_t length = found == nullptr ? 0 : static_cast<int64_t>(found->tokens.size());
      Places all = unnamed;
      for (const auto& [key, has_logits] : named) all[key] |= has_logits;
      Require(room ? length == Longest(all, owner, tokens) : length <= Longest(all, owner, tokens));
      Require(found == nullptr || std::equal(found->tokens.begin(), found->tokens.end(), tokens.begin()));
    } else if (what == 6) {
      const auto saved = cache.Save(owner, Place(tokens, true), "", "");
      Require(saved.ok() || (!room && saved.status().code() == StatusCode::kExhausted));
      if (!saved.ok()) continue;
      Require(ids.emplace(saved->id, std::pair(owner, tokens)).second);
      named[{owner, tokens}] = true;
      unnamed.erase({owner, tokens});
    } else if (!ids.empty()) {
      auto it = ids.begin();
      std::advance(it, choices.Below(static_cast<uint32_t>(ids.size())));
      const auto [whose, text] = it->second;
      Require(cache.Fetch(whose == "a" ? "b" : "a", it->first).status().code() == StatusCode::kNotFound);
      const auto fetched = cache.Fetch(whose, it->first);
      Require(fetched.ok() && (*fetched)->tokens == text);
      Require(cache.Delete(whose, it->first).ok());
      ids.erase(it);
      const bool again = std::any_of(ids.begin(), ids.end(), [&, &w = whose, &t = text](const auto& entry) {
        return entry.second == std::pair(w, t);
      });
      if (!again) named.erase({whose, text});
    }
    Require(cache.stats().memory_bytes <= memory_bytes);
    Require(cache.stats().named == static_cast<int64_t>(ids.size()));
  }
  Require(cache.List("a").size() + cache.List("b").size() == ids.size());
}

}  // namespace
}  // namespace tern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tern::Play({data, size}, uint64_t{1} << 30, true);
  tern::Play({data, size}, 1000, false);
  return 0;
}
