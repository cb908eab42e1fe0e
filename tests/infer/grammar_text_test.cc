// The language of grammars: what its texts mean, and that mistakes are named with their place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::Accepts;
using testing::GrammarOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Meaning {
  const char* grammar;
  std::vector<std::string> texts;  ///< of the grammar
  std::vector<std::string> others;
};

TEST(GrammarText, MeansWhatItSays) {
  const std::vector<Meaning> table = {
      {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "y", "yesno", "Yes"}},
      {"root ::= [a-c]+ \"-\"? [^a-c]", {"ab-x", "ax", "c-é", "b漢", "a\n"}, {"ab", "-x", "ab-a", "ab--x"}},
      {"root ::= (\"a\" | \"b\" \"c\")* \"d\"", {"d", "abcd", "bcbcd"}, {"bd", "abc", "ad d"}},
      {"root ::= \"a\"{2} \"b\"{1,3} \"c\"{2,}", {"aabcc", "aabbbccccc"}, {"abcc", "aabbbbcc", "aabc"}},
      {"root ::= \"a\"{,2} \"b\"{0} \"c\"{0,0}", {"", "a", "aa"}, {"aaa", "b", "c"}},
      {"root ::= [0-9]{3} (\"-\" [0-9]{4}){0,2}",
       {"123", "123-4567", "123-4567-8901"},
       {"12", "123-", "123-456"}},
      {"root ::= \"\"", {""}, {"a"}},
      {"root ::= | \"a\"", {"", "a"}, {"aa"}},
      {"root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\r\\\\\\\"\\[\\]\"", {"Aé😀\n\t\r\\\"[]"}, {"A"}},
      {"root ::= [\\]\\[\\\\\\-\\^x-]", {"]", "[", "\\", "-", "^", "x"}, {"y", ""}},
      {"root ::= [あ-ん] .", {"かa", "ん😀", "あ\n"}, {"ア.", "か", "か\xff"}},
      {"root ::= [\\u0080-\\uFFFF]", {"\u0080", "é", "漢", "\uFFFF"}, {"a", "😀", "\xED\xA0\x80"}},
      {"# a comment\r\nroot ::= a \" \" # and another\n  # indented\n\na ::= b |\n   \"x\"\nb::=\"y\"",
       {"x ", "y "},
       {"x", "y"}},
      {"root ::= (\n  \"a\" # over\n  | \"b\"\n)\n? \"c\"", {}, {}},
      {"root ::=\n  item (\n \",\" item\n)*\nitem ::= [a-z_0-9]+\nunused-Rule_2 ::= item",
       {"a", "a,b_1"},
       {"a,", ","}},
      {"root ::= \"(\" root \")\" | \"x\"", {"x", "((x))"}, {"((x)", "()"}},
      {"root ::= \"a\" root \"b\" | ", {"", "ab", "aaabbb"}, {"aab", "abb"}},
      {"root ::= \"x\" root | \"x\"", {"x", std::string(5000, 'x')}, {""}},
      {"root ::= [a-z]* [a-z]* \"!\"", {"!", "abc!"}, {"abc"}},
  };
  for (const Meaning& row : table) {
    if (row.texts.empty()) {
      EXPECT_FALSE(ParseGrammar(row.grammar).ok()) << row.grammar;
      continue;
    }
    const auto grammar = GrammarOf(row.grammar);
    ASSERT_TRUE(grammar);
    for (const std::string& text : row.texts)
      EXPECT_TRUE(Accepts(grammar, text)) << row.grammar << "\n" << text;
    for (const std::string& text : row.others)
      EXPECT_FALSE(Accepts(grammar, text)) << row.grammar << "\n" << text;
  }
}

struct Mistake {
  std::string grammar;
  const char* place;
  const char* what;
};

