// RWKV-7's steps on one token's row, against sums in double.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/training.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

constexpr int64_t kHeads = 3;
constexpr int64_t kRowHeadSizes[] = {1, 5, 8, 16, 17, 31, 40, 64, 65, 128};

class Rwkv7Row : public EachLevel {
 protected:
  const TrainingTable<float>& row() const { return *TrainingOf(table().level); }
};
TERN_FOR_EACH_LEVEL(Rwkv7Row);

TEST_P(Rwkv7Row, KeysEqualDoubleAtOddSizes) {
  Random random(71);
  SCOPED_TRACE("seed 71");
  for (int64_t N : kRowHeadSizes) {
    const int64_t n = kHeads * N;
    const Row key = Row::Normal(random, n), a = Row::Normal(random, n), k_k = Row::Normal(random, n),
              k_a = Row::Normal(random, n);
    Row kk(n), k = key;
    row().removal_key(kk.data(), k.data(), k_k.data(), n, N);
    row().replacement_key(k.data(), k.data(), a.data(), k_a.data(), n);
    ASSERT_TRUE(kk.Intact() && k.Intact());
    for (int64_t head = 0; head < n; head += N) {
      double square = 0;
      for (int64_t i = head; i < head + N; ++i) square += std::pow(double{key[i]} * double{k_k[i]}, 2);
      for (int64_t i = head; i < head + N; ++i) {
        // Four roundings, and half as many of the sum's, whose square root halves them: within 8 ulp.
        ASSERT_NEAR(kk[i], double{key[i]} * double{k_k[i]} / std::sqrt(square), 8 * 0x1p-24) << i << " of " << N;
        const double written = double{key[i]} * (1 + (double{a[i]} - 1) * double{k_a[i]});
        const double size = std::abs(double{key[i]}) * (1 + (std::abs(double{a[i]}) + 1) * std::abs(double{k_a[i]}));
        ASSERT_NEAR(k[i], written, 4 * 0x1p-24 * size) << i << " of " << N;
      }
    }
  }
}

TEST_P(Rwkv7Row, AKeyOfZerosStaysOneAndNaNSpoilsItsHeadAlone) {
  constexpr int64_t N = 24, n = kHeads * N;
  Row key = Row::Filled(n, 2.0f), kk(n);
  const Row a = Row::Filled(n, 0.5f), k_k = Row::Filled(n, 1.0f), k_a = Row::Filled(n, 1.0f);
  std::fill_n(key.data(), N, 0.0f);
  key[N + 3] = kNan;
  row().removal_key(kk.data(), key.data(), k_k.data(), n, N);
  row().replacement_key(key.data(), key.data(), a.data(), k_a.data(), n);
  for (int64_t i = 0; i < N; ++i) {
    EXPECT_EQ(kk[i], 0.0f);
    EXPECT_TRUE(std::isnan(kk[N + i]));
    EXPECT_NEAR(kk[2 * N + i], 1 / std::sqrt(double{N}), 4 * 0x1p-24);
    EXPECT_EQ(key[2 * N + i], 1.0f);
  }
}

TEST_P(Rwkv7Row, BonusEqualsDoubleAtOddSizes) {
  Random random(72);
  SCOPED_TRACE("seed 72");
  for (int64_t N : kRowHeadSizes) {
    const int64_t n = kHeads * N;
    const Row start = Row::Normal(random, n), r = Row::Normal(random, n), k = Row::Normal(random, n),
              v = Row::Normal(random, n), r_k = Row::Normal(random, n);
    Row y = start;
    row().bonus(y.data(), r.data(), k.data(), v.data(), r_k.data(), n, N);
    ASSERT_TRUE(y.Intact());
    for (int64_t head = 0; head < n; head += N) {
      double bonus = 0, size = 0;
      for (int64_t i = head; i < head + N; ++i) {
        const double product = double{r[i]} * double{k[i]} * double{r_k[i]};
        bonus += product;
        size += std::abs(product);
      }
      for (int64_t i = head; i < head + N; ++i) {
        // A sum of N products in lanes: each takes part in at most N/8 + 3 additions at any level.
        const double tolerance = 0x1p-24 * ((static_cast<double>(N) / 8 + 6) * size * std::abs(double{v[i]}) +
                                            2 * std::abs(double{start[i]}));
        ASSERT_NEAR(y[i], double{start[i]} + bonus * double{v[i]}, tolerance) << i << " of " << N;
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels
