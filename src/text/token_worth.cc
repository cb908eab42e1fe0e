#include "text/token_worth.h"

#include <cstddef>
#include <string_view>
#include <utility>

#include "base/parallel.h"
#include "text/byte_trie.h"

namespace tern {
namespace {

struct Token {
  int32_t id;
  size_t begin;
};

ByteTrie TrieOf(const std::vector<std::string>& tokens) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t i = 0; i < tokens.size(); ++i) entries.emplace_back(tokens[i], static_cast<int32_t>(i));
  return ByteTrie(std::move(entries));
}

void Encode(const ByteTrie& trie, std::string_view text, std::vector<Token>* tokens) {
  tokens->clear();
  for (size_t at = 0; at < text.size();) {
    const ByteTrie::Match match = trie.Longest(text.substr(at));
    tokens->push_back({match.id, at});
    at += match.length;
  }
}

/// How many more tokens a text has when its `index`th may not be used: read on without it until the old
/// tokens are met.
int64_t WithoutToken(const ByteTrie& trie, std::string_view text, const std::vector<Token>& tokens,
                     size_t index) {
  const int32_t banned = tokens[index].id;
  size_t at = tokens[index].begin, old = index;
  int64_t more = 0;
  do {
    ByteTrie::Match match = trie.Longest(text.substr(at));
    // The longest but the banned one: nothing else has its length and fits, so look at less.
    if (match.id == banned) match = trie.Longest(text.substr(at, match.length - 1));
    at += match.length;
    ++more;
    for (; old < tokens.size() && tokens[old].begin < at; ++old) --more;
  } while (at < text.size() && (old == tokens.size() || tokens[old].begin != at));
  return more;
}

/// Adds what the tokens of `chunk` are worth in it.
void AddWorth(const ByteTrie& trie, const CountedText& chunk, std::vector<Token>* encoded,
              std::vector<int64_t>* worth) {
  Encode(trie, chunk.text, encoded);
  for (size_t i = 0; i < encoded->size(); ++i) {
    const size_t end = i + 1 < encoded->size() ? (*encoded)[i + 1].begin : chunk.text.size();
    if (end - (*encoded)[i].begin == 1) continue;
    (*worth)[static_cast<size_t>((*encoded)[i].id)] +=
        chunk.count * WithoutToken(trie, chunk.text, *encoded, i);
  }
}

}  // namespace

std::vector<int64_t> WorthOfTokens(const std::vector<CountedText>& chunks,
                                   const std::vector<std::string>& tokens) {
  constexpr int64_t kBlocks = 16;
  const ByteTrie trie = TrieOf(tokens);
  const auto n = static_cast<int64_t>(chunks.size());
  std::vector<std::vector<int64_t>> blocks(kBlocks, std::vector<int64_t>(tokens.size()));
  ParallelFor(kBlocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<Token> encoded;
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t c = n * b / kBlocks; c < n * (b + 1) / kBlocks; ++c) {
        AddWorth(trie, chunks[static_cast<size_t>(c)], &encoded, &blocks[static_cast<size_t>(b)]);
      }
    }
  });
  std::vector<int64_t> sum(tokens.size());
  for (const std::vector<int64_t>& block : blocks) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += block[i];
  }
  return sum;
}

}  // namespace tern
