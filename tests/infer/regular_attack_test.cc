// What the fuzzer asks of a pattern, asked of random and of broken patterns.
#include "tests/infer/regular_attack.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/infer/regular_testing.h"

namespace tern {
namespace {

std::string Attack(const std::string& pattern) {
  return AttackRegular(reinterpret_cast<const uint8_t*>(pattern.data()), pattern.size());
}

TEST(RegularAttackTest, RandomPatternsHoldWhatTheyPromise) {
  constexpr uint32_t kSeed = 3;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  testing::PatternMaker maker(kSeed);
  for (int i = 0; i < 300; ++i) {
    std::string pattern = maker.Pattern();
    if (i % 3 == 0 && !pattern.empty())
      pattern[maker.Below(static_cast<uint32_t>(pattern.size()))] = static_cast<char>(maker.Below(256));
    ASSERT_EQ(Attack(pattern), "") << pattern;
  }
}

TEST(RegularAttackTest, PatternsOfSchemasHoldWhatTheyPromise) {
  for (const char* pattern :
       {"^[a-z]+(-[a-z]+)*$", "^\\S+@\\S+$", "^.*$", "^(?!x).{2,}$", "\\p{Lu}", "[^\\x00-\\x7f]{3}", "^$",
        "(?i)\\bstra\u00dfe\\b", "^(\\d{3}-)?\\d{4}$", "\\u{10FFFF}|[\"\\\\]"})
    EXPECT_EQ(Attack(pattern), "") << pattern;
}

}  // namespace
}  // namespace tern
