// Weights in layout kColumns: what the layout holds, that leaving out zero columns changes no bit, and that
// they are left out.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/parallel.h"
#include "kernels/packing.h"
#include "kernels/ref/columns.h"
#include "tests/kernels/kernel_testing.h"

namespace tern::kernels {
namespace {

int64_t Strips(const MatrixView& w) { return (w.rows + kStripRows - 1) / kStripRows; }

/// Activations as squared ReLUs leave them: not negative, and most of them zero. `zeros`: their share.
Row SparseRow(Random& random, int64_t n, double zeros) {
  Row x = Row::Normal(random, n);
  for (int64_t i = 0; i < n; ++i) x[i] = random.Uniform(0, 1) < zeros ? 0.0f : x[i] * x[i];
  return x;
}

/// Tokens as a tile for a matrix of the type.
std::vector<std::byte> TileOf(DType type, const Row& x, int tokens) {
  const int64_t cols = x.size() / tokens;
  if (Packable(type)) return IntegerTile(*KernelsOf(Level::kRef), x, tokens);
  const int T = ColumnTileTokens(tokens);
  std::vector<std::byte> tile(static_cast<size_t>(T * cols) * sizeof(float));
  for (int t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < cols; ++i) ref::StoreAs(tile.data() + 4 * (i * T + t), x[t * cols + i]);
  }
  return tile;
}

enum class Way { kTokenByToken, kDense };

Row ColumnProduct(const KernelTable& table, const MatrixView& w, const std::vector<std::byte>& x, int tokens,
            Way way = Way::kTokenByToken) {
  Row y = Row::Filled(tokens * w.rows, 3.0f);
  PackedTile tile = {
      .w = w, .x = x.data(), .tokens = tokens, .y = y.data(), .y_stride = w.rows, .scale = 0.5f};
  tile.nonzeros = way == Way::kDense ? tokens * w.cols : 0;
  if (w.layout == Layout::kColumns) {
    EXPECT_EQ(TokenByToken(tile), way == Way::kTokenByToken || tokens == 1);
    table.column_matmul(&tile, 1, 0, Strips(w));
  } else {
    table.packed_matmul(tile, 0, (w.rows + kGroupRows - 1) / kGroupRows);
  }
  EXPECT_TRUE(y.Intact());
  return y;
}

class Sparse : public EachLevel {};
TERN_FOR_EACH_LEVEL(Sparse);

TEST(Columns, HoldEveryWeightOfEveryQuantisedType) {
  Random random(1);
  SCOPED_TRACE("seed 1");
  for (DType type : kQuantisedTypes) {
    for (int64_t rows : {1, 128, 200, 2100, 4200}) {
      SCOPED_TRACE(std::string(tern::Name(type)) + ", " + std::to_string(rows) + " rows");
      const StoredMatrix w(random, type, rows, 256);
      const Laid columns(w.view(), Layout::kColumns);
      const ref::PackedType traits = ref::PackedTypeOf(type);
      for (int64_t r = 0; r < rows; r += rows > 1000 ? 7 : 1) {
        const std::vector<float> expected = w.Expanded(r);
        for (int64_t block = 0; block < 256 / kPackedBlock; ++block) {
          const ref::PackedRow row = ref::ReadColumns(traits, ref::ColumnRow{columns.view().data, ColumnRows(rows), r}, block);
          for (int c = 0; c < kPackedBlock; ++c) {
            const float value = row.scale[c / 16] * static_cast<float>(row.q[c] - traits.zero) + row.min;
            ASSERT_EQ(value, expected[static_cast<size_t>(block * kPackedBlock + c)])
                << r << ", " << block << ", " << c;
          }
        }
      }
    }
  }
}

TEST(Columns, HoldEveryWeightOfEveryFloatType) {
  Random random(2);
  SCOPED_TRACE("seed 2");
  for (DType type : kFloatTypes) {
    const StoredMatrix w(random, type, 150, 77);
    const Laid columns(w.view(), Layout::kColumns);
    for (int64_t r = 0; r < 150; ++r) {
      const std::vector<float> expected = w.Expanded(r);
      for (int64_t c = 0; c < 77; ++c) {
        ASSERT_EQ(ref::ColumnFloat(columns.view(), ref::ColumnRow{columns.view().data, ColumnRows(150), r}, c),
                  expected[static_cast<size_t>(c)]);
      }
    }
  }
}

TEST(Columns, TakeNoMoreRoomThanPackedRows) {
  for (DType type : kQuantisedTypes) {
    EXPECT_EQ(ColumnBytes(type, 2048, 8192), PackedBytes(type, 2048, 8192)) << tern::Name(type);
  }
  EXPECT_EQ(ColumnBytes(DType::kF16, 2048, 8192), 2048 * 8192 * 2);
  EXPECT_FALSE(HasColumns(DType::kQ2_K));
}

/// What columns should give, from packed rows: segment by segment (the others' activations at zero), added in order. (Scaling
/// by a power of two commutes with rounding.)
Row SegmentBySegment(DType type, const MatrixView& packed, const Row& x, int tokens) {
  const int64_t cols = packed.cols;
  Row y = Row::Filled(tokens * packed.rows, 0.0f);
  for (int s = 0; s < kColumnSegments; ++s) {
    const int64_t begin = SegmentBegin(cols, s), end = SegmentBegin(cols, s + 1);
    if (begin == end) continue;
    Row part = Row::Filled(tokens * cols, 0.0f);
    for (int64_t i = 0; i < part.size(); ++i) part[i] = i % cols >= begin && i % cols < end ? x[i] : 0.0f;
    const Row sums = ColumnProduct(*KernelsOf(Level::kRef), packed, TileOf(type, part, tokens), tokens);
    for (int64_t i = 0; i < y.size(); ++i) y[i] = s == 0 ? sums[i] : y[i] + sums[i];
  }
  return y;
}

TEST_P(Sparse, GivesTheBitsOfTheDenseProduct) {
  Random random(3);
  SCOPED_TRACE("seed 3");
  for (DType type : kQuantisedTypes) {
    for (int64_t rows : {5, 128, 200}) {
      const StoredMatrix w(random, type, rows, 768);
      const Laid packed(w.view(), Layout::kPacked), columns(w.view(), Layout::kColumns);
      for (double zeros : {0.0, 0.5, 0.95, 1.0}) {
        for (int tokens : {1, 2, 3, 9, 16}) {
          const Row activations = SparseRow(random, tokens * 768, zeros);
          const std::vector<std::byte> x = TileOf(type, activations, tokens);
          const Row expected = SegmentBySegment(type, packed.view(), activations, tokens);
          for (Way way : {Way::kTokenByToken, Way::kDense}) {
            ASSERT_TRUE(ColumnProduct(table(), columns.view(), x, tokens, way) == expected)
                << tern::Name(type) << ", " << rows << " rows, " << tokens << " tokens, zeros " << zeros
                << ", way " << static_cast<int>(way);
          }
        }
      }
    }
  }
}

TEST_P(Sparse, GivesTheSameBitsWithManyRowsAndColumns) {
  Random random(4);
  SCOPED_TRACE("seed 4");
  for (DType type : kQuantisedTypes) {
    for (int64_t rows : {300, 2200}) {  // more strips than a token goes through together
      const int64_t cols = rows > 1000 ? 256 : 1792;
      const StoredMatrix w(random, type, rows, cols);
      const Laid packed(w.view(), Layout::kPacked), columns(w.view(), Layout::kColumns);
      const Row activations = SparseRow(random, 2 * cols, 0.7);
      const std::vector<std::byte> x = TileOf(type, activations, 2);
      const Row expected = SegmentBySegment(type, packed.view(), activations, 2);
      for (Way way : {Way::kTokenByToken, Way::kDense}) {
        ASSERT_TRUE(ColumnProduct(table(), columns.view(), x, 2, way) == expected)
            << tern::Name(type) << ", " << rows;
      }
    }
  }
}

TEST_P(Sparse, FloatColumnsGiveTheOraclesBits) {
  Random random(5);
  SCOPED_TRACE("seed 5");
  for (DType type : kFloatTypes) {
    for (int64_t rows : {5, 128, 200}) {
      const StoredMatrix w(random, type, rows, 1101);
      const Laid columns(w.view(), Layout::kColumns);
      for (double zeros : {0.0, 0.9, 1.0}) {
        for (int tokens = 1; tokens <= kMostColumnTileTokens; ++tokens) {
          const std::vector<std::byte> x = TileOf(type, SparseRow(random, tokens * 1101, zeros), tokens);
          const Row expected = ColumnProduct(oracle(), columns.view(), x, tokens);
          for (Way way : {Way::kTokenByToken, Way::kDense}) {
            ASSERT_TRUE(ColumnProduct(table(), columns.view(), x, tokens, way) == expected)
                << tern::Name(type) << ", " << rows << " rows, " << tokens << " tokens, zeros " << zeros;
          }
        }
      }
    }
  }
}

TEST_P(Sparse, SegmentsAddUpToTheProduct) {
  Random random(15);
  SCOPED_TRACE("seed 15");
  for (DType type : {DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kF16, DType::kF32}) {
    for (int64_t cols : {256, 768, 2304}) {
      constexpr int64_t kRows = 300;
      const StoredMatrix w(random, type, kRows, cols);
      const Laid columns(w.view(), Layout::kColumns);
      const std::vector<std::byte> x = TileOf(type, SparseRow(random, cols, 0.6), 1);
      const Row expected = ColumnProduct(oracle(), columns.view(), x, 1);
      Row y = Row::Filled(kRows, 3.0f), sums = Row::Filled(kColumnSegments * ColumnRows(kRows), 7.0f);
      const PackedTile tile = {.w = columns.view(), .x = x.data(), .tokens = 1, .y = y.data(), .y_stride = kRows,
                               .scale = 0.5f, .nonzeros = cols};
      for (int s = 0; s < kColumnSegments; ++s) {
        float* of_segment = sums.data() + s * ColumnRows(kRows);
        table().column_segment(tile, s, 1, Strips(w.view()), of_segment + kStripRows);
        table().column_segment(tile, s, 0, 1, of_segment);
      }
      table().add_segments(tile, sums.data());
      EXPECT_TRUE(y.Intact() && sums.Intact());
      ASSERT_TRUE(y == expected) << tern::Name(type) << ", " << cols << " columns";
    }
  }
}

TEST_P(Sparse, FloatColumnsGiveTheTrueProduct) {
  // One rounding for each column: 2^-24 of the largest partial sum each, which Σ|w·x| bounds.
  Random random(6);
  SCOPED_TRACE("seed 6");
  for (DType type : kFloatTypes) {
    const StoredMatrix w(random, type, 140, 500);
    const Laid columns(w.view(), Layout::kColumns);
    const Row x = SparseRow(random, 500, 0.5), y = ColumnProduct(table(), columns.view(), TileOf(type, x, 1), 1);
    for (int64_t r = 0; r < 140; ++r) {
      const std::vector<float> row = w.Expanded(r);
      double sum = 0, size = 0;
      for (int64_t i = 0; i < 500; ++i) {
        const double product = static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(x[i]);
        sum += product, size += std::fabs(product);
      }
      ASSERT_NEAR(y[r], 0.5 * sum, size * 0x1p-24 * 500 / 2) << tern::Name(type) << ", row " << r;
    }
  }
}

TEST_P(Sparse, VanishingProductsLeaveNoNegativeZero) {
  Row weights = Row::Filled(2 * 40, -1e-20f), x = Row::Filled(2 * 40, 0.0f);
  x[3] = x[40 + 3] = 1e-38f;  // −1e−58: below the smallest number
  const MatrixView w = {DType::kF32, 2, 40, reinterpret_cast<const std::byte*>(weights.data())};
  const Laid columns(w, Layout::kColumns);
  for (Way way : {Way::kTokenByToken, Way::kDense}) {
    const Row y = ColumnProduct(table(), columns.view(), TileOf(DType::kF32, x, 2), 2, way);
    for (int64_t i = 0; i < 4; ++i) EXPECT_TRUE(y[i] == 0 && !std::signbit(y[i])) << i;
  }
}

TEST_P(Sparse, BadActivationsStillSpoilTheirToken) {
  Random random(7);
  SCOPED_TRACE("seed 7");
  for (DType type : {DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kF16}) {
    const StoredMatrix w(random, type, 20, 256);
    const Laid columns(w.view(), Layout::kColumns);
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (Way way : {Way::kTokenByToken, Way::kDense}) {
        Row x = Row::Filled(3 * 256, 0.0f);
        x[256 + 40] = bad;
        const Row y = ColumnProduct(table(), columns.view(), TileOf(type, x, 3), 3, way);
        for (int t = 0; t < 3; ++t) {
          for (int64_t o = 0; o < 20; ++o)
            ASSERT_EQ(std::isfinite(y[t * 20 + o]), t != 1) << tern::Name(type) << ", " << t;
        }
      }
    }
  }
}

