// Products with weights in layout kColumns (kernels/packing.h), for whichever Vec and Quad were included before packed.h:
// one token reads the columns of its non-zero activations alone; for several tokens, a few columns at a time are put into
// the order of layout kPacked and multiplied by the kernels of packed.h. Either gives the bits of kernels/ref/columns.h.
#pragma once

#include "kernels/x86/columns_dense.h"
#include "kernels/x86/columns_float.h"
#include "kernels/x86/columns_sparse.h"

namespace tern::kernels {
namespace {

/// All columns of one token: segment(s, sums) gives the sums of one segment, finish(sum) what is stored.
template <typename Segment, typename Finish>
TERN_INLINE void SparseToken(const PackedTile& tile, int t, const StripRange& range, const Segment& segment,
                             const Finish& finish) {
  alignas(64) float total[kMostRangeRows], sums[kMostRangeRows];
  const int64_t rows = range.row1() - range.row0();
  segment(0, total);
  for (int s = 1; s < kColumnSegments && SegmentBegin(tile.w.cols, s) < tile.w.cols; ++s) {
    segment(s, sums);
    for (int64_t row = 0; row < rows; row += kLanes) Store(total + row, Load(total + row) + Load(sums + row));
  }
  for (int64_t row = 0; row < rows; row += kLanes) StoreRows(tile, t, range.row0() + row, finish(Load(total + row)));
}

/// Each tile in its way: token by token, as SparseToken, or dense(range) for all the others together.
template <typename Segment, typename Finish, typename Dense>
TERN_INLINE void EachTile(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1, const Segment& segment,
                          const Finish& finish, const Dense& dense) {
  bool any_dense = false;
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    if (!TokenByToken(*tile)) {
      any_dense = true;
      continue;
    }
    const Vec scale = Set(tile->scale);
    ForEachRange(tile->w, strip0, strip1, kMostStrips, [&](const StripRange& range) {
      for (int t = 0; t < tile->tokens; ++t) {
        SparseToken(*tile, t, range, [&](int s, float* sums) { segment(*tile, t, range, s, sums); },
                    [&](Vec sum) __attribute__((always_inline)) { return finish(sum, scale); });
      }
    });
  }
  if (any_dense) ForEachRange(tiles->w, strip0, strip1, StripsOfTiles(tiles, count), dense);
}

template <typename Type>
void QuantisedColumns(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  EachTile(tiles, count, strip0, strip1, SparseSegment<Type>,
           [](Vec sum, Vec scale) __attribute__((always_inline)) { return scale * sum; },
           [&](const StripRange& range) { DenseStrips<Type>(tiles, count, range); });
}

template <DType type>
void FloatColumns(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  EachTile(tiles, count, strip0, strip1, SparseFloatSegment<type>,
           [](Vec sum, Vec scale) __attribute__((always_inline)) { return Finished(sum, scale); },
           [&](const StripRange& range) { DenseFloatStrips<type>(tiles, count, range); });
}

void ColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  if (count <= 0) return;
  switch (tiles->w.dtype) {
    case DType::kQ8_0: return QuantisedColumns<SmallColumns<8, 128, false>>(tiles, count, strip0, strip1);
    case DType::kQ5_1: return QuantisedColumns<SmallColumns<5, 0, true>>(tiles, count, strip0, strip1);
    case DType::kQ5_0: return QuantisedColumns<SmallColumns<5, 16, false>>(tiles, count, strip0, strip1);
    case DType::kQ4_1: return QuantisedColumns<SmallColumns<4, 0, true>>(tiles, count, strip0, strip1);
    case DType::kQ4_0: return QuantisedColumns<SmallColumns<4, 8, false>>(tiles, count, strip0, strip1);
    case DType::kQ4_K: return QuantisedColumns<SuperColumns<4>>(tiles, count, strip0, strip1);
    case DType::kQ5_K: return QuantisedColumns<SuperColumns<5>>(tiles, count, strip0, strip1);
    case DType::kQ6_K: return QuantisedColumns<SixBitColumns>(tiles, count, strip0, strip1);
    case DType::kF32: return FloatColumns<DType::kF32>(tiles, count, strip0, strip1);
    case DType::kF16: return FloatColumns<DType::kF16>(tiles, count, strip0, strip1);
    case DType::kBF16: return FloatColumns<DType::kBF16>(tiles, count, strip0, strip1);
    default: return;
  }
}

void ColumnSegment(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums) {
  const StripRange range{.data = tile.w.data, .rows = ColumnRows(tile.w.rows), .strip0 = strip0, .strip1 = strip1};
  switch (tile.w.dtype) {
    case DType::kQ8_0: return SparseSegment<SmallColumns<8, 128, false>>(tile, 0, range, segment, sums);
    case DType::kQ5_1: return SparseSegment<SmallColumns<5, 0, true>>(tile, 0, range, segment, sums);
    case DType::kQ5_0: return SparseSegment<SmallColumns<5, 16, false>>(tile, 0, range, segment, sums);
    case DType::kQ4_1: return SparseSegment<SmallColumns<4, 0, true>>(tile, 0, range, segment, sums);
    case DType::kQ4_0: return SparseSegment<SmallColumns<4, 8, false>>(tile, 0, range, segment, sums);
    case DType::kQ4_K: return SparseSegment<SuperColumns<4>>(tile, 0, range, segment, sums);
    case DType::kQ5_K: return SparseSegment<SuperColumns<5>>(tile, 0, range, segment, sums);
    case DType::kQ6_K: return SparseSegment<SixBitColumns>(tile, 0, range, segment, sums);
    case DType::kF32: return SparseFloatSegment<DType::kF32>(tile, 0, range, segment, sums);
    case DType::kF16: return SparseFloatSegment<DType::kF16>(tile, 0, range, segment, sums);
    case DType::kBF16: return SparseFloatSegment<DType::kBF16>(tile, 0, range, segment, sums);
    default: return;
  }
}

void AddSegments(const PackedTile& tile, const float* sums) {
  const int64_t stride = ColumnRows(tile.w.rows);
  const bool floats = tile.w.dtype == DType::kF32 || tile.w.dtype == DType::kF16 || tile.w.dtype == DType::kBF16;
  const Vec scale = Set(tile.scale);
  for (int64_t row = 0; row < stride; row += kLanes) {
    Vec total = Load(sums + row);
    for (int s = 1; s < kColumnSegments && SegmentBegin(tile.w.cols, s) < tile.w.cols; ++s) {
      total = total + Load(sums + s * stride + row);
    }
    StoreRows(tile, 0, row, floats ? Finished(total, scale) : scale * total);
  }
}

}  // namespace
}  // namespace tern::kernels
