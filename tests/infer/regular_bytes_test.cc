// The bytes of a language are exactly its texts, plain or as JSON strings.
#include "infer/regular_bytes.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/regular_automaton.h"
#include "tests/infer/regular_testing.h"

namespace tern {
namespace {

using testing::PatternLanguage;

ByteAutomaton BytesOfPattern(const std::string& pattern, TextSpelling spelling) {
  RegularBudget budget;
  const auto automaton = PatternLanguage(pattern).WithLength(&budget);
  EXPECT_TRUE(automaton.ok());
  const auto bytes = BytesOf(*automaton, spelling, &budget);
  EXPECT_TRUE(bytes.ok());
  return bytes.ok() ? *bytes : ByteAutomaton();
}

bool Reads(const ByteAutomaton& automaton, const std::string& text) {
  uint32_t state = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    bool found = false;
    for (const ByteAutomaton::Edge& edge : automaton.EdgesOf(state)) {
      if (edge.low > byte || byte > edge.high) continue;
      EXPECT_FALSE(found) << "two ways on";
      state = edge.target;
      found = true;
      break;
    }
    if (!found) return false;
  }
  return automaton.accepts[state];
}

TEST(RegularBytesTest, AreTheTextsInUtf8) {
  const std::vector<std::string> patterns = {"^[\\u00e9-\\u2028a-z]*$", "^.{1,2}$", "^[^\\u0800-\\uffff]$",
                                             "^(a|\\u{1F600})+$"};
  const std::vector<std::string> texts = {"",           "a",      "\u00e9",       "\u07ff", "\u0800",
                                          "\u2028",     "\u2029", "\ud7ff",       "\ue000", "\uffff",
                                          "\U00010000", "aa",     "a\U0001F600a", "\n",     "\U0010FFFF"};
  for (const std::string& pattern : patterns) {
    const RegularLanguage language = PatternLanguage(pattern);
    const ByteAutomaton bytes = BytesOfPattern(pattern, TextSpelling::kPlain);
    for (const std::string& text : texts)
      EXPECT_EQ(Reads(bytes, text), language.Contains(text)) << pattern << " " << text;
    for (const char* broken :
         {"\x80", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\x80", "\xFF"})
      EXPECT_FALSE(Reads(bytes, broken)) << pattern;
  }
}

TEST(RegularBytesTest, JsonStringsAreQuotedAndEscapedInOneWay) {
  const ByteAutomaton any = BytesOfPattern("^[^]*$", TextSpelling::kJsonString);
  for (const char* text : {"", "plain", "\"", "\\", "\b\f\n\r\t", "\x01\x1f", "\u00e9/", "\x7f"}) {
    const std::string written = nlohmann::json(text).dump();
    EXPECT_TRUE(Reads(any, written)) << written;
    EXPECT_FALSE(Reads(any, written + "\"")) << written;
    EXPECT_FALSE(Reads(any, written.substr(0, written.size() - 1))) << written;
  }
  for (const char* other : {"\"\\/\"", "\"\\u0041\"", "\"\\u001F\"", "\"\n\"", "\"\\x\"", "a", "\"\"\""})
    EXPECT_FALSE(Reads(any, other)) << other;
}

TEST(RegularBytesTest, EveryStateLeadsToTheEnd) {
  for (const char* pattern : {"^.{3}$", "\\bword\\b", "^[\\u0800-\\uffff]+x$"}) {
    const ByteAutomaton bytes = BytesOfPattern(pattern, TextSpelling::kJsonString);
    std::vector<bool> ends(bytes.accepts);
    for (bool changed = true; changed;) {
      changed = false;
      for (uint32_t state = 0; state < bytes.states(); ++state) {
        for (const ByteAutomaton::Edge& edge : bytes.EdgesOf(state)) {
          if (ends[state] || !ends[edge.target]) continue;
          ends[state] = changed = true;
        }
      }
    }
    EXPECT_EQ(ends, std::vector<bool>(bytes.states(), true)) << pattern;
  }
}

}  // namespace
}  // namespace tern