/// Weights whose pages of columns [begin, end) cannot be read.
class Unreadable {
 public:
  Unreadable(const MatrixView& rows, int64_t begin, int64_t end) : view_(rows) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = static_cast<size_t>(ColumnBytes(rows.dtype, rows.rows, rows.cols));
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory_, MAP_FAILED);
    auto* data = static_cast<std::byte*>(memory_);
    PackColumns(rows, 0, Strips(rows), data);
    view_.data = data;
    view_.layout = Layout::kColumns;
    const auto column = bytes_ / static_cast<size_t>(rows.cols);
    const size_t first = (static_cast<size_t>(begin) * column + page - 1) / page * page;
    const size_t last = static_cast<size_t>(end) * column / page * page;
    EXPECT_GT(last, first);
    EXPECT_EQ(mprotect(data + first, last - first, PROT_NONE), 0);
  }
  ~Unreadable() { munmap(memory_, bytes_); }
  Unreadable(const Unreadable&) = delete;
  Unreadable& operator=(const Unreadable&) = delete;
  const MatrixView& view() const { return view_; }

 private:
  MatrixView view_;
  void* memory_;
  size_t bytes_;
};

TEST_P(Sparse, ColumnsThatMeetZerosAreNotTouched) {
  if (table().level == Level::kRef) GTEST_SKIP() << "the oracle reads everything";
  Random random(8);
  SCOPED_TRACE("seed 8");
  for (DType type : {DType::kQ8_0, DType::kQ5_1, DType::kQ5_0, DType::kQ4_1, DType::kQ4_0, DType::kQ4_K,
                     DType::kQ5_K, DType::kQ6_K, DType::kF32, DType::kF16, DType::kBF16}) {
    const StoredMatrix w(random, type, 128, 2048);
    const Laid readable(w.view(), Layout::kColumns);
    const Unreadable unreadable(w.view(), 512, 1536);
    Row x = SparseRow(random, 2048, 0.5);
    std::fill(x.data() + 512, x.data() + 1536, 0.0f);
    const std::vector<std::byte> tile = TileOf(type, x, 1);
    EXPECT_TRUE(ColumnProduct(table(), unreadable.view(), tile, 1) == ColumnProduct(oracle(), readable.view(), tile, 1))
        << tern::Name(type);
  }
}

