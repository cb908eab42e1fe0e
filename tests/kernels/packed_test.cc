// Packed weights: what the layout holds, and that every level gives the oracle's bits.
#include <array>
#include <limits>

#include "base/parallel.h"
#include "kernels/packing.h"
#include "kernels/ref/packed.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {


Row Product(const KernelTable& table, const MatrixView& w, const std::vector<std::byte>& x, int tokens,
            float scale = 1.0f) {
  Row y = Row::Filled(tokens * w.rows, 3.0f);
  table.packed_matmul({.w = w, .x = x.data(), .tokens = tokens, .y = y.data(), .y_stride = w.rows, .scale = scale}, 0,
                      (w.rows + kGroupRows - 1) / kGroupRows);
  EXPECT_TRUE(y.Intact());
  return y;
}

class Packed : public EachLevel {};
TERN_FOR_EACH_LEVEL(Packed);

TEST(Packing, HoldsEveryWeightOfEveryType) {
  Random random(1);
  SCOPED_TRACE("seed 1");
  for (DType type : kQuantisedTypes) {
    for (int64_t rows : {1, 15, 16, 17, 40}) {
      SCOPED_TRACE(std::string(tern::Name(type)) + ", " + std::to_string(rows) + " rows");
      constexpr int64_t kCols = 512;
      const StoredMatrix w(random, type, rows, kCols);
      const Laid packed(w.view(), Layout::kPacked);
      const ref::PackedType traits = ref::PackedTypeOf(type);
      const int64_t group_bytes = PackedBytes(type, kGroupRows, kCols);
      for (int64_t r = 0; r < rows; ++r) {
        const std::vector<float> expected = w.Expanded(r);
        for (int64_t block = 0; block < kCols / kPackedBlock; ++block) {
          const ref::PackedRow row = ref::ReadRow(traits, packed.view().data + r / kGroupRows * group_bytes, block,
                                                  static_cast<int>(r % kGroupRows));
          for (int c = 0; c < kPackedBlock; ++c) {
            const float value = row.scale[c / 16] * static_cast<float>(row.q[c] - traits.zero) + row.min;
            ASSERT_EQ(value, expected[static_cast<size_t>(block * kPackedBlock + c)]) << r << ", " << block << ", " << c;
          }
        }
      }
    }
  }
}

TEST(Packing, TakesNoMoreRoomThanTheFileButForTheScalesOfSuperBlocks) {
  for (DType type : kQuantisedTypes) {
    const auto stored = static_cast<double>(*RowBytes(type, 2048)) * 2048;
    const double most = type == DType::kQ4_K ? 1.03 : type == DType::kQ5_K ? 1.025 : 1.0;
    EXPECT_LE(static_cast<double>(PackedBytes(type, 2048, 2048)), stored * most) << tern::Name(type);
  }
  EXPECT_FALSE(Packable(DType::kQ2_K));
  EXPECT_FALSE(Packable(DType::kF16));
}

TEST_P(Packed, QuantisesActivationsLikeTheOracle) {
  Random random(2);
  SCOPED_TRACE("seed 2");
  for (int tokens : {1, 2, 5, 9, 16}) {
    for (double scale : {1.0, 1e-20, 1e-31, 1e-38, 1e30}) {
      Row x = Row::Normal(random, tokens * 96, scale);
      std::fill_n(x.data() + 32, 32, 0.0f);  // a block of zeros
      EXPECT_EQ(IntegerTile(table(), x, tokens), IntegerTile(oracle(), x, tokens)) << tokens << " tokens of " << scale;
    }
  }
}

TEST_P(Packed, ActivationsKeepSevenBits) {
  Random random(3);
  SCOPED_TRACE("seed 3");
  const Row x = Row::Normal(random, 640);
  const std::vector<std::byte> tile = IntegerTile(table(), x, 1);
  for (int64_t block = 0; block < 20; ++block) {
    const ref::TileBlock b = ref::BlockOfTile(tile.data(), 1, block);
    const float d = ref::LoadAs<float>(b.d(0));
    int sum = 0, first_half = 0;
    for (int i = 0; i < kPackedBlock; ++i) {
      const int q = ref::LoadAs<int8_t>(b.q(0) + i);
      sum += q;
      if (i < kPackedBlock / 2) first_half += q;
      // Half a step, and the rounding of d and of the product.
      ASSERT_NEAR(static_cast<float>(q) * d, x[block * kPackedBlock + i], d * 0.5001f);
    }
    EXPECT_EQ(ref::LoadAs<int32_t>(b.start(0, 0)), -128 * sum);
    EXPECT_EQ(ref::LoadAs<int32_t>(b.start(0, 1)), -128 * first_half);
    EXPECT_EQ(ref::LoadAs<float>(b.d_sum(0)), d * static_cast<float>(sum));
  }
}

TEST_P(Packed, GivesTheOraclesBits) {
  Random random(4);
  SCOPED_TRACE("seed 4");
  for (DType type : kQuantisedTypes) {
    for (int64_t rows : {5, 16, 27}) {
      const StoredMatrix w(random, type, rows, 768);
      const Laid packed(w.view(), Layout::kPacked);
      for (int tokens = 1; tokens <= kMostTileTokens; ++tokens) {
        const Row x = Row::Normal(random, tokens * 768);
        const std::vector<std::byte> tile = IntegerTile(oracle(), x, tokens);
        ASSERT_TRUE(Product(table(), packed.view(), tile, tokens, 0.5f) ==
                    Product(oracle(), packed.view(), tile, tokens, 0.5f))
            << tern::Name(type) << ", " << rows << " rows, " << tokens << " tokens";
      }
    }
  }
}

