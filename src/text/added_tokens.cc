#include "text/added_tokens.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace tern {
namespace {

/// The character that ends right before `at` (> 0) of valid UTF-8.
Utf8Char Before(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return DecodeUtf8(text, begin);
}

bool IsSpace(const Utf8Char& c) { return ClassOf(c.codepoint) == CharClass::kSpace; }

bool StandsAlone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordChar(Before(text, begin).codepoint)) return false;
  return end >= text.size() || !IsWordChar(DecodeUtf8(text, end).codepoint);
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, bool normalized, bool nfc) {
  std::unordered_set<std::string> seen;
  for (AddedToken token : tokens) {
    if (token.normalized != normalized) continue;
    std::string buffer;
    if (nfc) token.content = std::string(NormalizeNfc(token.content, &buffer));
    if (seen.insert(token.content).second) tokens_.push_back(std::move(token));
  }
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    entries.emplace_back(tokens_[i].content, static_cast<int32_t>(i));
    first_[static_cast<uint8_t>(tokens_[i].content[0])] = true;
  }
  trie_ = ByteTrie(std::move(entries));
}

AddedTokens::Found AddedTokens::Next(std::string_view text, size_t from, size_t floor, size_t* resume) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!first_[static_cast<uint8_t>(text[at])]) continue;
    const ByteTrie::Match match = trie_.Longest(text.substr(at));
    if (match.id < 0) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(match.id)];
    Found found{at, at + match.length, token.id};
    if (token.single_word && !StandsAlone(text, found.begin, found.end)) {
      at = found.end - 1;  // The library does not look inside a token that it has passed over.
      continue;
    }
    *resume = found.end;
    while (token.lstrip && found.begin > floor && IsSpace(Before(text, found.begin))) {
      found.begin -= Before(text, found.begin).length;
    }
    found.begin = std::max(found.begin, floor);
    while (token.rstrip && found.end < text.size()) {
      const Utf8Char next = DecodeUtf8(text, found.end);
      if (!IsSpace(next)) break;
      found.end += next.length;
    }
    found.end = std::max(found.end, floor);
    return found;
  }
  return {text.size(), text.size(), -1};
}

}  // namespace tern
