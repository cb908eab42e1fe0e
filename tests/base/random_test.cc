#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tern {
namespace {

TEST(Random, IsXoshiro256PlusPlus) {
  Random random(42);
  EXPECT_EQ(random.state()[0], 0xbdd732262feb6e95u);  // splitmix64's published first output for seed 42
  const auto start = random.state();
  const uint64_t first = random.NextU64();
  const uint64_t sum = start[0] + start[3];
  EXPECT_EQ(first, ((sum << 23) | (sum >> 41)) + start[0]);
}

TEST(Mix64, IsSplitmix64sFinaliser) {
  EXPECT_EQ(Mix64(0), 0u);
  EXPECT_EQ(Mix64(kGoldenStep), 0xe220a8397b1dcdafu);      // published: splitmix64's first output for seed 0
  EXPECT_EQ(Mix64(2 * kGoldenStep), 0x6e789e6aa1b965f4u);  // and its second
}

TEST(Random, GoesOnFromASavedState) {
  Random a(7);
  for (int i = 0; i < 100; ++i) a.NextU64();
  Random b(0);
  b.set_state(a.state());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.NextU64(), b.NextU64());
}

// 10^6 draws: the mean of a uniform has a standard error of 2.9e-4, of a normal 1e-3; five of them are
// allowed.
TEST(Random, HasTheRightMoments) {
  constexpr int kDraws = 1000000;
  SCOPED_TRACE("seed 1");
  Random random(1);
  double uniform = 0, normal = 0, square = 0;
  std::vector<int> buckets(10);
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.Uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    uniform += u;
    const double n = random.Normal();
    normal += n;
    square += n * n;
    ++buckets[random.Below(10)];
  }
  EXPECT_NEAR(uniform / kDraws, 0.5, 1.5e-3);
  EXPECT_NEAR(normal / kDraws, 0.0, 5e-3);
  EXPECT_NEAR(square / kDraws, 1.0, 7.1e-3);  // the variance of n² is 2
  for (int count : buckets) EXPECT_NEAR(count, kDraws / 10, 5 * std::sqrt(kDraws * 0.09));
}

}  // namespace
}  // namespace tern