TEST_P(Packed, ExtremeIntegersDoNotOverflow) {
  Row x = Row::Filled(256, 1.0f);  // every activation is 127 …
  for (DType type : kQuantisedTypes) {
    for (float sign : {1.0f, -1.0f}) {
      Random random(5);
      Row weights = Row::Filled(16 * 256, sign);  // … and every weight at an end of its range
      for (int64_t i = 0; i < weights.size(); i += 16) weights[i] = -0.97f * sign;
      std::vector<std::byte> stored(static_cast<size_t>(*RowBytes(type, 256)) * 16);
      for (int64_t r = 0; r < 16; ++r) {
        QuantizeRow(type, weights.data() + r * 256, stored.data() + static_cast<size_t>(r) * *RowBytes(type, 256), 256);
      }
      const Laid packed({type, 16, 256, stored.data()}, Layout::kPacked);
      const std::vector<std::byte> tile = IntegerTile(oracle(), x, 1);
      ASSERT_TRUE(Product(table(), packed.view(), tile, 1) == Product(oracle(), packed.view(), tile, 1))
          << tern::Name(type) << ", " << sign;
    }
  }
}

TEST_P(Packed, ProductIsNearTheExactOne) {
  // Activations carry an error of at most d/2 each, d = max|x|/127 of their block: the sum's error is bounded by
  // Σ|w|·d/2. A normal block of 32 has max|x| near 2.1, so half of that bound, taken as a random walk, is generous.
  Random random(6);
  SCOPED_TRACE("seed 6");
  for (DType type : kQuantisedTypes) {
    const StoredMatrix w(random, type, 20, 1024);
    const Laid packed(w.view(), Layout::kPacked);
    const Row x = Row::Normal(random, 1024);
    const Row y = Product(table(), packed.view(), IntegerTile(table(), x, 1), 1);
    for (int64_t r = 0; r < 20; ++r) {
      const std::vector<float> row = w.Expanded(r);
      double exact = 0, squares = 0;
      for (int64_t i = 0; i < 1024; ++i) {
        exact += static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(x[i]);
        squares += static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(row[static_cast<size_t>(i)]);
      }
      // Each activation's rounding error is uniform with deviation d/√12, d ≤ 4/127: six deviations.
      EXPECT_NEAR(y[r], exact, 6 * std::sqrt(squares) * 4 / 127 / std::sqrt(12.0)) << tern::Name(type) << ", row " << r;
    }
  }
}

TEST_P(Packed, OneBadTokenSpoilsNoOther) {
  Random random(7);
  SCOPED_TRACE("seed 7");
  const StoredMatrix w(random, DType::kQ4_1, 16, 64);
  const Laid packed(w.view(), Layout::kPacked);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Row x = Row::Normal(random, 5 * 64);
    x[2 * 64 + 40] = bad;
    const Row y = Product(table(), packed.view(), IntegerTile(table(), x, 5), 5);
    for (int t = 0; t < 5; ++t) {
      for (int64_t o = 0; o < 16; ++o) ASSERT_EQ(std::isnan(y[t * 16 + o]), t == 2) << t << ", " << o;
    }
  }
}

TEST_P(Packed, TokensResultDependsNeitherOnItsBatchNorOnThreads) {
  Random random(8);
  SCOPED_TRACE("seed 8");
  const Level before = Kernels().level;
  ASSERT_TRUE(UseLevel(table().level).ok());
  for (DType type : {DType::kQ8_0, DType::kQ5_1, DType::kQ6_K}) {
    constexpr int64_t kRows = 150, kCols = 512, kMost = 90;
    const StoredMatrix w(random, type, kRows, kCols), plain(random, DType::kF16, 3, kCols);
    const Laid packed(w.view(), Layout::kPacked);
    const Row x = Row::Normal(random, kMost * kCols);
    Row one_by_one(kMost * kRows);
    for (int64_t t = 0; t < kMost; ++t) {
      const MatMulJob job = {.w = packed.view(), .x = x.data() + t * kCols, .x_stride = kCols,
                             .y = one_by_one.data() + t * kRows, .y_stride = kRows, .T = 1};
      MatMul({&job, 1});
    }
    for (int64_t T : {2, 7, 16, 17, 33, 90}) {
      for (int threads : {1, 2, 5}) {
        SetNumThreads(threads);
        Row y(T * kRows), other(T * 3);
        const MatMulJob jobs[] = {
            {.w = plain.view(), .x = x.data(), .x_stride = kCols, .y = other.data(), .y_stride = 3, .T = T},
            {.w = packed.view(), .x = x.data(), .x_stride = kCols, .y = y.data(), .y_stride = kRows, .T = T}};
        MatMul(jobs);
        ASSERT_EQ(0, std::memcmp(y.data(), one_by_one.data(), static_cast<size_t>(T * kRows) * 4))
            << tern::Name(type) << ", T " << T << ", " << threads << " threads";
      }
    }
  }
  SetNumThreads(0);
  ASSERT_TRUE(UseLevel(before).ok());
}

}  // namespace
}  // namespace tern::kernels
