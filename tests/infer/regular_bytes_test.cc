// The bytes of a language are exactly its texts, plain or as JSON strings.
#include "infer/regular_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
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
  uint32_t state = 0, count = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const auto edges = automaton.EdgesOf(state);
    const auto reads = [byte](const ByteAutomaton::Edge& edge) {
      return edge.low <= byte && byte <= edge.high;
    };
    EXPECT_LE(std::count_if(edges.begin(), edges.end(), reads), 1) << "two ways on";
    const auto edge = std::find_if(edges.begin(), edges.end(), reads);
    if (edge == edges.end()) return false;
    const bool counted =
        automaton.count > 0 && state != 0 && automaton.last[edge->target] != ByteAutomaton::kNone;
    state = counted && ++count == automaton.count ? automaton.last[edge->target] : edge->target;
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

TEST(RegularBytesTest, LongLengthsAreCountedExactly) {
  struct Case {
    const char* pattern;
    TextLength length;
    std::vector<std::string> units;  // texts are made of them
  };
  const std::vector<Case> cases = {
      {"^[a-z]+@[a-z]+\\.com$", {0, 700}, {"q", "@", "x.com", "w@w", ".com", "\u00e9"}},
      {"^(abc)*$", {0, 2000}, {"abc", "a"}},
      {"^(\\S+ )*\\S$", {5, 3000}, {"\u00e9", "x ", " ", "yz"}},
      {"^x(ab|c)*$", {3, 2500}, {"x", "ab", "c"}}};
  RegularBudget budget;
  for (const Case& c : cases) {
    const auto language =
        PatternLanguage(c.pattern).Intersection(RegularLanguage::OfLength(c.length), &budget);
    ASSERT_TRUE(language.ok());
    const auto bytes = StringBytesOf(*language, &budget);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    EXPECT_GT(bytes->count, 600u) << c.pattern;
    EXPECT_LT(bytes->states(), 1000u) << c.pattern;
    int accepted = 0;
    for (const std::string& first : c.units) {
      for (const std::string& last : c.units) {
        for (const uint32_t near : {c.length.min, c.length.max}) {
          for (uint32_t repeated = near < 8 ? 0 : near - 8; repeated <= near + 2; ++repeated) {
            for (const std::string& unit : c.units) {
              std::string text = first;
              for (uint32_t i = 0; i < repeated / std::max<size_t>(1, unit.size()); ++i) text += unit;
              text += last;
              const bool expected = language->Contains(text);
              accepted += expected ? 1 : 0;
              ASSERT_EQ(Reads(*bytes, "\"" + text + "\""), expected) << c.pattern << " " << text.size();
            }
          }
        }
      }
    }
    EXPECT_GT(accepted, 5) << c.pattern;
  }
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
