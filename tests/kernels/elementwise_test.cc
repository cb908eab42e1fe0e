#include <cmath>
#include <limits>

#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
class Elementwise : public EachLevel {};
TERN_FOR_EACH_LEVEL(Elementwise);

using UnaryKernel = void (*)(float*, const float*, int64_t);

struct Unary {
  const char* name;
  UnaryKernel KernelTable::*kernel;
  double (*exact)(double);
  /// Relative error allowed at x.
  double (*tolerance)(double);
};

constexpr double kUlp = 0x1p-23;
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The sums of what each step may round: exp 1 ulp, each other operation half of one. exp(−e^x) multiplies the
// error of its argument by the argument.
const Unary kUnaries[] = {
    {"sigmoid", &KernelTable::sigmoid, Sigmoid, [](double) { return 2.5 * kUlp; }},
    {"tanh", &KernelTable::tanh, [](double x) { return std::tanh(x); }, [](double) { return 3 * kUlp; }},
    {"silu", &KernelTable::silu, [](double x) { return x * Sigmoid(x); }, [](double) { return 3 * kUlp; }},
    {"relu_squared", &KernelTable::relu_squared, [](double x) { return x > 0 ? x * x : 0; },
     [](double) { return 0.5 * kUlp; }},
    {"exp_neg_exp", &KernelTable::exp_neg_exp, [](double x) { return std::exp(-std::exp(x)); },
     [](double x) { return (1.5 + 1.5 * std::exp(x)) * kUlp; }},
    {"decay7", &KernelTable::decay7, [](double x) { return std::exp(-std::exp(-0.5) * Sigmoid(x)); },
     [](double) { return 3 * kUlp; }},
};

/// Values from 2^-40 to 120 of both signs, evenly spread in size.
Row ManyValues() {
  std::vector<float> values;
  for (double x = 0x1p-40; x < 120; x *= 1.002)
    values.insert(values.end(), {static_cast<float>(x), static_cast<float>(-x)});
  Row row(static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), row.data());
  return row;
}

TEST_P(Elementwise, FunctionsAreWithinTheirRoundingErrors) {
  const Row x = ManyValues();
  for (const Unary& f : kUnaries) {
    Row y(x.size());
    (table().*f.kernel)(y.data(), x.data(), x.size());
    for (int64_t i = 0; i < x.size(); ++i) {
      const double exact = f.exact(x[i]);
      // Below the normal floats a result may be flushed.
      const double tolerance =
          std::abs(exact) * f.tolerance(x[i]) + 0x1p-126 * std::max(1.0, std::abs(static_cast<double>(x[i])));
      ASSERT_NEAR(y[i], exact, tolerance) << f.name << " of " << x[i];
    }
  }
}

TEST_P(Elementwise, FunctionsOfExtremes) {
  const auto at = [&](UnaryKernel KernelTable::*kernel, float x) {
    float y = -1;
    (table().*kernel)(&y, &x, 1);
    return y;
  };
  for (const Unary& f : kUnaries) EXPECT_TRUE(std::isnan(at(f.kernel, kNan))) << f.name;
  EXPECT_EQ(at(&KernelTable::sigmoid, kInf), 1.0f);
  EXPECT_EQ(at(&KernelTable::sigmoid, -kInf), 0.0f);
  EXPECT_EQ(at(&KernelTable::sigmoid, 0.0f), 0.5f);
  EXPECT_EQ(at(&KernelTable::tanh, kInf), 1.0f);
  EXPECT_EQ(at(&KernelTable::tanh, -kInf), -1.0f);
  EXPECT_EQ(at(&KernelTable::tanh, 0x1p-140f), 0x1p-140f);
  EXPECT_TRUE(std::signbit(at(&KernelTable::tanh, -0.0f)));
  EXPECT_EQ(at(&KernelTable::silu, 1e30f), 1e30f);
  EXPECT_EQ(at(&KernelTable::silu, -1e30f), 0.0f);
  EXPECT_EQ(at(&KernelTable::relu_squared, -kInf), 0.0f);
  EXPECT_EQ(at(&KernelTable::relu_squared, 3e38f), kInf);
  EXPECT_EQ(at(&KernelTable::exp_neg_exp, -kInf), 1.0f);
  EXPECT_EQ(at(&KernelTable::exp_neg_exp, kInf), 0.0f);
  EXPECT_EQ(at(&KernelTable::decay7, -kInf), 1.0f);
  EXPECT_NEAR(at(&KernelTable::decay7, kInf), std::exp(-std::exp(-0.5)), 1.2e-7);
}

TEST_P(Elementwise, ElementsResultDoesNotDependOnItsPlaceAndMayBeWrittenOverItsSource) {
  Random random(11);
  SCOPED_TRACE("seed 11");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n, 3);
    for (const Unary& f : kUnaries) {
      Row y = x;
      (table().*f.kernel)(y.data(), y.data(), n);
      ASSERT_TRUE(y.Intact()) << f.name << " of " << n;
      for (int64_t i = 0; i < n; ++i) {
        float alone;
        (table().*f.kernel)(&alone, x.data() + i, 1);
        ASSERT_EQ(alone, y[i]) << f.name << " of " << n << " at " << i;
      }
    }
  }
}

TEST(ElementwiseLevels, VectorLevelsGiveTheSameBits) {
  const KernelTable* avx2 = KernelsOf(Level::kAvx2);
  const KernelTable* avx512 = KernelsOf(Level::kAvx512);
  if (avx2 == nullptr || avx512 == nullptr) GTEST_SKIP() << "this processor has not got both levels";
  const Row x = ManyValues();
  for (const Unary& f : kUnaries) {
    Row narrow(x.size()), wide(x.size());
    (avx2->*f.kernel)(narrow.data(), x.data(), x.size());
    (avx512->*f.kernel)(wide.data(), x.data(), x.size());
    EXPECT_TRUE(narrow == wide) << f.name;
  }
}

TEST_P(Elementwise, AddAndMulAreExactlyRounded) {
  Random random(12);
  SCOPED_TRACE("seed 12");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n), y = Row::Normal(random, n);
    Row sum = y, product = y, twice = y;
    table().add(sum.data(), x.data(), n);
    table().mul(product.data(), x.data(), n);
    table().add(twice.data(), twice.data(), n);
    ASSERT_TRUE(sum.Intact() && product.Intact());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(sum[i], y[i] + x[i]);
      ASSERT_EQ(product[i], y[i] * x[i]);
      ASSERT_EQ(twice[i], y[i] + y[i]);
    }
  }
}

TEST_P(Elementwise, ShiftMixInterpolatesInPlaceToo) {
  Random random(13);
  SCOPED_TRACE("seed 13");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n), prev = Row::Normal(random, n), mu = Row::Uniform(random, n, 0, 1);
    const Row d = Row::Normal(random, n, 0.1);
    Row y(n), over_x = x, over_prev = prev, dynamic(n), over_d = d;
    table().shift_mix(y.data(), x.data(), prev.data(), mu.data(), n);
    table().shift_mix(over_x.data(), over_x.data(), prev.data(), mu.data(), n);
    table().shift_mix(over_prev.data(), x.data(), over_prev.data(), mu.data(), n);
    table().shift_mix_dynamic(dynamic.data(), x.data(), prev.data(), mu.data(), d.data(), n);
    table().shift_mix_dynamic(over_d.data(), x.data(), prev.data(), mu.data(), over_d.data(), n);
    ASSERT_TRUE(y.Intact() && dynamic.Intact());
    ASSERT_TRUE(over_x == y && over_prev == y && over_d == dynamic) << n;
    for (int64_t i = 0; i < n; ++i) {
      const double a = x[i], difference = static_cast<double>(prev[i]) - a;
      // Three roundings, each of a value no larger than the sum of the sizes.
      const double tolerance = 1.5 * kUlp * (std::abs(a) + 2 * std::abs(difference));
      ASSERT_NEAR(y[i], a + difference * static_cast<double>(mu[i]), tolerance);
      ASSERT_NEAR(dynamic[i], a + difference * (static_cast<double>(mu[i]) + static_cast<double>(d[i])),
                  tolerance);
    }
  }
}

}  // namespace
}  // namespace tern::kernels
