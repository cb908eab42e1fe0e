// What the tests of grammars, masks and schemas share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "infer/grammar.h"
#include "infer/grammar_matcher.h"

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

}  // namespace tern::testing
