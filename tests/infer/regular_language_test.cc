// Operations on languages against brute force over all short texts of a small alphabet.
#include "infer/regular_language.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "infer/regular_automaton.h"
#include "tests/infer/regular_testing.h"

namespace tern {
namespace {

using testing::PatternLanguage;
using testing::PatternMaker;
using testing::TextsOver;

constexpr char kAlphabet[] = "-ab";  // ascending
constexpr uint32_t kLongest = 5;

/// A language and its texts of the alphabet up to kLongest characters.
struct Sample {
  std::string description;
  RegularLanguage language;
  std::set<std::string> texts;
};

const std::vector<std::string>& ShortTexts() {
  static const std::vector<std::string> texts = TextsOver(kAlphabet, kLongest);
  return texts;
}

std::set<std::string> TextsIn(const RegularLanguage& language) {
  std::set<std::string> in;
  for (const std::string& text : ShortTexts()) {
    if (language.Contains(text)) in.insert(text);
  }
  return in;
}

/// Random patterns, half of them with a length.
Sample RandomSample(PatternMaker* maker) {
  RegularBudget budget;
  const std::string pattern = maker->Pattern(2);
  Sample sample{"/" + pattern + "/", PatternLanguage(pattern), {}};
  if (maker->Below(2) == 0) {
    const uint32_t min = maker->Below(4),
                   max = maker->Below(3) == 0 ? TextLength::kUnlimited : min + maker->Below(3);
    sample.description += " of " + std::to_string(min) + " to " + std::to_string(max);
    sample.language = *sample.language.Intersection(RegularLanguage::OfLength({min, max}), &budget);
  }
  sample.texts = TextsIn(sample.language);
  return sample;
}

/// Whole languages that brute force sees all of.
Sample Bounded(const Sample& sample) {
  RegularBudget budget;
  const auto language = sample.language.Intersection(PatternLanguage("^[ab-]{0,5}$"), &budget);
  EXPECT_TRUE(language.ok());
  return {sample.description, *language, sample.texts};
}

class RegularLanguageTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSeed = 7;
  RegularLanguageTest() : trace_(__FILE__, __LINE__, "seed " + std::to_string(kSeed)) {}
  void ForPairs(int count, const std::function<void(const Sample&, const Sample&)>& check) {
    PatternMaker maker(kSeed);
    for (int i = 0; i < count && !HasFatalFailure(); ++i) {
      const Sample a = RandomSample(&maker), b = RandomSample(&maker);
      SCOPED_TRACE(a.description + " and " + b.description);
      check(a, b);
    }
  }
  RegularBudget budget_{size_t{1} << 30};

