// Products in bf16: what many tokens of one sequence meet, and nobody else.
#include <limits>

#include "base/parallel.h"
#include "kernels/packing.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

float Rounded(float x) { return Bf16ToFloat(FloatToBf16(x)); }

/// The level under test, in use until the test ends.
class Bf16Products : public EachLevel {
 protected:
  void SetUp() override { ASSERT_TRUE(UseLevel(table().level).ok()); }
  void TearDown() override {
    SetNumThreads(0);
    ASSERT_TRUE(UseLevel(before_).ok());
  }
  bool HasBf16() const { return table().bf16_matmul != nullptr; }
  static MatrixView View(const StoredMatrix& w, const Laid& columns, Layout layout) {
    return layout == Layout::kColumns ? columns.view() : w.view();
  }
  static Row Product(const MatrixView& w, const Row& x, std::span<const RowRange> many) {
    const int64_t T = x.size() / w.cols;
    Row y = Row::Filled(T * w.rows, 3.0f);
    const MatMulJob job = {.w = w, .x = x.data(), .x_stride = w.cols, .y = y.data(), .y_stride = w.rows, .T = T,
                           .scale = 0.5f, .many = many};
    kernels::MatMul({&job, 1});
    EXPECT_TRUE(y.Intact());
    return y;
  }
  static Row Part(const Row& rows, int64_t width, int64_t begin, int64_t end) {
    Row part((end - begin) * width);
    for (int64_t i = 0; i < part.size(); ++i) part[i] = rows[begin * width + i];
    return part;
  }

 private:
  const Level before_ = Kernels().level;
};
TERN_FOR_EACH_LEVEL(Bf16Products);

TEST_P(Bf16Products, EqualSumsOfRoundedNumbers) {
  Random random(1);
  SCOPED_TRACE("seed 1");
  for (DType type : {DType::kF16, DType::kBF16}) {
    for (Layout layout : {Layout::kRows, Layout::kColumns}) {
      for (int64_t cols : {1, 31, 33, 256, 301, 770}) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(150)), T = 16 + static_cast<int64_t>(random.Below(20));
        SCOPED_TRACE(std::string(tern::Name(type)) + " " + std::to_string(rows) + "x" + std::to_string(cols) + ", T " +
                     std::to_string(T) + ", layout " + std::to_string(static_cast<int>(layout)));
        const StoredMatrix w(random, type, rows, cols);
        const Laid columns(w.view(), Layout::kColumns);
        const Row x = Row::Normal(random, T * cols);
        const RowRange all[] = {{0, T}};
        const Row y = Product(View(w, columns, layout), x, all);
        for (int64_t o = 0; o < rows; ++o) {
          const std::vector<float> row = w.Expanded(o);
          for (int64_t t = 0; t < T; ++t) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < cols; ++i) {
              const float wi = row[static_cast<size_t>(i)], xi = x[t * cols + i];
              const double product = HasBf16() ? static_cast<double>(Rounded(wi)) * static_cast<double>(Rounded(xi))
                                               : static_cast<double>(wi) * static_cast<double>(xi);
              sum += product, size += std::abs(product);
            }
            // One fp32 sum over all columns, in order: cols·2^-24 of Σ|w·x| at worst.
            ASSERT_NEAR(y[t * rows + o], 0.5 * sum, size * 0x1p-24 * static_cast<double>(cols + 2)) << o << ", " << t;
          }
        }
      }
    }
  }
}

TEST_P(Bf16Products, DependOnTheirOwnSequenceAlone) {
  Random random(2);
  SCOPED_TRACE("seed 2");
  constexpr int64_t kRows = 140, kCols = 96;
  for (DType type : {DType::kF16, DType::kBF16, DType::kF32}) {
    const StoredMatrix w(random, type, kRows, kCols);
    const Laid columns(w.view(), Layout::kColumns);
    for (Layout layout : {Layout::kRows, Layout::kColumns}) {
      const MatrixView view = View(w, columns, layout);
      // Tokens of single sequences around two long ones, of which the second is mostly zeros, as a squared ReLU leaves it.
      const RowRange many[] = {{3, 43}, {48, 65}};
      Row x = Row::Normal(random, 67 * kCols);
      for (int64_t i = 48 * kCols; i < 65 * kCols; ++i) x[i] = random.Uniform(0, 1) < 0.95 ? 0.0f : x[i];
      const Row exact = Product(view, x, {});
      for (int threads : {1, 3}) {
        SetNumThreads(threads);
        const Row y = Product(view, x, many);
        for (const auto& [begin, end] : {RowRange{0, 3}, RowRange{43, 48}, RowRange{65, 67}}) {
          EXPECT_TRUE(Part(y, kRows, begin, end) == Part(exact, kRows, begin, end)) << begin;
        }
        for (const RowRange& range : many) {
          const RowRange alone[] = {{0, range.end - range.begin}};
          EXPECT_TRUE(Part(y, kRows, range.begin, range.end) ==
                      Product(view, Part(x, kCols, range.begin, range.end), alone))
              << tern::Name(type) << ", layout " << static_cast<int>(layout) << ", rows from " << range.begin;
        }
      }
    }
  }
}

TEST_P(Bf16Products, ManyTokensInManyTilesAreThoseOfFew) {
  if (!HasBf16()) GTEST_SKIP() << "no products in bf16";
  Random random(3);
  SCOPED_TRACE("seed 3");
  constexpr int64_t kRows = 70, kCols = 40, kTokens = 700;  // more tiles than meet a panel at once
  const StoredMatrix w(random, DType::kF16, kRows, kCols);
  const Row x = Row::Normal(random, kTokens * kCols);
  const RowRange all[] = {{0, kTokens}}, few[] = {{0, 20}};
  const Row y = Product(w.view(), x, all);
  for (int64_t t : {int64_t{0}, int64_t{300}, kTokens - 20}) {
    EXPECT_TRUE(Part(y, kRows, t, t + 20) == Product(w.view(), Part(x, kCols, t, t + 20), few)) << t;
  }
}

TEST_P(Bf16Products, OneBadTokenSpoilsNoOther) {
  Random random(4);
  SCOPED_TRACE("seed 4");
  const StoredMatrix w(random, DType::kBF16, 20, 64);
  const Laid columns(w.view(), Layout::kColumns);
  const RowRange all[] = {{0, 17}};
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Row x = Row::Normal(random, 17 * 64);
    x[5 * 64 + 40] = bad;
    for (Layout layout : {Layout::kRows, Layout::kColumns}) {
      const Row y = Product(View(w, columns, layout), x, all);
      for (int t = 0; t < 17; ++t) {
        for (int64_t o = 0; o < 20; ++o) ASSERT_EQ(std::isfinite(y[t * 20 + o]), t != 5) << t << ", " << o;
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels
