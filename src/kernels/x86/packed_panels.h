// Quantised weights as panels of bf16 pairs: each weight in fp32, rounded once. Included after panels.h, packed.h and
// columns.h.
#pragma once

namespace tern::kernels {
namespace {

/// Four columns of sixteen rows as two rows of pairs: to[0] and to[kPanelRows].
TERN_INLINE void StorePairs(Quad quad, Vec scale, Vec min, uint32_t* to) {
  const __m512i byte = _mm512_set1_epi32(0xff);
  const auto weights = [&](__m512i integers)
                           __attribute__((always_inline)) { return Fma(ToFloats(integers), scale, min); };
  const Vec a = weights(_mm512_and_si512(quad, byte)), b = weights(_mm512_and_si512(_mm512_srli_epi32(quad, 8), byte)),
            c = weights(_mm512_and_si512(_mm512_srli_epi32(quad, 16), byte)), d = weights(_mm512_srli_epi32(quad, 24));
  _mm512_store_si512(to, Interleaved(Narrow(a, b)));
  _mm512_store_si512(to + kPanelRows, Interleaved(Narrow(c, d)));
}

/// A block of 32 columns. min: the weight of the integer 0 (what −zero·scale gives is exact).
template <int kBits>
TERN_INLINE void StoreBlock(const std::byte* integers, Vec scale, Vec min, uint32_t* to) {
  Quad q[kBlockQuads];
  UnpackQuads<kBits>(integers, 0, q);
  TERN_UNROLL for (int i = 0; i < kBlockQuads; ++i) StorePairs(q[i], scale, min, to + 2 * i * kPanelRows);
}

/// Sixteen rows of kColumns columns of a type of packed.h, at p.
template <int kBits, int kZero, bool kHasMin>
TERN_INLINE void StoreColumns(Small<kBits, kZero, kHasMin>, const std::byte* p, uint32_t* to) {
  const Vec scale = LoadF16(p), min = kHasMin ? LoadF16(p + 2 * kGroupRows) : Set(-kZero) * scale;
  StoreBlock<kBits>(p + Small<kBits, kZero, kHasMin>::kHead, scale, min, to);
}

template <int kBits>
TERN_INLINE void StoreColumns(Super<kBits>, const std::byte* p, uint32_t* to) {
  const Vec d = LoadF16(p), dmin = Zero() - LoadF16(p + 2 * kGroupRows);
  p += 4 * kGroupRows;
  for (int sub = 0; sub < 8; ++sub, p += Super<kBits>::kSubBytes, to += kPackedBlock / 2 * kPanelRows) {
    StoreBlock<kBits>(p + 2 * kGroupRows, d * UnsignedBytes(p), dmin * UnsignedBytes(p + kGroupRows), to);
  }
}

TERN_INLINE void StoreColumns(SixBits, const std::byte* p, uint32_t* to) {
  const Vec d = LoadF16(p), zero = Set(-32);
  p += 2 * kGroupRows;
  for (int sub = 0; sub < 8; ++sub, p += SixBits::kSubBytes, to += kPackedBlock / 2 * kPanelRows) {
    const Vec low = d * SignedBytes(p), high = d * SignedBytes(p + kGroupRows);
    Quad q[kBlockQuads];
    UnpackQuads<6>(p + 2 * kGroupRows, 0, q);
    TERN_UNROLL for (int i = 0; i < kBlockQuads; ++i) {
      const Vec scale = i < 4 ? low : high;
      StorePairs(q[i], scale, zero * scale, to + 2 * i * kPanelRows);
    }
  }
}

/// `cols` columns of a group of sixteen rows in layout kPacked, at p; `next`: how far on from there weights are asked for.
template <typename Type>
TERN_INLINE void StoreGroup(const std::byte* p, int64_t cols, int64_t next, uint32_t* to) {
  for (int64_t col = 0; col < cols; col += Type::kColumns, p += Type::kBytes, to += Type::kColumns / 2 * kPanelRows) {
    if (next != 0) {
      for (int64_t b = 0; b < Type::kBytes; b += 64) Prefetch(p + next + b);
    }
    StoreColumns(Type{}, p, to);
  }
}

/// Panels of a matrix in layout kPacked.
template <typename Type>
struct PackedPanels {
  void Begin(const MatrixView&, int64_t, int64_t, int64_t) {}

  /// Columns [col, col + cols) of rows [row, row + kPanelRows). Those after them are asked for.
  void Make(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
    const int64_t group_bytes = w.cols / Type::kColumns * Type::kBytes;
    for (int64_t r = 0; r < kPanelRows; r += kGroupRows) {
      if (row + r >= w.rows) return;  // what stands there in the panel becomes sums that nobody reads
      StoreGroup<Type>(w.data + (row + r) / kGroupRows * group_bytes + col / Type::kColumns * Type::kBytes, cols,
                       2 * kPanelPairs / Type::kColumns * Type::kBytes, &panel.pairs[0][r]);
    }
  }
};

/// Panels of a quantised matrix in layout kColumns: of the columns of a whole strip, put into the order of layout kPacked.
template <typename Type>
class ColumnPanels {
 public:
  /// Columns [col, col + cols) of the strip that begins with `row`.
  void Begin(const MatrixView& w, int64_t row, int64_t col, int64_t cols) {
    range_ = {.data = w.data, .rows = ColumnRows(w.rows), .strip0 = row / kStripRows, .strip1 = row / kStripRows + 1};
    for (int64_t i = 0; i < cols / kPackedBlock; ++i) {
      Regroup<Type>(range_, range_.strip0, col / kPackedBlock + i, groups_ + i / kBlocks * Packed::kBytes, kStride);
    }
  }

  void Make(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
    const int64_t group = row % kStripRows / kGroupRows;
    for (int64_t r = 0; r < kPanelRows / kGroupRows; ++r) {
      StoreGroup<Packed>(groups_ + (group + r) * kStride, cols, 0, &panel.pairs[0][r * kGroupRows]);
      // A share of the next columns is asked for with each group: all at once would have to be waited for.
      const int64_t next = col / kPackedBlock + kPanelBlocks + group + r;
      if (next < w.cols / kPackedBlock) PrefetchBlock<Type>(range_, next);
    }
  }

 private:
  using Packed = typename Type::Packed;
  static constexpr int64_t kBlocks = Packed::kColumns / kPackedBlock;
  static constexpr int64_t kStride = kPanelBlocks / kBlocks * Packed::kBytes;
  static_assert(2 * kPanelPairs == kPanelColumns, "panels of bf16 are made of panels of quads");

  StripRange range_ = {};
  alignas(64) std::byte groups_[kStripGroups * kStride];
};

}  // namespace
}  // namespace tern::kernels
