// Products in bf16: what many tokens of one sequence meet, and nobody else.
#include <limits>
#include <memory>

#include "base/parallel.h"
#include "kernels/packing.h"
#include "kernels/ref/columns.h"
#include "kernels/ref/packed.h"
#include "tests/kernels/amx_table.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

float Rounded(float x) { return Bf16ToFloat(FloatToBf16(x)); }

constexpr int64_t kManyQuantised = 32;  ///< tokens from which on the levels that can multiply quantised weights in bf16

/// Random weights in one of the layouts.
class Weights {
 public:
  Weights(Random& random, DType type, int64_t rows, int64_t cols, Layout layout)
      : stored_(random, type, rows, cols), view_(stored_.view()) {
    if (layout == Layout::kRows) return;
    laid_ = std::make_unique<Laid>(stored_.view(), layout);
    view_ = laid_->view();
  }
  const MatrixView& view() const { return view_; }

  /// Row r, each weight rounded once to fp32 and then to bf16, if wanted.
  std::vector<float> Row(int64_t r, bool rounded) const {
    std::vector<float> row = stored_.Expanded(r);
    if (Packable(view_.dtype)) {
      for (int64_t block = 0; block < view_.cols / kPackedBlock; ++block) {
        const ref::PackedRow packed = Block(r, block);
        for (int c = 0; c < kPackedBlock; ++c) {
          const float scale = packed.scale[c / 16];
          const float zero = static_cast<float>(ref::PackedTypeOf(view_.dtype).zero);
          const float min = ref::PackedTypeOf(view_.dtype).has_min ? packed.min : -zero * scale;
          row[static_cast<size_t>(block * kPackedBlock + c)] = std::fma(static_cast<float>(packed.q[c]), scale, min);
        }
      }
    }
    for (float& w : row) w = rounded ? Rounded(w) : w;
    return row;
  }

 private:
  ref::PackedRow Block(int64_t r, int64_t block) const {
    const ref::PackedType type = ref::PackedTypeOf(view_.dtype);
    if (view_.layout == Layout::kColumns) return ref::ReadColumns(type, ref::ColumnRow{view_.data, ColumnRows(view_.rows), r}, block);
    const int64_t group_bytes = PackedBytes(view_.dtype, kGroupRows, view_.cols);
    return ref::ReadRow(type, view_.data + r / kGroupRows * group_bytes, block, static_cast<int>(r % kGroupRows));
  }

  StoredMatrix stored_;
  std::unique_ptr<Laid> laid_;
  MatrixView view_;
};

/// The level under test, in use until the test ends.
class Bf16ProductsOf : public EachLevel {
 protected:
  void SetUp() override { UseTable(table()); }
  void TearDown() override {
    SetNumThreads(0);
    UseTable(before_);
  }
  bool HasBf16() const { return table().bf16 != nullptr; }
  bool HasQuantised() const { return HasBf16() && table().bf16->least_quantised == kManyQuantised; }

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
  /// The product of one sequence's tokens is that of numbers rounded to bf16.
  static void ExpectSums(const Weights& w, const Row& x, bool rounded) {
    const int64_t cols = w.view().cols, rows = w.view().rows, T = x.size() / cols;
    SCOPED_TRACE(std::string(tern::Name(w.view().dtype)) + " " + std::to_string(rows) + "x" + std::to_string(cols) + ", T " +
                 std::to_string(T) + ", layout " + std::to_string(static_cast<int>(w.view().layout)));
    const RowRange all[] = {{0, T}};
    const Row y = Product(w.view(), x, all);
    for (int64_t o = 0; o < rows; ++o) {
      const std::vector<float> row = w.Row(o, rounded);
      for (int64_t t = 0; t < T; ++t) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < cols; ++i) {
          const float xi = rounded ? Rounded(x[t * cols + i]) : x[t * cols + i];
          const double product = static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(xi);
          sum += product, size += std::abs(product);
        }
        // One fp32 sum over all columns, in some order: cols·2^-24 of Σ|w·x| at worst.
        ASSERT_NEAR(y[t * rows + o], 0.5 * sum, size * 0x1p-24 * static_cast<double>(cols + 2)) << o << ", " << t;
      }
    }
  }

 private:
  const KernelTable& before_ = Kernels();
};
std::vector<const KernelTable*> TablesAnywhere() {
  std::vector<const KernelTable*> tables = AvailableTables();
  const KernelTable* amx = AmxTableAnywhere();
  if (amx != nullptr && tables.back() != amx) tables.push_back(amx);
  return tables;
}
INSTANTIATE_TEST_SUITE_P(Levels, Bf16ProductsOf, ::testing::ValuesIn(TablesAnywhere()), LevelName);

TEST_P(Bf16ProductsOf, FloatsEqualSumsOfRoundedNumbers) {
  Random random(1);
  SCOPED_TRACE("seed 1");
  for (DType type : {DType::kF16, DType::kBF16}) {
    for (Layout layout : {Layout::kRows, Layout::kColumns}) {
      for (int64_t cols : {1, 31, 33, 256, 301, 770}) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(150)), T = 16 + static_cast<int64_t>(random.Below(20));
        const Weights w(random, type, rows, cols, layout);
        ExpectSums(w, Row::Normal(random, T * cols), HasBf16());
      }
    }
  }
}

TEST_P(Bf16ProductsOf, QuantisedWeightsEqualSumsOfRoundedNumbers) {
  if (!HasQuantised()) GTEST_SKIP() << "quantised weights are multiplied as integers";
  Random random(2);
  SCOPED_TRACE("seed 2");
  for (DType type : kQuantisedTypes) {
    const int64_t unit = type == DType::kQ4_K || type == DType::kQ5_K || type == DType::kQ6_K ? 256 : 32;
    for (Layout layout : {Layout::kPacked, Layout::kColumns}) {
      for (int64_t cols : {unit, 3 * unit, int64_t{512}}) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(150)), T = 32 + static_cast<int64_t>(random.Below(20));
        const Weights w(random, type, rows, cols, layout);
        ExpectSums(w, Row::Normal(random, T * cols), true);
      }
    }
  }
}

TEST_P(Bf16ProductsOf, QuantisedColumnsInWideGroupsToo) {
  if (!HasQuantised()) GTEST_SKIP() << "quantised weights are multiplied as integers";
  Random random(3);
  SCOPED_TRACE("seed 3");
  for (int64_t rows : {2200, 4300}) {  // groups of 256 and 512, and a smaller one
    for (DType type : {DType::kQ8_0, DType::kQ5_K}) {
      const Row x = Row::Normal(random, 32 * 256);
      const StoredMatrix w(random, type, rows, 256);
      const RowRange all[] = {{0, 32}};
      EXPECT_TRUE(Product(Laid(w.view(), Layout::kColumns).view(), x, all) ==
                  Product(Laid(w.view(), Layout::kPacked).view(), x, all))
          << tern::Name(type) << ", " << rows;
    }
  }
}

TEST_P(Bf16ProductsOf, ShortSequencesMeetIntegers) {
  Random random(4);
  SCOPED_TRACE("seed 4");
  for (DType type : kQuantisedTypes) {
    for (Layout layout : {Layout::kPacked, Layout::kColumns}) {
      const Weights w(random, type, 100, 256, layout);
      const Row x = Row::Normal(random, (kManyQuantised - 1) * 256);
      const RowRange all[] = {{0, kManyQuantised - 1}};
      EXPECT_TRUE(Product(w.view(), x, all) == Product(w.view(), x, {})) << tern::Name(type);
    }
  }
}

TEST_P(Bf16ProductsOf, DependOnTheirOwnSequenceAlone) {
  Random random(5);
  SCOPED_TRACE("seed 5");
  constexpr int64_t kRows = 140, kCols = 256;
  for (DType type : {DType::kF16, DType::kBF16, DType::kF32, DType::kQ8_0, DType::kQ4_K}) {
    for (Layout layout : {Packable(type) ? Layout::kPacked : Layout::kRows, Layout::kColumns}) {
      const Weights weights(random, type, kRows, kCols, layout);
      const MatrixView& view = weights.view();
      // Tokens of single sequences around three long ones, of which the second is mostly zeros, as a squared ReLU leaves it,
      // and the third no more than long enough.
      const RowRange many[] = {{3, 43}, {48, 88}, {90, 106}};
      Row x = Row::Normal(random, 108 * kCols);
      for (int64_t i = 48 * kCols; i < 88 * kCols; ++i) x[i] = random.Uniform(0, 1) < 0.985 ? 0.0f : x[i];
      const Row exact = Product(view, x, {});
      for (int threads : {1, 3}) {
        SetNumThreads(threads);
        const Row y = Product(view, x, many);
        for (const auto& [begin, end] : {RowRange{0, 3}, RowRange{43, 48}, RowRange{88, 90}, RowRange{106, 108}}) {
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

TEST_P(Bf16ProductsOf, ManyTokensInManyTilesAreThoseOfFew) {
  if (!HasBf16()) GTEST_SKIP() << "no products in bf16";
  Random random(6);
  SCOPED_TRACE("seed 6");
  constexpr int64_t kRows = 70, kTokens = 700;  // more tiles than meet a panel at once
  for (DType type : {DType::kF16, DType::kQ5_1}) {
    const int64_t cols = type == DType::kF16 ? 40 : 64, least = type == DType::kF16 ? kManyTokens : kManyQuantised;
    const Weights w(random, type, kRows, cols, type == DType::kF16 ? Layout::kRows : Layout::kPacked);
    const Row x = Row::Normal(random, kTokens * cols);
    const RowRange all[] = {{0, kTokens}}, few[] = {{0, least}};
    const Row y = Product(w.view(), x, all);
    for (int64_t t : {int64_t{0}, int64_t{300}, kTokens - least}) {
      EXPECT_TRUE(Part(y, kRows, t, t + least) == Product(w.view(), Part(x, cols, t, t + least), few)) << t;
    }
  }
}

TEST_P(Bf16ProductsOf, OneBadTokenSpoilsNoOther) {
  Random random(7);
  SCOPED_TRACE("seed 7");
  constexpr int64_t kTokens = 33;
  const RowRange all[] = {{0, kTokens}};
  for (DType type : {DType::kBF16, DType::kQ4_1}) {
    for (Layout layout : {Packable(type) ? Layout::kPacked : Layout::kRows, Layout::kColumns}) {
      const Weights w(random, type, 20, 64, layout);
      for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        Row x = Row::Normal(random, kTokens * 64);
        x[5 * 64 + 40] = bad;
        const Row y = Product(w.view(), x, all);
        for (int64_t t = 0; t < kTokens; ++t) {
          for (int64_t o = 0; o < 20; ++o) ASSERT_EQ(std::isfinite(y[t * 20 + o]), t != 5) << t << ", " << o;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels
