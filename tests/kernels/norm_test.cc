#include <cmath>

#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

class Norm : public EachLevel {};
TERN_FOR_EACH_LEVEL(Norm);

struct Exact {
  double mean = 0, scale = 0;
};

Exact MomentsInDouble(const float* x, int64_t n, double eps) {
  Exact e;
  for (int64_t i = 0; i < n; ++i) e.mean += x[i];
  e.mean /= static_cast<double>(n);
  double variance = 0;
  for (int64_t i = 0; i < n; ++i) variance += (x[i] - e.mean) * (x[i] - e.mean);
  e.scale = 1 / std::sqrt(variance / static_cast<double>(n) + eps);
  return e;
}

/// 8 ulp of the sizes that were added: scale is a square root over a sum in lanes (relative error a few ulp),
/// and the deviation from the mean adds one more ulp of itself.
void ExpectNormalised(const Row& y, const Row& x, const Row& weight, const Row& bias, int64_t group,
                      double eps) {
  for (int64_t c = 0; c < x.size(); c += group) {
    const Exact e = MomentsInDouble(x.data() + c, group, eps);
    for (int64_t i = c; i < c + group; ++i) {
      const double normal = (x[i] - e.mean) * e.scale;
      const double exact = normal * static_cast<double>(weight[i]) + static_cast<double>(bias[i]);
      const double tolerance =
          8 * 0x1p-23 *
          (std::abs(normal * static_cast<double>(weight[i])) + std::abs(static_cast<double>(bias[i])) + 0.1);
      ASSERT_NEAR(y[i], exact, tolerance) << "channel " << i << " of " << x.size();
    }
  }
}

TEST_P(Norm, LayerNormEqualsDoubleAtOddSizesAndInPlace) {
  Random random(21);
  SCOPED_TRACE("seed 21");
  for (int64_t n : kOddSizes) {
    const Row x = Row::Normal(random, n, 2, 0.5), weight = Row::Normal(random, n),
              bias = Row::Normal(random, n);
    Row y(n), over = x;
    table().layer_norm(y.data(), x.data(), weight.data(), bias.data(), n, 1e-5f);
    table().layer_norm(over.data(), over.data(), weight.data(), bias.data(), n, 1e-5f);
    ASSERT_TRUE(y.Intact());
    ASSERT_TRUE(over == y) << n;
    ExpectNormalised(y, x, weight, bias, n, 1e-5f);
  }
}

TEST_P(Norm, LayerNormKeepsItsPrecisionFarFromZero) {
  Random random(22);
  SCOPED_TRACE("seed 22");
  for (int64_t n : {40, 65, 2048, 4099}) {
    const Row x = Row::Normal(random, n, 1, 10000), weight = Row::Filled(n, 1), bias = Row::Filled(n, 0);
    Row y(n);
    table().layer_norm(y.data(), x.data(), weight.data(), bias.data(), n, 1e-5f);
    ExpectNormalised(y, x, weight, bias, n,
                     1e-5f);  // deviations are exact in fp32, so the same tolerance holds
  }
}

TEST_P(Norm, ConstantRowGivesTheBias) {
  for (int64_t n : {1, 5, 16, 100}) {
    const Row x = Row::Filled(n, 0.1f), weight = Row::Filled(n, 3), bias = Row::Filled(n, -0.25f);
    Row y(n);
    table().layer_norm(y.data(), x.data(), weight.data(), bias.data(), n, 1e-5f);
    // The mean of equal values may be an ulp off where it is not corrected: 1e-8·3/√1e-5.
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], -0.25f, 1e-5) << n;
  }
}

TEST_P(Norm, GroupNormIsLayerNormOfEachGroup) {
  Random random(23);
  SCOPED_TRACE("seed 23");
  for (int64_t size : {16, 17, 40, 63, 64, 65, 128}) {
    const int64_t groups = 5, n = groups * size;
    const Row x = Row::Normal(random, n, 3, 1), weight = Row::Normal(random, n),
              bias = Row::Normal(random, n);
    Row y(n), over = x, expected(n);
    table().group_norm(y.data(), x.data(), weight.data(), bias.data(), n, groups, 64e-5f);
    table().group_norm(over.data(), over.data(), weight.data(), bias.data(), n, groups, 64e-5f);
    for (int64_t c = 0; c < n; c += size) {
      table().layer_norm(expected.data() + c, x.data() + c, weight.data() + c, bias.data() + c, size, 64e-5f);
    }
    ASSERT_TRUE(y.Intact());
    ASSERT_TRUE(y == expected && over == y) << size;
    ExpectNormalised(y, x, weight, bias, size, 64e-5f);
  }
}

}  // namespace
}  // namespace tern::kernels
