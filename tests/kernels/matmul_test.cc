#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

class MatMulOf : public EachLevel {
 protected:
  /// The product of all of w's rows with T rows of x, through the table.
  Row Product(const MatrixView& w, const Row& x, int64_t T, float scale = 1.0f) const {
    Row y(T * w.rows);
    table().matmul(Job(w, x, T, y, scale), 0, w.rows);
    EXPECT_TRUE(y.Intact());
    return y;
  }
  static MatMulJob Job(const MatrixView& w, const Row& x, int64_t T, Row& y, float scale = 1.0f) {
    return {
        .w = w, .x = x.data(), .x_stride = w.cols, .y = y.data(), .y_stride = w.rows, .T = T, .scale = scale};
  }
};
TERN_FOR_EACH_LEVEL(MatMulOf);

/// Against sums in double. A sum of n products in L lanes has a relative error (to Σ|w·x|) of about (n/L +
/// log2 L)·2^-24 at worst; half of that with 8 lanes bounds it comfortably, since errors do not all point the
/// same way.
void ExpectClose(const Row& y, const StoredMatrix& w, const Row& x, int64_t T, float scale) {
  const int64_t rows = w.view().rows, cols = w.view().cols;
  for (int64_t o = 0; o < rows; ++o) {
    const std::vector<float> row = w.Expanded(o);
    for (int64_t t = 0; t < T; ++t) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < cols; ++i) {
        const double product =
            static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(x[t * cols + i]);
        sum += product;
        size += std::abs(product);
      }
      const double tolerance = size * std::abs(scale) * 0x1p-24 * (static_cast<double>(cols) / 16 + 4);
      ASSERT_NEAR(y[t * rows + o], sum * scale, tolerance) << "row " << o << ", token " << t;
    }
  }
}

TEST_P(MatMulOf, EqualsSumsInDoubleAtOddSizes) {
  Random random(1);
  SCOPED_TRACE("seed 1");
  for (DType type : kFloatTypes) {
    for (int64_t cols : {1, 3, 15, 16, 17, 31, 63, 65, 127, 200, 257, 767, 768, 769, 1600}) {
      for (int64_t T : {1, 2, 3, 5, 7, 13, 19}) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(11));
        SCOPED_TRACE(std::string(tern::Name(type)) + " " + std::to_string(rows) + "x" + std::to_string(cols) +
                     ", T " + std::to_string(T));
        const StoredMatrix w(random, type, rows, cols);
        const Row x = Row::Normal(random, T * cols);
        ExpectClose(Product(w.view(), x, T, 0.5f), w, x, T, 0.5f);
      }
    }
  }
}

TEST_P(MatMulOf, EqualsSumsInDoubleBeyondOneBlockOfEveryKind) {
  Random random(2);
  SCOPED_TRACE("seed 2");
  const StoredMatrix w(random, DType::kBF16, 71, 1601);
  const Row x = Row::Normal(random, 203 * 1601);
  ExpectClose(Product(w.view(), x, 203), w, x, 203, 1.0f);
}

TEST_P(MatMulOf, ExpandsQuantisedWeights) {
  Random random(3);
  SCOPED_TRACE("seed 3");
  for (DType type : kQuantisedTypes) {
    for (int64_t cols : {256, 1280}) {
      for (int64_t T : {1, 4, 9, 14}) {
        SCOPED_TRACE(std::string(tern::Name(type)) + " " + std::to_string(cols) + " T " + std::to_string(T));
        const StoredMatrix w(random, type, 7, cols);
        const Row x = Row::Normal(random, T * cols);
        ExpectClose(Product(w.view(), x, T), w, x, T, 1.0f);
      }
    }
  }
}

TEST_P(MatMulOf, UnitVectorsReadTheWeightsExactly) {
  Random random(8);
  SCOPED_TRACE("seed 8");
  for (DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ4_K}) {
    constexpr int64_t kRows = 5, kCols = 256;
    const StoredMatrix w(random, type, kRows, kCols);
    Row units = Row::Filled(kCols * kCols, 0.0f);
    for (int64_t i = 0; i < kCols; ++i) units[i * kCols + i] = 1.0f;
    const Row y = Product(w.view(), units, kCols);
    for (int64_t o = 0; o < kRows; ++o) {
      const std::vector<float> row = w.Expanded(o);
      for (int64_t i = 0; i < kCols; ++i) {
        ASSERT_EQ(y[i * kRows + o], row[static_cast<size_t>(i)]) << tern::Name(type) << " " << o << ", " << i;
      }
    }
  }
}

TEST_P(MatMulOf, TokensResultDoesNotDependOnItsBatch) {
  Random random(4);
  SCOPED_TRACE("seed 4");
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    for (int64_t cols : {32, 416, 1600}) {
      const bool quantised = Traits(type).quantised;
      const int64_t width = quantised ? cols : cols + 3;
      constexpr int64_t kRows = 9, kMost = 110;
      const StoredMatrix w(random, type, kRows, width);
      const Row x = Row::Normal(random, kMost * width);
      const Row all = Product(w.view(), x, kMost);
      for (int64_t T : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 25, 97}) {
        for (int64_t first : {int64_t{0}, kMost - T}) {
          Row y(T * kRows);
          MatMulJob job = Job(w.view(), x, T, y);
          job.x += first * width;
          table().matmul(job, 0, kRows);
          ASSERT_EQ(0, std::memcmp(y.data(), all.data() + first * kRows, static_cast<size_t>(T * kRows) * 4))
              << tern::Name(type) << ", cols " << width << ", T " << T << " from " << first;
        }
      }
    }
  }
}