TEST(SparseReads, CountColumnsAndTheScalesOfTheirBlocks) {
  struct Expected {
    DType type;
    uint64_t per_row;
  };
  // 512 columns, of which 3 in block 1, and 1 in block 9, are not zero.
  for (const Expected& e : {Expected{DType::kQ8_0, 2 * 2 + 4},
                            {DType::kQ4_1, 2 * 4 + 2},
                            {DType::kQ4_K, 2 * (4 + 2) + 2},
                            {DType::kQ6_K, 2 * (2 + 2) + 3},
                            {DType::kF16, 4 * 2}}) {
    Row x = Row::Filled(512, 0.0f);
    x[32] = x[40] = x[63] = x[9 * 32 + 5] = 1.0f;
    const std::vector<std::byte> bytes = TileOf(e.type, x, 1);
    PackedTile tile = {.w = {e.type, 256, 512, nullptr, Layout::kColumns}, .x = bytes.data(), .tokens = 1};
    tile.nonzeros = CountNonZeros(tile);
    EXPECT_EQ(tile.nonzeros, 4);
    SparseReads reads;
    CountReads(tile, reads);
    EXPECT_EQ(reads.inputs, 512u);
    EXPECT_EQ(reads.zero_inputs, 508u);
    EXPECT_EQ(reads.dense_bytes, static_cast<uint64_t>(ColumnBytes(e.type, 256, 512)));
    EXPECT_EQ(reads.read_bytes, 256 * e.per_row) << tern::Name(e.type);
  }
}

