// The state of a generation: forks, bounds on ambiguity and depth, no dead ends.
#include "infer/grammar_matcher.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/infer/grammar_testing.h"

namespace tern {
namespace {

using testing::Accepts;
using testing::GrammarOf;
using testing::NextBytes;

TEST(GrammarMatcher, SaysWhichBytesMayFollow) {
  GrammarMatcher matcher(GrammarOf("root ::= \"é\" | \"è\" | [0-9]{2} | \"漢\""));
  EXPECT_EQ(NextBytes(matcher), "0123456789\xC3\xE6");
  ASSERT_TRUE(matcher.Advance(uint8_t{0xC3}));
  EXPECT_FALSE(matcher.complete());
  EXPECT_EQ(NextBytes(matcher), "\xA8\xA9");
  ASSERT_TRUE(matcher.Advance(uint8_t{0xA9}));
  EXPECT_TRUE(matcher.complete());
  EXPECT_TRUE(matcher.exhausted());
  EXPECT_EQ(NextBytes(matcher), "");
}

TEST(GrammarMatcher, ForksAndRollsBack) {
  const auto grammar = GrammarOf("root ::= \"(\" root* \")\" | [a-z]");
  Random random(3);
  GrammarMatcher matcher(grammar);
  std::vector<std::pair<GrammarMatcher, std::string>> kept = {{matcher, ""}};
  for (int i = 0; i < 500; ++i) {
    // From any place kept, go on by any byte; the place kept stays what it was.
    const size_t from = random.Below(kept.size());
    const std::string before = NextBytes(kept[from].first);
    GrammarMatcher fork = kept[from].first;
    if (!before.empty()) {
      const char byte = before[random.Below(before.size())];
      ASSERT_TRUE(fork.Advance(static_cast<uint8_t>(byte)));
      kept.push_back({fork, kept[from].second + byte});
    }
    EXPECT_EQ(NextBytes(kept[from].first), before);
  }
  for (const auto& [place, text] : kept) {
    GrammarMatcher again(grammar);
    ASSERT_TRUE(again.Advance(text)) << text;
    EXPECT_TRUE(again.places() == place.places()) << "another place after the same text: " << text;
    EXPECT_EQ(again.complete(), place.complete());
  }
}

TEST(GrammarMatcher, ReadsAllBytesOrNone) {
  GrammarMatcher matcher(GrammarOf("root ::= \"abc\""));
  EXPECT_FALSE(matcher.Advance("abd"));
  EXPECT_TRUE(matcher.Advance("ab"));
  EXPECT_FALSE(matcher.Advance("cd"));
  EXPECT_TRUE(matcher.Advance("c"));
  EXPECT_TRUE(matcher.complete());
}

TEST(GrammarMatcher, FindsTheSamePlaceAgainWhereverItStands) {
  const auto grammar = GrammarOf("root ::= pair (\",\" pair)*\npair ::= key \"=\" key \";\"\nkey ::= [a-z]+");
  GrammarMatcher one(grammar), other(grammar);
  ASSERT_TRUE(one.Advance("a=b;,c"));
  ASSERT_TRUE(other.Advance("aaa=bbb;,c=d;,eee"));
  EXPECT_TRUE(one.places() == other.places());
  EXPECT_EQ(one.places().hash, other.places().hash);
  ASSERT_TRUE(other.Advance("="));
  EXPECT_FALSE(one.places() == other.places());
}

TEST(GrammarMatcher, HoldsManyWaysToReadATextTogether) {
  // The number of ways grows like Catalan's numbers, or doubles with each byte; the places do not.
  for (const char* text :
       {"root ::= \"a\" root root | \"a\"",
        "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root | \"a\"", "root ::= (\"a\"{1,5} \"a\"?)+",
        "root ::= x x x x\nx ::= \"a\" x? | \"aa\" x? | y\ny ::= \"a\"*"}) {
    GrammarMatcher matcher(GrammarOf(text));
    size_t most = 0, work = 0;
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(matcher.Advance("a")) << text << " after " << i;
      most = std::max(most, matcher.places().items.size());
      work = std::max(work, matcher.work());
    }
    EXPECT_LT(most, 3000u) << text;
    EXPECT_LT(work, 400000u) << text;
  }
}

TEST(GrammarMatcher, ComparesAmbiguousStacksQuickly) {
  // Two stacks that are equal but not one object, with two ways down from each of 200 levels.
  const auto grammar = GrammarOf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"");
  GrammarMatcher one(grammar), other(grammar);
  ASSERT_TRUE(one.Advance(std::string(200, 'a')));
  ASSERT_TRUE(other.Advance(std::string(200, 'a')));
  EXPECT_TRUE(one.places() == other.places());
}

TEST(GrammarMatcher, CountsLongRepetitionsWithoutAStateForEach) {
  const auto grammar = GrammarOf("root ::= (\"<\" [a-z]{1,5000} \">\"){1000,1001}");
  EXPECT_LT(grammar->states(), 100u);
  EXPECT_EQ(testing::AcceptedBytes(grammar, "<" + std::string(6000, 'a')), 5001u);
  GrammarMatcher matcher(grammar);
  for (int i = 1; i <= 1001; ++i) {
    ASSERT_TRUE(matcher.Advance("<ab>"));
    EXPECT_EQ(matcher.complete(), i >= 1000) << i;
  }
  EXPECT_TRUE(matcher.exhausted());
}

TEST(GrammarMatcher, NeverEntersWhatTheStackCannotLeave) {
  // After the key there is a value, which needs one level more: at the limit there must be no key.
  const auto grammar =
      GrammarOf("root ::= \"{\" (\"k:\" root | \"\") \"}\" | \"v(\" deep \")\"\ndeep ::= \"[\" root \"]\"");
  GrammarMatcher matcher(grammar);
  std::string text;
  while (text.size() < 5000 && matcher.Advance("{k:")) text += "{k:";
  EXPECT_GT(text.size(), 600u);
  EXPECT_LT(text.size(), 900u);
  // The shortest way out, byte by byte.
  for (int i = 0; i < 2000 && !matcher.complete(); ++i) {
    const std::string next = NextBytes(matcher);
    ASSERT_FALSE(next.empty()) << "a dead end after " << text;
    const char byte = next.find('}') != std::string::npos ? '}' : next[0];
    ASSERT_TRUE(matcher.Advance(static_cast<uint8_t>(byte)));
    text += byte;
  }
  EXPECT_TRUE(matcher.complete());
  EXPECT_TRUE(Accepts(grammar, text));
}

TEST(GrammarMatcher, TakesNoStackForListsWrittenByRecursion) {
  GrammarMatcher matcher(GrammarOf("root ::= item root | item\nitem ::= \"a\" | \"b\" item"));
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(matcher.Advance(i % 3 == 0 ? "a" : "b"));
  for (const auto& item : matcher.places().items) EXPECT_LT(item.stack ? item.stack->depth : 0, 3u);
}

}  // namespace
}  // namespace tern