TEST_P(MatMulOf, RowsResultDoesNotDependOnTheSplit) {
  Random random(5);
  SCOPED_TRACE("seed 5");
  constexpr int64_t kRows = 70, kCols = 800;
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ5_1}) {
    const StoredMatrix w(random, type, kRows, kCols);
    for (int64_t T : {1, 4, 15, 100}) {
      const Row x = Row::Normal(random, T * kCols);
      const Row whole = Product(w.view(), x, T);
      for (int64_t step : {1, 2, 3, 5, 6, 33}) {
        Row y(T * kRows);
        for (int64_t row = 0; row < kRows; row += step) {
          table().matmul(Job(w.view(), x, T, y), row, std::min(kRows, row + step));
        }
        ASSERT_TRUE(y == whole) << tern::Name(type) << ", T " << T << ", " << step << " rows at a time";
      }
    }
  }
}

TEST_P(MatMulOf, HonoursStridesAndTouchesNothingBetweenThem) {
  Random random(6);
  SCOPED_TRACE("seed 6");
  constexpr int64_t kRows = 6, kCols = 37, kXStride = 50, kYStride = 11;
  const StoredMatrix w(random, DType::kF16, kRows, kCols);
  for (int64_t T : {1, 3, 20}) {
    const Row x = Row::Normal(random, T * kXStride);
    Row dense_x(T * kCols);
    for (int64_t t = 0; t < T; ++t) std::copy_n(x.data() + t * kXStride, kCols, dense_x.data() + t * kCols);
    Row y = Row::Filled(T * kYStride, 7.0f);
    const MatMulJob job = {
        .w = w.view(), .x = x.data(), .x_stride = kXStride, .y = y.data(), .y_stride = kYStride, .T = T};
    table().matmul(job, 1, 5);
    const Row expected = Product(w.view(), dense_x, T);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t o = 0; o < kYStride; ++o) {
        ASSERT_EQ(y[t * kYStride + o], o >= 1 && o < 5 ? expected[t * kRows + o] : 7.0f) << t << ", " << o;
      }
    }
  }
}

TEST_P(MatMulOf, OneBadTokenOrRowSpoilsNoOther) {
  constexpr int64_t kRows = 5, kCols = 21, kT = 17;
  Row weights = Row::Filled(kRows * kCols, 1.0f);
  weights[2 * kCols + 20] = kNan;
  const MatrixView w = {DType::kF32, kRows, kCols, reinterpret_cast<const std::byte*>(weights.data())};
  Row x = Row::Filled(kT * kCols, 1.0f);
  x[3 * kCols] = kNan;
  for (int64_t T : {int64_t{4}, kT}) {
    const Row y = Product(w, x, T);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t o = 0; o < kRows; ++o)
        ASSERT_EQ(std::isnan(y[t * kRows + o]), t == 3 || o == 2) << t << ", " << o;
    }
  }
}

TEST_P(MatMulOf, SubnormalHalvesCount) {
  constexpr int64_t kCols = 19;
  std::vector<uint16_t> half(kCols, 1);  // 2^-24 each
  Row x = Row::Filled(kCols, 0x1p+24f);
  const MatrixView w = {DType::kF16, 1, kCols, reinterpret_cast<const std::byte*>(half.data())};
  EXPECT_EQ(Product(w, x, 1)[0], static_cast<float>(kCols));
}

TEST_P(MatMulOf, ParallelFrontGivesTheTablesBitsAtAnyNumberOfThreads) {
  Random random(7);
  SCOPED_TRACE("seed 7");
  const Level before = Kernels().level;
  ASSERT_TRUE(UseLevel(table().level).ok());
  const StoredMatrix a(random, DType::kF16, 301, 260), b(random, DType::kQ8_0, 33, 64),
      c(random, DType::kF32, 1, 5);
  for (int64_t T : {1, 3, 130}) {
    const Row xa = Row::Normal(random, T * 260), xb = Row::Normal(random, T * 64),
              xc = Row::Normal(random, T * 5);
    const Row ya = Product(a.view(), xa, T), yb = Product(b.view(), xb, T), yc = Product(c.view(), xc, T);
    for (int threads : {1, 2, 5}) {
      SetNumThreads(threads);
      Row pa(T * 301), pb(T * 33), pc(T * 1);
      const MatMulJob jobs[] = {Job(a.view(), xa, T, pa), Job(b.view(), xb, T, pb), Job(c.view(), xc, T, pc)};
      kernels::MatMul(jobs);
      EXPECT_TRUE(pa == ya && pb == yb && pc == yc) << threads << " threads, T " << T;
    }
  }
  SetNumThreads(0);
  ASSERT_TRUE(UseLevel(before).ok());
}

}  // namespace
}  // namespace tern::kernels
