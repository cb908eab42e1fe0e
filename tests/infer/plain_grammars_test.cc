// Grammars of plain texts: one of several strings, a regular expression as a whole.
#include "infer/plain_grammars.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::Accepts;
using ::testing::HasSubstr;

TEST(ChoiceGrammar, AcceptsItsTextsAndNoOthers) {
  const auto grammar = ChoiceGrammar({"yes", "no", "not now", "漢字", "a\"b\n"});
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  for (const char* text : {"yes", "no", "not now", "漢字", "a\"b\n"})
    EXPECT_TRUE(Accepts(*grammar, text)) << text;
  for (const char* text : {"", "y", "yes ", "not", "No", "yesno", "漢"})
    EXPECT_FALSE(Accepts(*grammar, text)) << text;
}

TEST(ChoiceGrammar, RefusesWhatIsNoChoice) {
  EXPECT_FALSE(ChoiceGrammar({}).ok());
  EXPECT_THAT(ChoiceGrammar({"a", "\xff"}).status().message(), HasSubstr("UTF-8"));
  EXPECT_FALSE(ChoiceGrammar({std::string(GrammarLimits::kTextBytes + 1, 'x')}).ok());
}

struct PatternRow {
  const char* pattern;
  std::vector<std::string> texts, others;
};

TEST(RegexGrammar, DescribesTheWholeText) {
  const std::vector<PatternRow> table = {
      {"a|bc", {"a", "bc"}, {"", "ab", "abc", "xa", "ax"}},
      {"^a|bc$", {"a", "bc"}, {"ax", "xbc"}},
      {"^a$|^b$", {"a", "b"}, {"ab"}},
      {"(a|b)c", {"ac", "bc"}, {"a", "b", "c"}},
      {"[a|b]", {"a", "|", "b"}, {"a|b", ""}},
      {"a\\|b", {"a|b"}, {"a", "b"}},
      {"a\\$", {"a$"}, {"a"}},
      {"a|", {"a", ""}, {"b"}},
      {"\\d{2}-[A-Z]+", {"12-AB"}, {"1-A", "12-", "12-Ab", " 12-A"}},
      {"(?:yes|no)( please)?", {"yes", "no please"}, {"please", "yesno"}},
  };
  for (const PatternRow& row : table) {
    SCOPED_TRACE(row.pattern);
    const auto grammar = RegexGrammar(row.pattern);
    ASSERT_TRUE(grammar.ok()) << grammar.status().message();
    for (const std::string& text : row.texts) EXPECT_TRUE(Accepts(*grammar, text)) << text;
    for (const std::string& text : row.others) EXPECT_FALSE(Accepts(*grammar, text)) << text;
  }
}

TEST(RegexGrammar, RefusesWhatIsNoneOrCannotBeHonoured) {
  for (const char* pattern : {"(", "[a", "a{2,1}", "*a", "(a)\\1", "a\\"}) {
    EXPECT_FALSE(RegexGrammar(pattern).ok()) << pattern;
  }
  EXPECT_FALSE(RegexGrammar(std::string(GrammarLimits::kTextBytes + 1, 'x')).ok());
}

TEST(RegexGrammar, SurvivesPatternsThatAreNone) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  constexpr std::string_view kLetters = "ab|()[]{}^$\\?*+.,-12:";
  int taken = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string pattern;
    for (size_t n = 1 + random.Below(12); n > 0; --n) pattern += kLetters[random.Below(kLetters.size())];
    const auto grammar = RegexGrammar(pattern);
    taken += grammar.ok();
    if (grammar.ok()) {
      static_cast<void>(Accepts(*grammar, "ab1"));
    } else {
      EXPECT_FALSE(grammar.status().message().empty()) << pattern;
    }
  }
  EXPECT_GT(taken, 100);  // not all of them are wrong
}

}  // namespace
}  // namespace tern
