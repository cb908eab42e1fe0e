// What the tests of grammars, masks and schemas share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "infer/grammar.h"
#include "infer/grammar_matcher.h"
#include "infer/token_mask.h"
#include "text/tokenizer.h"

namespace tern::testing {

inline std::shared_ptr<const Grammar> GrammarOf(std::string_view text) {
  auto grammar = ParseGrammar(text);
  EXPECT_TRUE(grammar.ok()) << grammar.status().message() << "\nin\n" << text;
  return grammar.ok() ? *grammar : nullptr;
}

/// Whether the whole text is one of the grammar's.
inline bool Accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  return matcher.Advance(text) && matcher.complete();
}

/// How many bytes of the text may stand at a text's beginning.
inline size_t AcceptedBytes(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  size_t n = 0;
  while (n < text.size() && matcher.Advance(static_cast<uint8_t>(text[n]))) ++n;
  return n;
}

/// The bytes that may follow.
inline std::string NextBytes(const GrammarMatcher& matcher) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    GrammarMatcher copy = matcher;
    if (copy.Advance(static_cast<uint8_t>(byte))) bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

/// Writes a text of the grammar under its masks: random tokens, the end of the text where it may come with
/// the chance `end`. To come to an end at all, tokens that begin with a closing mark are taken with the
/// chance `close`. What was written after `most` tokens may be incomplete; `complete` says.
struct Written {
  std::string text;
  bool complete = false;
};
inline Written WriteAtRandom(const std::shared_ptr<TokenMasks>& masks, Random* random, int most, double end,
                             double close) {
  GrammarMatcher matcher(masks->grammar());
  Written written;
  for (int i = 0; i < most; ++i) {
    written.complete = matcher.complete();
    if (written.complete && (matcher.exhausted() || random->Uniform() < end)) return written;
    auto mask = masks->Find(matcher);
    EXPECT_TRUE(mask.ok()) << mask.status().message();
    if (!mask.ok() || (*mask)->count == 0) {
      EXPECT_TRUE(matcher.complete()) << "a dead end after " << written.text;
      return written;
    }
    std::vector<int32_t> tokens, closing;
    for (size_t t = 0; t < masks->tokens().vocab_size(); ++t) {
      const auto token = static_cast<int32_t>(t);
      if (!(*mask)->Contains(token)) continue;
      tokens.push_back(token);
      if (std::string_view("}]\",:").find(masks->tokens().text(token)[0]) != std::string_view::npos) {
        closing.push_back(token);
      }
    }
    const auto& from = !closing.empty() && random->Uniform() < close ? closing : tokens;
    const int32_t token = from[random->Below(from.size())];
    EXPECT_TRUE(matcher.Advance(masks->tokens().text(token)));
    written.text += masks->tokens().text(token);
  }
  written.complete = matcher.complete();
  return written;
}

/// Every byte, what JSON is made of in pieces that cross its borders, and characters cut in the middle.
inline std::shared_ptr<const Tokenizer> JsonVocabulary() {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* text :
       {"{\"",      "\": ",     "\":",   "\", \"", "\"}",      "}, {",     "]}",       "}}",     "\"}]}",
        "\": [",    "\": {\"",  "[[",    "]]",     ", ",       "true",     "false",    "null",   "12",
        "00",       ".5",       "e-",    "-1",     "\\u",      "d83d",     "\\ude00",  "\\\"",   " {",
        "  ",       "\\n",       "na",    "name",   "name\"",   "\xC3\xA9", "\xE6\xBC", "\xA2\"", "\xF0\x9F",
        "\x98\x80", "\xA9\xE6", "2024-", "-02-",   "\"a\": 1", "\"}, \"b"}) {
    tokens.emplace_back(text);
  }
  auto made = MakeWorldTokenizer(tokens);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return *made;
}

}  // namespace tern::testing
