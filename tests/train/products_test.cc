#include "train/products.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"

namespace tern::train {
namespace {

struct ProductCase {
  int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate;
};

std::string Describe(const ProductCase& c) {
  return "m " + std::to_string(c.m) + " n " + std::to_string(c.n) + " k " + std::to_string(c.k) +
         " transposes " + std::to_string(c.transpose_a) + std::to_string(c.transpose_b) + " accumulate " +
         std::to_string(c.accumulate);
}

template <typename T>
std::vector<T> RandomValues(int64_t n, Random& random) {
  std::vector<T> values(static_cast<size_t>(n));
  for (T& value : values) {
    if constexpr (std::is_same_v<T, std::complex<double>>) {
      value = {random.Normal(), random.Normal()};
    } else {
      value = static_cast<T>(random.Normal());
    }
  }
  return values;
}

/// bf16 by cutting the low bits off: any bf16 values do for a test, as long as both sides see the same.
std::vector<uint16_t> Halves(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (float value : values) halves.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  return halves;
}
std::vector<float> Wide(const std::vector<uint16_t>& halves) {
  std::vector<float> values;
  for (uint16_t half : halves) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(half) << 16));
  return values;
}

/// The definition, in double (complex: in complex<double>), and per element Σ|a·b|, which bounds rounding
/// errors.
template <typename T>
struct Expected {
  using Sum = std::conditional_t<std::is_same_v<T, float>, double, T>;
  std::vector<Sum> values;
  std::vector<double> magnitudes;
};
template <typename T>
Expected<T> ByDefinition(const ProductCase& s, const std::vector<T>& a, const std::vector<T>& b,
                         const std::vector<T>& c) {
  Expected<T> expected;
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      using Sum = typename Expected<T>::Sum;
      Sum sum = s.accumulate ? static_cast<Sum>(c[static_cast<size_t>(i * s.n + j)]) : Sum(0);
      double magnitude = std::abs(sum);
      for (int64_t p = 0; p < s.k; ++p) {
        const Sum x = a[static_cast<size_t>(s.transpose_a ? p * s.m + i : i * s.k + p)];
        const Sum y = b[static_cast<size_t>(s.transpose_b ? j * s.k + p : p * s.n + j)];
        sum += x * y;
        magnitude += std::abs(x) * std::abs(y);
      }
      expected.values.push_back(sum);
      expected.magnitudes.push_back(magnitude);
    }
  }
  return expected;
}

/// Rounding errors of a sum of k products in any order: below (k + 1)·ε·Σ|a·b|. That is the worst case; 16 ε
/// is far above what random signs give at these lengths, and far below one missing or misplaced product.
template <typename T>
void ExpectNear(const Expected<T>& expected, const std::vector<T>& got) {
  const double epsilon = std::is_same_v<T, float> ? 0x1p-23 : 0x1p-52;
  for (size_t i = 0; i < got.size(); ++i) {
    using Sum = typename Expected<T>::Sum;
    ASSERT_LE(std::abs(static_cast<Sum>(got[i]) - expected.values[i]),
              16 * epsilon * expected.magnitudes[i] + 1e-300)
        << "element " << i << " of " << got.size();
  }
}

const int64_t kSides[][3] = {{1, 1, 1},    {3, 5, 7},     {1, 65, 33},   {67, 1, 129},
                             {17, 31, 64}, {300, 70, 45}, {45, 1100, 20}};