 private:
  ::testing::ScopedTrace trace_;
};

TEST_F(RegularLanguageTest, IntersectionUnionAndDifferenceAreThoseOfTheSets) {
  ForPairs(300, [&](const Sample& a, const Sample& b) {
    const auto both = a.language.Intersection(b.language, &budget_);
    const auto any = a.language.Union(b.language, &budget_);
    const auto rest = a.language.Difference(b.language, &budget_);
    ASSERT_TRUE(both.ok() && any.ok() && rest.ok());
    for (const std::string& text : ShortTexts()) {
      const bool in_a = a.texts.contains(text), in_b = b.texts.contains(text);
      ASSERT_EQ(both->Contains(text), in_a && in_b) << text;
      ASSERT_EQ(any->Contains(text), in_a || in_b) << text;
      ASSERT_EQ(rest->Contains(text), in_a && !in_b) << text;
    }
  });
}

TEST_F(RegularLanguageTest, ComplementHasExactlyTheOtherTexts) {
  ForPairs(150, [&](const Sample& a, const Sample&) {
    const auto others = a.language.Complement(&budget_);
    ASSERT_TRUE(others.ok());
    for (const std::string& text : ShortTexts())
      ASSERT_NE(others->Contains(text), a.texts.contains(text)) << text;
    const auto again = others->Complement(&budget_);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(*again->Equals(a.language, &budget_));
  });
}

TEST_F(RegularLanguageTest, ConcatenationHasTheTextsThatCanBeCutInTwo) {
  ForPairs(100, [&](const Sample& a, const Sample& b) {
    const auto both = a.language.Concatenation(b.language, &budget_);
    ASSERT_TRUE(both.ok());
    for (const std::string& text : ShortTexts()) {
      bool expected = false;
      for (size_t cut = 0; cut <= text.size(); ++cut)
        expected = expected || (a.texts.contains(text.substr(0, cut)) && b.texts.contains(text.substr(cut)));
      ASSERT_EQ(both->Contains(text), expected) << text;
    }
  });
}

TEST_F(RegularLanguageTest, QuestionsAboutWholeLanguagesHaveTheSetsAnswers) {
  int equal = 0, included = 0, apart = 0;
  ForPairs(400, [&](const Sample& unbounded_a, const Sample& unbounded_b) {
    const Sample a = Bounded(unbounded_a), b = Bounded(unbounded_b);
    const bool includes = std::includes(a.texts.begin(), a.texts.end(), b.texts.begin(), b.texts.end());
    const bool intersects =
        std::any_of(a.texts.begin(), a.texts.end(), [&](const auto& text) { return b.texts.contains(text); });
    ASSERT_EQ(a.language.empty(), a.texts.empty());
    ASSERT_EQ(*a.language.Equals(b.language, &budget_), a.texts == b.texts);
    ASSERT_EQ(*a.language.Includes(b.language, &budget_), includes);
    ASSERT_EQ(*a.language.Intersects(b.language, &budget_), intersects);
    equal += a.texts == b.texts ? 1 : 0;
    included += includes ? 1 : 0;
    apart += intersects ? 0 : 1;
  });
  EXPECT_GT(equal, 5);  // the questions are not all answered alike
  EXPECT_GT(included, 40);
  EXPECT_GT(apart, 40);
}

TEST_F(RegularLanguageTest, TextsListsAllByLengthAndThenByCodePoints) {
  ForPairs(100, [&](const Sample& unbounded, const Sample&) {
    const Sample a = Bounded(unbounded);
    std::vector<std::string> expected;
    for (const std::string& text : ShortTexts()) {
      if (a.texts.contains(text)) expected.push_back(text);
    }
    EXPECT_EQ(a.language.Texts(expected.size()), expected);
    if (!expected.empty()) {
      EXPECT_EQ(a.language.Texts(expected.size() - 1), std::nullopt);
    }
  });
  EXPECT_EQ(RegularLanguage::All().Texts(1000), std::nullopt);
}

TEST_F(RegularLanguageTest, AutomataWithTheLengthBuiltInAcceptTheSameTexts) {
  ForPairs(150, [&](const Sample& a, const Sample&) {
    auto automaton = a.language.WithLength(&budget_);
    ASSERT_TRUE(automaton.ok());
    const auto language = RegularLanguage::OfAutomaton(std::move(*automaton), &budget_);
    ASSERT_TRUE(language.ok());
    EXPECT_EQ(TextsIn(*language), a.texts);
    EXPECT_TRUE(*language->Equals(a.language, &budget_));
  });
}

TEST_F(RegularLanguageTest, EqualLanguagesHaveEqualAutomata) {
  const std::vector<std::vector<std::string>> same = {{"^(ab)*$", "^(?:abab|ab)*$", "^(?:a(?=b)b)*$"},
                                                      {"^[a-c]+$", "^(a|b|c)(a|b|c)*?$"},
                                                      {"a", "[^]*a", "^[^]*a[^]*$"}};
  for (const auto& patterns : same) {
    for (const std::string& pattern : patterns) {
      const RegularLanguage first = PatternLanguage(patterns[0]), other = PatternLanguage(pattern);
      EXPECT_EQ(*first.automaton(), *other.automaton()) << pattern;
      EXPECT_EQ(first.length(), other.length()) << pattern;
    }
  }
}

TEST_F(RegularLanguageTest, RepetitionsOfOneSetAreCountedNotUnrolled) {
  for (const char* pattern :
       {"^[a-z]{3,60000}$", "^\\S{1,5000}$", "^.{0,65536}$", "^(x)x+$", "^(?:[0-9][0-9]){2}$"})
    EXPECT_EQ(PatternLanguage(pattern).automaton()->states(), 1u) << pattern;
  const RegularLanguage letters = PatternLanguage("^[a-z]{3,60000}$");
  EXPECT_EQ(letters.length(), (TextLength{3, 60000}));
  EXPECT_EQ(letters.OnlySet()->ranges(), (std::vector<CharRange>{{'a', 'z'}}));
  EXPECT_TRUE(letters.Contains(std::string(60000, 'q')));
  EXPECT_FALSE(letters.Contains(std::string(60001, 'q')));
  EXPECT_FALSE(letters.Contains("qq"));
  EXPECT_FALSE(PatternLanguage("^a{1,3}b$").OnlySet());
  EXPECT_FALSE(PatternLanguage("^(aa)*$").OnlySet());
}

TEST_F(RegularLanguageTest, LengthsCountCodePoints) {
  const RegularLanguage two = RegularLanguage::OfLength({2, 2});
  EXPECT_TRUE(two.Contains("é漢"));
  EXPECT_TRUE(two.Contains("😀x"));
  EXPECT_FALSE(two.Contains("😀"));
  EXPECT_FALSE(two.Contains("\xC3\xC3"));  // no UTF-8
  EXPECT_TRUE(RegularLanguage::OfLength({3, 2}).empty());
  const auto none = PatternLanguage("^(ab)*$").Intersection(RegularLanguage::OfLength({3, 3}), &budget_);
  EXPECT_TRUE(none->empty());
}

TEST_F(RegularLanguageTest, NamesBecomeTheLanguageOfJustThem) {
  const std::vector<std::string> names = {"", "id", "idx", "naïve", "😀"};
  const auto language = RegularLanguage::OfTexts(names, &budget_);
  ASSERT_TRUE(language.ok());
  for (const std::string& name : names) EXPECT_TRUE(language->Contains(name)) << name;
  for (const char* other : {"i", "idxy", "na", "x"}) EXPECT_FALSE(language->Contains(other)) << other;
  const auto others = language->Complement(&budget_);  // the names of additionalProperties
  EXPECT_TRUE(others->Contains("i"));
  EXPECT_FALSE(others->Contains("naïve"));
  const std::vector<std::string> broken = {"\xFF"};
  EXPECT_EQ(RegularLanguage::OfTexts(broken, &budget_).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(RegularLanguageTest, HostilePatternsAreRefusedWithinTheBudget) {
  for (const char* pattern :
       {"(a{1000}){1000}", "(((a{60}){60}){60}){60}", "(a|b)*a(a|b){40}", "^(.*a.*b){200}c.{300}$",
        "^(?=(a|b)*a(a|b){14}$)(?=(a|b|c)*b(a|c){13}$).*x{500}$"}) {
    RegularBudget budget;
    const auto language = RegularLanguage::OfPattern(pattern, &budget);
    EXPECT_EQ(language.status().code(), StatusCode::kExhausted) << pattern;
  }
  RegularBudget small(100);
  EXPECT_EQ(RegularLanguage::OfPattern("^[a-z]+(-[a-z]+)*$", &small).status().code(), StatusCode::kExhausted);
}

}  // namespace
}  // namespace tern
