// Products with weights in layout kColumns, in scalar code: the oracle for the levels, which must give the
// same bits. It reads every column, the zero ones too: that leaving them out changes nothing is for the
// levels to show.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/packing.h"
#include "kernels/ref/packed.h"

namespace tern::kernels::ref {

/// One row of a matrix in layout kColumns.
struct ColumnRow {
  const std::byte* data;  ///< the matrix
  int64_t rows;           ///< all of its rows, filled up
  int64_t row;
};

/// The integer of `at` in the column that begins at p.
inline int ColumnInteger(const std::byte* p, int bits, const ColumnRow& at) {
  const int64_t strip = at.row / kStripRows, r = at.row % kStripRows;
  if (bits == 8) return std::to_integer<int>(p[strip * kStripRows + r / 64 * 64 + ColumnByte(r % 64)]);
  const int both = std::to_integer<int>(p[strip * 64 + ColumnByte(r % 64)]);
  const int low = r < 64 ? both & 15 : both >> 4;
  const std::byte* planes = p + at.rows / 2 + strip * 16 * (bits - 4);
  if (bits == 5) return low | ((std::to_integer<int>(planes[r % 16]) >> (r / 16)) & 1) << 4;
  if (bits == 6)
    return low | ((std::to_integer<int>(planes[r / 64 * 16 + r % 16]) >> (r % 64 / 16 * 2)) & 3) << 4;
  return low;
}

/// The weights of a row in block `block`.
inline PackedRow ReadColumns(const PackedType& type, const ColumnRow& at, int64_t block) {
  PackedRow r;
  const int64_t n = at.rows, column = n * type.bits / 8, head = n * (type.has_min ? 4 : 2);
  const std::byte* q;
  if (type.columns == 32) {
    const std::byte* p = at.data + block * (head + 32 * column);
    r.scale[0] = r.scale[1] = HalfAt(p, static_cast<int>(at.row));
    r.min = type.has_min ? HalfAt(p + 2 * n, static_cast<int>(at.row)) : 0.0f;
    q = p + head;
  } else {
    const std::byte* super = at.data + block / 8 * (head + 8 * (2 * n + 32 * column));
    const std::byte* p = super + head + block % 8 * (2 * n + 32 * column);
    const float d = HalfAt(super, static_cast<int>(at.row));
    if (type.has_min) {
      r.scale[0] = r.scale[1] = d * static_cast<float>(std::to_integer<int>(p[at.row]));
      r.min = -(HalfAt(super + 2 * n, static_cast<int>(at.row)) *
                static_cast<float>(std::to_integer<int>(p[n + at.row])));
    } else {
      r.scale[0] = d * static_cast<float>(LoadAs<int8_t>(p + at.row));
      r.scale[1] = d * static_cast<float>(LoadAs<int8_t>(p + n + at.row));
      r.min = 0;
    }
    q = p + 2 * n;
  }
  for (int c = 0; c < kPackedBlock; ++c) r.q[c] = ColumnInteger(q + c * column, type.bits, at);
  return r;
}

inline float ColumnFloat(const MatrixView& w, const ColumnRow& at, int64_t col) {
  const int64_t element = col * at.rows + at.row;
  switch (w.dtype) {
    case DType::kF16:
      return Fp16ToFloat(LoadAs<uint16_t>(at.data + 2 * element));
    case DType::kBF16:
      return Bf16ToFloat(LoadAs<uint16_t>(at.data + 2 * element));
    default:
      return LoadAs<float>(at.data + 4 * element);
  }
}

/// One output of one token with float weights, as far as columns [col0, col1) go: in order, one fused multiply-add each.
inline float FloatColumnDot(const ColumnRow& at, const PackedTile& tile, int t, int64_t col0, int64_t col1) {
  const int T = ColumnTileTokens(tile.tokens);
  float y = 0;
  for (int64_t i = col0; i < col1; ++i) {
    y = std::fma(ColumnFloat(tile.w, at, i), LoadAs<float>(tile.x + 4 * (i * T + t)), y);
  }
  return y;
}

/// One output of one token, as far as a segment's columns go.
inline float SegmentDot(const PackedTile& tile, int t, int64_t row, int segment) {
  const ColumnRow at = {tile.w.data, ColumnRows(tile.w.rows), row};
  const int64_t begin = SegmentBegin(tile.w.cols, segment), end = SegmentBegin(tile.w.cols, segment + 1);
  if (!Packable(tile.w.dtype)) return FloatColumnDot(at, tile, t, begin, end);
  const PackedType type = PackedTypeOf(tile.w.dtype);
  return PackedDot([&](int64_t block) { return ReadColumns(type, at, block); }, type, tile, t, begin / kPackedBlock,
                   end / kPackedBlock);
}

/// What is stored of a sum. + 0 makes +0 of −0: where a float's product has vanished below the smallest number, whether
/// zeros are added after it must not show.
inline float FinishedSum(const PackedTile& tile, float sum) {
  return tile.scale * (Packable(tile.w.dtype) ? sum : sum + 0.0f);
}

/// Whether there is anything in segment s > 0.
inline bool HasSegment(const PackedTile& tile, int s) {
  return s < kColumnSegments && SegmentBegin(tile.w.cols, s) < tile.w.cols;
}

inline void ColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    for (int64_t row = strip0 * kStripRows; row < std::min(tile->w.rows, strip1 * kStripRows); ++row) {
      for (int t = 0; t < tile->tokens; ++t) {
        float sum = SegmentDot(*tile, t, row, 0);
        for (int s = 1; HasSegment(*tile, s); ++s) sum += SegmentDot(*tile, t, row, s);
        tile->y[t * tile->y_stride + row] = FinishedSum(*tile, sum);
      }
    }
  }
}

inline void ColumnSegment(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums) {
  for (int64_t row = strip0 * kStripRows; row < std::min(tile.w.rows, strip1 * kStripRows); ++row) {
    sums[row - strip0 * kStripRows] = SegmentDot(tile, 0, row, segment);
  }
}

inline void AddSegments(const PackedTile& tile, const float* sums) {
  for (int64_t row = 0; row < tile.w.rows; ++row) {
    float sum = sums[row];
    for (int s = 1; HasSegment(tile, s); ++s) sum += sums[s * ColumnRows(tile.w.rows) + row];
    tile.y[row] = FinishedSum(tile, sum);
  }
}

}  // namespace tern::kernels::ref
