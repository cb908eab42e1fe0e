// RWKV World: from each place, the longest token that the text begins with.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "text/byte_trie.h"
#include "text/tokenizer.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

class WorldTokenizer final : public Tokenizer {
 public:
  WorldTokenizer(std::vector<std::string> tokens, ByteTrie trie)
      : tokens_(std::move(tokens)), trie_(std::move(trie)) {}

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4 + 8);
    while (!text.empty()) {
      const ByteTrie::Match match = trie_.Longest(text);  // never empty: every single byte is a token
      ids.push_back(match.id);
      text.remove_prefix(match.length);
    }
    return ids;
  }
  std::string_view TokenBytes(int32_t id) const override {
    if (id < 0 || static_cast<size_t>(id) >= tokens_.size()) return {};
    return tokens_[static_cast<size_t>(id)];
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  std::string_view name() const override { return "world"; }

 private:
  std::vector<std::string> tokens_;
  ByteTrie trie_;
};

Status CheckSingleBytes(const ByteTrie& trie) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (trie.Longest({&c, 1}).id < 0) {
      return Corrupt(
          fmt::format("no token for the single byte 0x{:02x}: some texts could not be encoded", byte));
    }
  }
  return OkStatus();
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> MakeWorldTokenizer(std::vector<std::string> tokens) {
  if (tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return InvalidArgument(fmt::format("{} tokens are too many", tokens.size()));
  }
  if (!tokens.empty()) tokens[0].clear();
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t id = 1; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) entries.emplace_back(tokens[id], static_cast<int32_t>(id));
  }
  std::sort(entries.begin(), entries.end());
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].first == entries[i - 1].first) {
      return Corrupt(
          fmt::format("tokens {} and {} are the same bytes", entries[i - 1].second, entries[i].second));
    }
  }
  ByteTrie trie(std::move(entries));
  TERN_RETURN_IF_ERROR(CheckSingleBytes(trie));
  return std::shared_ptr<const Tokenizer>(
      std::make_shared<WorldTokenizer>(std::move(tokens), std::move(trie)));
}

Result<std::shared_ptr<const Tokenizer>> ParseWorldTokenizer(std::string_view content,
                                                             const std::string& source) {
  TERN_ASSIGN_OR_RETURN(std::vector<std::string> tokens, ParseWorldVocab(content, source));
  auto tokenizer = MakeWorldTokenizer(std::move(tokens));
  if (!tokenizer.ok()) return tokenizer.status().WithContext(fmt::format("'{}'", source));
  return tokenizer;
}

Result<std::shared_ptr<const Tokenizer>> LoadWorldTokenizer(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const std::string content, ReadFileToString(path, kMaxTokenizerFileBytes));
  return ParseWorldTokenizer(content, path);
}

}  // namespace tern