template <typename F>
void ForAllCases(F&& run) {
  for (const auto& [m, n, k] : kSides) {
    for (int bits = 0; bits < 8; ++bits) {
      const ProductCase c{m, n, k, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      SCOPED_TRACE(Describe(c));
      run(c);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

template <typename T>
class ProductsOf : public ::testing::Test {};
using Types = ::testing::Types<float, double, std::complex<double>>;
TYPED_TEST_SUITE(ProductsOf, Types);

TYPED_TEST(ProductsOf, EqualTheDefinition) {
  using T = TypeParam;
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  Products<T> products;
  ForAllCases([&](const ProductCase& s) {
    const auto a = RandomValues<T>(s.m * s.k, random), b = RandomValues<T>(s.k * s.n, random);
    auto c = RandomValues<T>(s.m * s.n, random);
    const auto expected = ByDefinition(s, a, b, c);
    products.Run(
        {s.m, s.n, s.k, {a.data()}, {b.data()}, s.transpose_a, s.transpose_b, c.data(), s.accumulate});
    ExpectNear(expected, c);
  });
}

TYPED_TEST(ProductsOf, OverNothingAreZero) {
  using T = TypeParam;
  Products<T> products;
  std::vector<T> c(6, T(2));
  products.Run({.m = 2, .n = 3, .k = 0, .c = c.data(), .accumulate = true});
  EXPECT_EQ(c, std::vector<T>(6, T(2)));
  products.Run({.m = 2, .n = 3, .k = 0, .c = c.data()});
  EXPECT_EQ(c, std::vector<T>(6, T(0)));
  products.Run({.m = 0, .n = 3, .k = 4});
  EXPECT_EQ(products.flop(), 0);
}

class HalfProductsTest : public ::testing::TestWithParam<HalfProducts> {};

// Products of bf16 numbers are exact in fp32, so that only the sums round: the tolerance is that of fp32.
TEST_P(HalfProductsTest, EqualTheDefinition) {
  constexpr uint64_t kSeed = 12;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  Products<float> products(GetParam());
  ForAllCases([&](const ProductCase& s) {
    const auto a = Halves(RandomValues<float>(s.m * s.k, random)),
               b = Halves(RandomValues<float>(s.k * s.n, random));
    auto c = RandomValues<float>(s.m * s.n, random);
    const auto expected = ByDefinition(s, Wide(a), Wide(b), c);
    products.Run({.m = s.m,
                  .n = s.n,
                  .k = s.k,
                  .a = {.half = a.data()},
                  .b = {.half = b.data()},
                  .transpose_a = s.transpose_a,
                  .transpose_b = s.transpose_b,
                  .c = c.data(),
                  .accumulate = s.accumulate});
    ExpectNear(expected, c);
  });
}

TEST_P(HalfProductsTest, MixWithWideOperands) {
  Random random(13);
  const ProductCase s{20, 30, 40, false, true, false};
  const auto a = RandomValues<float>(s.m * s.k, random);
  const auto b = Halves(RandomValues<float>(s.k * s.n, random));
  std::vector<float> c(static_cast<size_t>(s.m * s.n));
  Products<float> products(GetParam());
  products.Run({.m = s.m,
                .n = s.n,
                .k = s.k,
                .a = {.wide = a.data()},
                .b = {.half = b.data()},
                .transpose_b = true,
                .c = c.data()});
  ExpectNear(ByDefinition(s, a, Wide(b), c), c);
}

INSTANTIATE_TEST_SUITE_P(Paths, HalfProductsTest,
                         ::testing::Values(HalfProducts::kNative, HalfProducts::kWiden),
                         [](const auto& path) {
                           return path.param == HalfProducts::kNative ? "Native" : "Widened";
                         });

/// Restores the default number of threads.
struct ThreadsForTest {
  explicit ThreadsForTest(int threads) { SetNumThreads(threads); }
  ~ThreadsForTest() { SetNumThreads(0); }
};

template <typename T>
std::vector<T> WithThreads(int threads, const ProductCase& s, const Operand<T>& a, const Operand<T>& b) {
  const ThreadsForTest set(threads);
  std::vector<T> c(static_cast<size_t>(s.m * s.n), T(0.5));
  Products<T> products;
  products.Run({s.m, s.n, s.k, a, b, s.transpose_a, s.transpose_b, c.data(), s.accumulate});
  return c;
}

TEST(Products, SameBitsForAnyNumberOfThreads) {
  Random random(14);
  // ProductCase that are cut: along rows, along columns, along both.
  for (const ProductCase& s : {ProductCase{1030, 96, 200, false, true, false}, ProductCase{40, 4100, 300, false, true, false},
                        ProductCase{400, 384, 1000, true, false, true}}) {
    SCOPED_TRACE(Describe(s));
    const auto a = RandomValues<float>(s.m * s.k, random), b = RandomValues<float>(s.k * s.n, random);
    const auto half_a = Halves(a), half_b = Halves(b);
    const auto wide1 = WithThreads<float>(1, s, {a.data()}, {b.data()});
    const auto half1 = WithThreads<float>(1, s, {.half = half_a.data()}, {.half = half_b.data()});
    for (int threads : {2, 3}) {
      const auto wide = WithThreads<float>(threads, s, {a.data()}, {b.data()});
      EXPECT_EQ(std::memcmp(wide.data(), wide1.data(), wide.size() * sizeof(float)), 0)
          << threads << " threads";
      const auto half = WithThreads<float>(threads, s, {.half = half_a.data()}, {.half = half_b.data()});
      EXPECT_EQ(std::memcmp(half.data(), half1.data(), half.size() * sizeof(float)), 0)
          << threads << " threads";
    }
    ExpectNear(ByDefinition(s, a, b, std::vector<float>(wide1.size(), 0.5f)), wide1);
    ExpectNear(ByDefinition(s, Wide(half_a), Wide(half_b), std::vector<float>(half1.size(), 0.5f)), half1);
  }
}

TEST(Products, CountTheirWork) {
  Products<double> products;
  const std::vector<double> a(6, 1), b(12, 1);
  std::vector<double> c(8);
  products.Run({.m = 2, .n = 4, .k = 3, .a = {a.data()}, .b = {b.data()}, .c = c.data()});
  EXPECT_EQ(products.flop(), 48);
  EXPECT_GT(products.seconds(), 0);
  products.ResetCounters();
  EXPECT_EQ(products.flop(), 0);
  EXPECT_EQ(products.seconds(), 0);
}

}  // namespace
}  // namespace tern::train