TEST_P(Sparse, TokensResultDependsNeitherOnItsBatchNorOnThreads) {
  Random random(9);
  SCOPED_TRACE("seed 9");
  const Level before = Kernels().level;
  ASSERT_TRUE(UseLevel(table().level).ok());
  for (DType type : {DType::kQ8_0, DType::kQ4_K, DType::kF16}) {
    constexpr int64_t kRows = 300, kCols = 512, kMost = 60;
    const StoredMatrix w(random, type, kRows, kCols);
    const Laid columns(w.view(), Layout::kColumns);
    Row x(kMost * kCols);
    for (int64_t t = 0; t < kMost; ++t) {  // dense tokens, sparse ones, and tiles of either kind
      const Row token = SparseRow(random, kCols, t < 20 ? 0.1 : t < 50 ? 0.98 : 0.5);
      std::copy_n(token.data(), kCols, x.data() + t * kCols);
    }
    Row one_by_one(kMost * kRows);
    SparseReads reads;
    for (int64_t t = 0; t < kMost; ++t) {
      const MatMulJob job = {.w = columns.view(),
                             .x = x.data() + t * kCols,
                             .x_stride = kCols,
                             .y = one_by_one.data() + t * kRows,
                             .y_stride = kRows,
                             .T = 1,
                             .reads = &reads};
      MatMul({&job, 1});
    }
    EXPECT_EQ(reads.inputs, static_cast<uint64_t>(kMost * kCols));
    EXPECT_GT(reads.zero_inputs, reads.inputs / 2);
    EXPECT_LT(reads.read_bytes, reads.dense_bytes / 2);
    for (int64_t T : {2, 7, 16, 17, 33, 60}) {
      for (int threads : {1, 2, 5}) {
        SetNumThreads(threads);
        Row y(T * kRows);
        const MatMulJob job = {
            .w = columns.view(), .x = x.data(), .x_stride = kCols, .y = y.data(), .y_stride = kRows, .T = T};
        MatMul({&job, 1});
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