TEST(GrammarText, NamesMistakesAndTheirPlace) {
  const std::vector<Mistake> table = {
      {"", "", "no rule 'root'"},
      {"rot ::= \"a\"", "", "no rule 'root'"},
      {"root ::= a\nb ::= c \"x\"\na ::= \"a\"", "line 2, column 7: ", "rule 'c' is not defined"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: ", "defined twice"},
      {"root ::= root \"a\" | \"b\"", "line 1, column 1: ", "left recursion"},
      {"root ::= a\na ::= \"\" b\nb ::= [x]? a \"y\" | \"z\"", "line 2, column 1: ", "'a' -> 'b' -> 'a'"},
      {"root ::= \"a\" root", "line 1, column 1: ", "can never end"},
      {"root ::= \"x\"\nloop ::= \"a\" pool\npool ::= \"b\" loop", "line 2, column 1: ", "can never end"},
      {"root ::= \"x\" (\"a\"?)*", "line 1, column 14: ", "can be empty"},
      {"root ::= e+\ne ::= \"\" | \"a\"", "line 1, column 10: ", "can be empty"},
      {"root ::= \"a", "line 1, column 10: ", "no closing \""},
      {"root ::= \"a\nb\"", "line 1, column 10: ", "no closing \""},
      {"root ::= é [a-", "line 1, column 10: ", "found 'é'"},
      {"root ::= \"é\" [a-", "line 1, column 14: ", "no closing ]"},
      {"root ::= [b-a]", "line 1, column 11: ", "before its beginning"},
      {"root ::= []", "line 1, column 10: ", "without any character"},
      {"root ::= (\"a\" | (\"b\")", "line 1, column 22: ", "for the ( at line 1, column 10"},
      {"root ::= \"a\")", "line 1, column 13: ", "found ')'"},
      {"root ::= * \"a\"", "line 1, column 10: ", "nothing before it"},
      {"root ::= \"a\" | {2}", "line 1, column 16: ", "nothing before it"},
      {"root ::= \"a\"{}", "line 1, column 14: ", "expected a number"},
      {"root ::= \"a\"{,}", "line 1, column 13: ", "without a number"},
      {"root ::= \"a\"{3,2}", "line 1, column 13: ", "before its beginning"},
      {"root ::= \"a\"{2", "line 1, column 15: ", "expected }"},
      {"root ::= \"a\"{1,1000000}", "line 1, column 16: ", "more than 65536"},
      {"root ::= \"a\"{99999999999999999999}", "line 1, column 14: ", "more than 65536"},
      {"root ::= \"\\q\"", "line 1, column 12: ", "unknown escape"},
      {"root ::= \"\\uD800\"", "line 1, column 13: ", "no Unicode character"},
      {"root ::= \"\\U00110000\"", "line 1, column 13: ", "no Unicode character"},
      {"root ::= \"\\x4\"", "line 1, column 14: ", "expected 2 hexadecimal digits"},
      {"root = \"a\"", "line 1, column 6: ", "expected ::="},
      {"root ::= \"a\" b ::= \"c\"", "line 1, column 14: ", "line of its own"},
      {"root ::= \"a\"\n%%", "line 2, column 1: ", "expected the name of a rule, found '%'"},
      {"root ::= <[12]>", "line 1, column 10: ", "token literals"},
      {"root ::= \"\xff\"", "line 1, column 11: ", "not valid UTF-8"},
      {"root ::= \"a\"\n  | \"b\"", "line 2, column 3: ", "expected the name of a rule"},
  };
  for (const Mistake& row : table) {
    auto grammar = ParseGrammar(row.grammar);
    ASSERT_FALSE(grammar.ok()) << row.grammar;
    EXPECT_EQ(grammar.status().code(), StatusCode::kInvalidArgument) << row.grammar;
    EXPECT_THAT(grammar.status().message(), StartsWith(row.place)) << row.grammar;
    EXPECT_THAT(grammar.status().message(), HasSubstr(row.what)) << row.grammar;
  }
}

std::string Repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(GrammarText, RefusesWhatIsTooLarge) {
  const auto code = [](const std::string& text) { return ParseGrammar(text).status().code(); };
  EXPECT_EQ(code("root ::= " + Repeated("(", 300) + "\"a\"" + Repeated(")", 300)),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code("root ::= \"a\"" + std::string(GrammarLimits::kTextBytes, ' ')), StatusCode::kExhausted);
  EXPECT_EQ(code("root ::= \"" + std::string(GrammarLimits::kStates, 'a') + '"'), StatusCode::kExhausted);
  // Groups that multiply: each level a rule of its own, so that the states add up instead.
  const auto grammar = GrammarOf("root ::= " + Repeated("(", 20) + "\"a\"" + Repeated("{1000})", 20));
  ASSERT_TRUE(grammar);
  EXPECT_LT(grammar->states(), 50000u);
  EXPECT_EQ(testing::AcceptedBytes(grammar, std::string(3000, 'a')), 3000u);
}

TEST(GrammarText, AcceptsALongChainOfRules) {
  std::string text = "root ::= r0\n";
  for (int i = 0; i < 20000; ++i)
    text += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " | \"b\" \n";
  const auto chain = GrammarOf(text + "r20000 ::= \"a\"");
  EXPECT_GT(chain->rules(), 20000u);
  // Each rule needs the next before it can end: more calls within one another than there may be.
  std::string deep = "root ::= r0\n";
  for (int i = 0; i < 300; ++i)
    deep += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " \"b\"\n";
  const auto refused = ParseGrammar(deep + "r300 ::= \"a\"");
  EXPECT_EQ(refused.status().code(), StatusCode::kExhausted);
  EXPECT_THAT(refused.status().message(), HasSubstr("nested"));
}

}  // namespace
}  // namespace tern
