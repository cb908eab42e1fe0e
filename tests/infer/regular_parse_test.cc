// Patterns mean what ECMAScript says; what is not supported is refused by name; broken patterns do no harm.
#include "infer/regular_parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/infer/regular_testing.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::PatternLanguage;
using testing::PatternMaker;
using testing::TextsOver;

TEST(RegularParseTest, RandomPatternsMatchWhereTheStandardLibrarySaysSo) {
  constexpr uint32_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  PatternMaker maker(kSeed);
  const std::vector<std::string> texts = TextsOver("-ab", 5);
  int matches = 0, all = 0;
  for (int i = 0; i < 1500; ++i) {
    const std::string pattern = maker.Pattern();
    const RegularLanguage language = PatternLanguage(pattern);
    const std::regex oracle(pattern);
    for (const std::string& text : texts) {
      const bool expected = std::regex_search(text, oracle);
      ASSERT_EQ(language.Contains(text), expected) << "/" << pattern << "/ in '" << text << "'";
      matches += expected ? 1 : 0;
      ++all;
    }
  }
  EXPECT_GT(matches, all / 10);  // both answers are tried often
  EXPECT_LT(matches, all * 9 / 10);
}

struct PatternRow {
  const char* pattern;
  std::vector<const char*> matches, others;
};

TEST(RegularParseTest, MeansWhatEcmaScriptSays) {
  const std::vector<PatternRow> table = {
      {"", {"", "x"}, {}},
      {"b", {"b", "abc"}, {"", "ac"}},
      {"^a|b$", {"ax", "xb"}, {"xa", "bx"}},
      {"(^a|b)c", {"ac", "xbc"}, {"xac"}},
      {"a$b", {}, {"ab", "a"}},
      {"^\\d+\\D$", {"12x", "1\u00e9"}, {"12", "\u0661x"}},
      {"^\\w\\W$", {"_-", "a\u00e9"}, {"\u00e9-"}},
      {"^\\s\\S$", {" x", "\u00a0x", "\ufeff-", "\u2028a"}, {"x ", "\u200bx"}},
      {"^.$", {"x", "\u00e9", "\U0001F600"}, {"", "\n", "\r", "\u2028", "xx"}},
      {"^[^]$", {"\n", "x"}, {""}},
      {"[]", {}, {"", "x"}},
      {"^[a\\]b^-]$", {"]", "^", "-", "b"}, {"c", "\\"}},
      {"^[\\w-.]$", {"-", ".", "x"}, {"/", "\u00e9"}},
      {"^[\\b]$", {"\b"}, {"b"}},
      {"^\\t\\n\\v\\f\\r\\0$", {}, {"t"}},
      {"^\\x41\\u0042\\u{43}\\cJ$", {"ABC\n"}, {"ABCJ"}},
      {"^\\ud83d\\ude00$", {"\U0001F600"}, {"x"}},
      {"^\\p{Lu}\\p{L}\\P{L}$", {"\u00c9a1"}, {"aa1", "Aaa"}},
      {"^\\p{Script}$", {}, {}},
      {"^a{2}b{1,}c{0,1}$", {"aab", "aabbc"}, {"ab", "aabcc"}},
      {"^a{,2}x{y}]$", {}, {}},
      {"^x{y}]$", {"x{y}]"}, {"x"}},
      {"^(?<first>a)(?:b)+?$", {"ab", "abb"}, {"a"}},
      {"\\bfoo\\b", {"foo", "a foo!"}, {"food", "_foo", "foo1"}},
      {"^(?!.*foo).+$", {"bar"}, {"a foo", ""}},
      {"^(?=.*\\d)(?=.*[a-z]).{4,}$", {"ab12", "1bcd"}, {"abcd", "1234", "a1"}},
      {"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$", {"1.5", "-0.25", "+7", "007"}, {"", "-", "+.", "1.2.3", "1e5"}},
      {"^(?!0$)\\d+(?!\\.)$", {"10", "5"}, {"0", "5."}},
      {"(?i)^straSSe$", {"STRASSE", "strasse"}, {"stra\u00dfe"}},
      {"^(?i:k)k$", {"Kk", "kk"}, {"kK", "\u212ak"}},
      {"^(?i:[^k])$", {"x"}, {"k", "K"}},
      {"^(?i:\u00e9)$", {"\u00e9", "\u00c9"}, {"e"}},
      {"^(?i:a(?-i:b))$", {"Ab", "ab"}, {"aB"}},
      {"^(?s:.).?$", {"\n", "\nx"}, {"x\n"}},
  };
  for (const PatternRow& row : table) {
    if (row.matches.empty() && row.others.empty()) continue;
    const RegularLanguage language = PatternLanguage(row.pattern);
    for (const char* text : row.matches)
      EXPECT_TRUE(language.Contains(text)) << row.pattern << " in '" << text << "'";
    for (const char* text : row.others)
      EXPECT_FALSE(language.Contains(text)) << row.pattern << " in '" << text << "'";
  }
  EXPECT_TRUE(PatternLanguage("^\\t\\n\\v\\f\\r\\0$").Contains(std::string("\t\n\v\f\r\0", 6)));
}

