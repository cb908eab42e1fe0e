// Products with weights in layout kColumns, in scalar code: the oracle for the levels, which must give the
// same bits. It reads every column, the zero ones too: that leaving them out changes nothing is for the
// levels to show.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/packing.h"
#include "kernels/ref/packed.h"

namespace tern::kernels::ref {

/// Where one row of a matrix in layout kColumns stands.
struct ColumnRow {
  const std::byte* group;
  int64_t rows;  ///< of the group
  int64_t row;   ///< in the group
};

inline ColumnRow FindColumnRow(const MatrixView& w, int64_t row) {
  const int64_t full = ColumnGroupRows(w.dtype, w.rows), row0 = row / full * full;
  const int64_t rest = (w.rows - row0 + kStripRows - 1) / kStripRows * kStripRows;
  return {w.data + ColumnBytes(w.dtype, row0, w.cols), std::min(full, rest), row - row0};
}

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
    const std::byte* p = at.group + block * (head + 32 * column);
    r.scale[0] = r.scale[1] = HalfAt(p, static_cast<int>(at.row));
    r.min = type.has_min ? HalfAt(p + 2 * n, static_cast<int>(at.row)) : 0.0f;
    q = p + head;
  } else {
    const std::byte* super = at.group + block / 8 * (head + 8 * (2 * n + 32 * column));
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
  const int64_t element = col * kStripRows + at.row;
  switch (w.dtype) {
    case DType::kF16:
      return Fp16ToFloat(LoadAs<uint16_t>(at.group + 2 * element));
    case DType::kBF16:
      return Bf16ToFloat(LoadAs<uint16_t>(at.group + 2 * element));
    default:
      return LoadAs<float>(at.group + 4 * element);
  }
}

/// One output of one token with float weights: columns in order, one fused multiply-add each. The last sum
/// makes +0 of −0: where a product has vanished below the smallest number, whether zeros are added after it
/// must not show.
inline float FloatColumnDot(const ColumnRow& at, const PackedTile& tile, int t) {
  const int T = ColumnTileTokens(tile.tokens);
  float y = 0;
  for (int64_t i = 0; i < tile.w.cols; ++i) {
    y = std::fma(ColumnFloat(tile.w, at, i), LoadAs<float>(tile.x + 4 * (i * T + t)), y);
  }
  return y + 0.0f;
}

inline void ColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    const PackedType type = PackedTypeOf(tile->w.dtype);
    for (int64_t row = strip0 * kStripRows; row < std::min(tile->w.rows, strip1 * kStripRows); ++row) {
      const ColumnRow at = FindColumnRow(tile->w, row);
      for (int t = 0; t < tile->tokens; ++t) {
        const float y =
            Packable(tile->w.dtype)
                ? PackedDot([&](int64_t block) { return ReadColumns(type, at, block); }, type, *tile, t)
                : FloatColumnDot(at, *tile, t);
        tile->y[t * tile->y_stride + row] = tile->scale * y;
      }
    }
  }
}

}  // namespace tern::kernels::ref
