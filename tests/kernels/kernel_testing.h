// What the kernels' tests share: the levels of this machine, random rows at awkward addresses, stored
// weights.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/ops.h"
#include "kernels/packing.h"
#include "tensor/quant.h"

namespace tern::kernels {

/// Sizes around every vector width, tile and block.
inline const std::vector<int64_t> kOddSizes = {1,  2,  3,  7,  8,  9,   15,  16,  17,  31,
                                               32, 33, 63, 64, 65, 127, 200, 257, 1000};

inline constexpr DType kQuantisedTypes[] = {DType::kQ8_0, DType::kQ5_1, DType::kQ5_0, DType::kQ4_1,
                                            DType::kQ4_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
inline constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The tables that this machine can run, the reference first.
inline std::vector<const KernelTable*> AvailableTables() {
  std::vector<const KernelTable*> tables;
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512, Level::kAmx}) {
    if (const KernelTable* table = KernelsOf(level)) tables.push_back(table);
  }
  return tables;
}

/// A test over each level.
class EachLevel : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
  const KernelTable& oracle() const { return *KernelsOf(Level::kRef); }
};
inline std::string LevelName(const ::testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(Name(info.param->level));
}
#define TERN_FOR_EACH_LEVEL(suite) \
  INSTANTIATE_TEST_SUITE_P(Levels, suite, ::testing::ValuesIn(AvailableTables()), LevelName)

/// Floats one element past an aligned address, with sentinels on both sides that Intact() checks.
class Row {
 public:
  explicit Row(int64_t n) : n_(n), floats_(static_cast<size_t>(n) + 2, kSentinel) {}
  static Row Normal(Random& random, int64_t n, double scale = 1, double mean = 0) {
    Row row(n);
    for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(mean + scale * random.Normal());
    return row;
  }
  static Row Uniform(Random& random, int64_t n, double low, double high) {
    Row row(n);
    for (int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(random.Uniform(low, high));
    return row;
  }
  static Row Filled(int64_t n, float value) {
    Row row(n);
    for (int64_t i = 0; i < n; ++i) row[i] = value;
    return row;
  }

  int64_t size() const { return n_; }
  float* data() { return floats_.data() + 1; }
  const float* data() const { return floats_.data() + 1; }
  float& operator[](int64_t i) { return data()[i]; }
  float operator[](int64_t i) const { return data()[i]; }
  bool Intact() const { return floats_.front() == kSentinel && floats_.back() == kSentinel; }
  /// Bit for bit, NaNs included.
  bool operator==(const Row& other) const {
    return n_ == other.n_ && std::memcmp(data(), other.data(), static_cast<size_t>(n_) * sizeof(float)) == 0;
  }

 private:
  static constexpr float kSentinel = -12345.5f;
  int64_t n_;
  std::vector<float> floats_;
};

/// Random weights of one type, at an odd address.
class StoredMatrix {
 public:
  StoredMatrix(Random& random, DType type, int64_t rows, int64_t cols)
      : type_(type), rows_(rows), cols_(cols) {
    const auto row_bytes = static_cast<size_t>(RowBytes(type, static_cast<uint64_t>(cols)).value());
    bytes_.resize(row_bytes * static_cast<size_t>(rows) + 1);
    for (int64_t r = 0; r < rows; ++r) {
      const Row row = Row::Normal(random, cols);
      QuantizeRow(type, row.data(), bytes_.data() + 1 + static_cast<size_t>(r) * row_bytes, cols);
    }
  }
  MatrixView view() const { return {type_, rows_, cols_, bytes_.data() + 1}; }
  /// Row r in fp32.
  std::vector<float> Expanded(int64_t r) const {
    std::vector<float> row(static_cast<size_t>(cols_));
    const auto row_bytes = static_cast<int64_t>(RowBytes(type_, static_cast<uint64_t>(cols_)).value());
    DequantizeRow(type_, bytes_.data() + 1 + r * row_bytes, row.data(), cols_);
    return row;
  }

 private:
  DType type_;
  int64_t rows_, cols_;
  std::vector<std::byte> bytes_;
};

/// A matrix in another layout, at an odd address: nothing may depend on alignment.
class Laid {
 public:
  Laid(const MatrixView& rows, Layout layout) : view_(rows) {
    const bool columns = layout == Layout::kColumns;
    bytes_.resize(static_cast<size_t>((columns ? ColumnBytes : PackedBytes)(rows.dtype, rows.rows, rows.cols)) + 1);
    view_.data = bytes_.data() + 1;
    view_.layout = layout;
    const int64_t group = columns ? kStripRows : kGroupRows;
    (columns ? PackColumns : Pack)(rows, 0, (rows.rows + group - 1) / group, bytes_.data() + 1);
  }
  const MatrixView& view() const { return view_; }

 private:
  MatrixView view_;
  std::vector<std::byte> bytes_;
};

/// Tokens as a tile of integers, by one level's quantiser.
inline std::vector<std::byte> IntegerTile(const KernelTable& table, const Row& x, int tokens) {
  const int64_t cols = x.size() / tokens;
  const int T = TileTokens(tokens);
  std::vector<std::byte> tile(static_cast<size_t>(T * kTokenBlockBytes * cols / kPackedBlock));
  for (int t = 0; t < tokens; ++t) table.quantise_token(x.data() + t * cols, cols, tile.data(), T, t);
  return tile;
}

}  // namespace tern::kernels
