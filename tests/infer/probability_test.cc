#include "infer/probability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace tern {
namespace {

TEST(ExpNegative, IsWithinTwoUnitsInTheLastPlaceOfExp) {
  for (float x = 0; x > -87.33f; x -= 0.00037f) {
    const double exact = std::exp(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    ASSERT_NEAR(ExpNegative(x), exact, 2 * unit) << "x = " << x;
  }
}

TEST(ExpNegative, HasExactEnds) {
  EXPECT_EQ(ExpNegative(0.0f), 1.0f);
  EXPECT_EQ(ExpNegative(-0.0f), 1.0f);
  EXPECT_EQ(ExpNegative(-88.0f), 0.0f);
  EXPECT_EQ(ExpNegative(std::numeric_limits<float>::lowest()), 0.0f);
  EXPECT_EQ(ExpNegative(-std::numeric_limits<float>::infinity()), 0.0f);
}

TEST(Log2, AgreesWithTheLibrary) {
  Random random(5);
  for (int i = 0; i < 100000; ++i) {
    const double x = std::exp2(random.Uniform(0, 20));
    ASSERT_NEAR(Log2(x), std::log2(x), 8e-15) << "x = " << x;  // twice an ulp of 20
  }
  for (int power = 0; power <= 20; ++power) EXPECT_EQ(Log2(std::ldexp(1.0, power)), power);
}

TEST(Exponentials, SumsWhatItWrites) {
  Random random(6);
  for (size_t n = 1; n < 40; ++n) {
    std::vector<float> x(n), out(n);
    for (float& v : x) v = static_cast<float>(random.Uniform(-9, 0));
    const double sum = Exponentials(x, 1.0f, out);
    double expected = 0;
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(out[i], ExpNegative(x[i] - 1.0f));
      expected += out[i];
    }
    EXPECT_NEAR(sum, expected, 1e-13 * expected);  // the order of the sum differs
  }
}

/// The definition of CutoffKey, on integers so that no sum is rounded.
float CutoffByDefinition(const std::vector<Weighted>& items, double target) {
  float best = -std::numeric_limits<float>::infinity();
  float largest = best;
  for (const Weighted& candidate : items) {
    double weight = 0;
    for (const Weighted& item : items) weight += item.key < candidate.key ? item.weight : 0;
    // The smallest key that reaches the target is the largest one whose predecessors do not reach it.
    const bool needed = weight < target;
    largest = std::max(largest, candidate.key);
    if (needed) best = std::max(best, candidate.key);
  }
  if (target > 0) return best;
  for (const Weighted& item : items) largest = std::min(largest, item.key);
  return largest;
}

TEST(CutoffKey, FollowsItsDefinition) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Random random(seed);
    const size_t n = 1 + random.Below(seed % 3 == 0 ? 600 : 90);
    const uint64_t keys = 1 + random.Below(seed % 2 == 0 ? 5 : 4000);
    std::vector<Weighted> items(n);
    double total = 0;
    for (Weighted& item : items) {
      item = {static_cast<float>(random.Below(keys)), static_cast<float>(random.Below(50))};
      total += item.weight;
    }
    for (const double target : {-1.0, 0.0, 1.0, std::floor(total / 3), total * 0.9, total, total + 1}) {
      std::vector<Weighted> copy = items;
      ASSERT_EQ(CutoffKey(copy, target), CutoffByDefinition(items, target)) << "target " << target;
    }
  }
}

TEST(CutoffKey, TellsNeighbouringFloatsApart) {
  std::vector<float> keys = {0.0f, std::numeric_limits<float>::denorm_min(), 1.0f};
  for (int i = 0; i < 5; ++i) keys.push_back(std::nextafter(keys.back(), 2.0f));
  keys.push_back(std::numeric_limits<float>::max());
  for (size_t i = 0; i < keys.size(); ++i) {
    std::vector<Weighted> items;
    for (size_t j = keys.size(); j-- > 0;) items.push_back({keys[j], 1.0f});
    EXPECT_EQ(CutoffKey(items, static_cast<double>(i + 1)), keys[i]);
  }
}

TEST(OrderedBits, OrdersAsFloatsDoAndComesBack) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> ascending = {-kInfinity, -3e38f, -1.5f, -1e-44f, -0.0f,
                                        0.0f,       1e-44f, 1.5f,  3e38f,   kInfinity};
  for (size_t i = 0; i < ascending.size(); ++i) {
    if (i > 0) {
      EXPECT_LT(OrderedBits(ascending[i - 1]), OrderedBits(ascending[i]));
    }
    EXPECT_EQ(std::bit_cast<int32_t>(FromOrderedBits(OrderedBits(ascending[i]))),
              std::bit_cast<int32_t>(ascending[i]));
  }
  EXPECT_GT(OrderedBits(std::numeric_limits<float>::quiet_NaN()), OrderedBits(kInfinity));
  EXPECT_LT(OrderedBits(-std::numeric_limits<float>::quiet_NaN()), OrderedBits(-kInfinity));
}

}  // namespace
}  // namespace tern