TEST(RegularParseTest, RefusesByNameAndPlace) {
  const std::vector<std::pair<const char*, const char*>> table = {
      {"(a)\\1", "byte 5: back references"},
      {"(?<n>a)\\k<n>", "byte 9: back references"},
      {"(?<=a)b", "look-behind"},
      {"(?<!a)b", "look-behind"},
      {"(?m:^a)", "the flag 'm'"},
      {"(?>a)", "this kind of group"},
      {"\\p{Greek}", "general categories"},
      {"\\pL", "expected {"},
      {"\\p{L", "no closing }"},
      {"a**", "'*' after a repetition"},
      {"*a", "'*' has nothing before it"},
      {"^*", "'*' after what has no length"},
      {"(?=a)*", "'*' after what has no length"},
      {"a{2,1}", "end is before its beginning"},
      {"a{,2}", "{, is read differently"},
      {"a{70000}", "a repetition of more than"},
      {"[b-a]", "end is before its beginning"},
      {"[a", "no closing ]"},
      {"(a", "expected )"},
      {"a)", "unexpected ')'"},
      {"a\\", "a \\ at the end"},
      {"\\q", "the escape \\"},
      {"\\x4", "hexadecimal digit"},
      {"\\u12", "hexadecimal digit"},
      {"\\ud83d", "half of a character"},
      {"\\u{110000}", "not a character's number"},
      {"\\c1", "expected a letter after \\c"},
      {"(?<n", "name of a group has no end"},
      {"\xFF", "not valid UTF-8"},
  };
  for (const auto& [pattern, message] : table) {
    const auto tree = ParseRegular(pattern);
    EXPECT_EQ(tree.status().code(), StatusCode::kUnsupported) << pattern;
    EXPECT_THAT(tree.status().message(), HasSubstr(message)) << pattern;
    EXPECT_THAT(tree.status().message(), HasSubstr("byte ")) << pattern;
  }
  const std::string deep(1000, '(');
  EXPECT_THAT(ParseRegular(deep).status().message(), HasSubstr("nested too deep"));
}

TEST(RegularParseTest, BrokenPatternsAreReadOrRefused) {
  constexpr uint32_t kSeed = 5;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const std::vector<std::string> patterns = {"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$",
                                             "^\\p{Lu}[^\\w-]{2,3}?(?<n>a|b)*\\u{1F600}\\x41$",
                                             "(?i)a(?:b(?s:.)){1,}\\b[\\b-z]"};
  const std::string pieces = "()[]{}?*+|\\^$-,:=!<>iu0aZ\xC3";
  PatternMaker maker(kSeed);
  int good = 0, bad = 0;
  for (int i = 0; i < 6000; ++i) {
    std::string pattern = patterns[static_cast<size_t>(i) % patterns.size()];
    const auto at = maker.Below(static_cast<uint32_t>(pattern.size()));
    switch (maker.Below(3)) {
      case 0:
        pattern.resize(at);
        break;
      case 1:
        pattern.erase(at, 1 + maker.Below(3));
        break;
      default:
        pattern.insert(at, 1, pieces[maker.Below(static_cast<uint32_t>(pieces.size()))]);
    }
    RegularBudget budget;
    const auto language = RegularLanguage::OfPattern(pattern, &budget);
    (language.ok() ? good : bad) += 1;
    if (!language.ok()) {
      ASSERT_TRUE(language.status().code() == StatusCode::kUnsupported ||
                  language.status().code() == StatusCode::kExhausted)
          << pattern << ": " << language.status().message();
    }
  }
  EXPECT_GT(good, 500);
  EXPECT_GT(bad, 500);
}

}  // namespace
}  // namespace tern
