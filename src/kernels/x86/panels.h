// Float weights as panels of bf16 pairs, what products in bf16 share. Included after vec_avx512.h and loops.h, with the BF16
// instructions on.
#pragma once

namespace tern::kernels {
namespace {

using Pairs = __m512i;  ///< two columns, bf16 each, of sixteen rows; or 32 columns of one row

constexpr int64_t kPanelRows = kBf16Rows;    ///< two registers
constexpr int64_t kPanelPairs = 128;         ///< pairs of columns: 16 KB, which stay in a first-level cache

/// Weights in the order in which they are multiplied.
struct Panel {
  alignas(64) uint32_t pairs[kPanelPairs][kPanelRows];
};

/// Sixteen of each as bf16: `low` in the lower half.
TERN_INLINE Pairs Narrow(Vec low, Vec high) { return reinterpret_cast<Pairs>(_mm512_cvtne2ps_pbh(high.v, low.v)); }

/// Two columns of sixteen rows, one after the other, as pairs.
TERN_INLINE Pairs Interleaved(__m512i columns) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), columns);
}

/// n ≤ 32 activations as bf16, zeros after them.
TERN_INLINE Pairs NarrowActivations(const float* p, int64_t n) {
  if (n >= 2 * kLanes) return Narrow(Load(p), Load(p + kLanes));
  if (n <= kLanes) return Narrow(n == kLanes ? Load(p) : Load(p, n), Zero());
  return Narrow(Load(p), Load(p + kLanes, n - kLanes));
}

/// n ≤ 32 columns of a row of F16 or BF16 weights; zeros after them.
template <DType type>
TERN_INLINE Pairs LoadColumns(const std::byte* p, int64_t n) {
  if constexpr (type == DType::kF16) {
    if (n >= 32) return Narrow(LoadF16(p), LoadF16(p + 32));  // converts while it loads
  }
  const auto mask = n >= 32 ? ~__mmask32{0} : (__mmask32{1} << n) - 1;
  const __m512i bits = _mm512_maskz_loadu_epi16(mask, p);
  if constexpr (type == DType::kBF16) return bits;
  return Narrow({_mm512_cvtph_ps(_mm512_castsi512_si256(bits))}, {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1))});
}

/// Sixteen rows of sixteen pairs become sixteen pairs of sixteen rows, kPanelRows apart.
TERN_INLINE void StoreTransposed(Pairs r[16], uint32_t* to) {
  Pairs a[16];
  TERN_UNROLL_ALL for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  TERN_UNROLL_ALL for (int i = 0; i < 16; i += 4) {  // r[i + c]: column c of each part of four, of rows i … i + 3
    r[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  TERN_UNROLL for (int c = 0; c < 4; ++c) {
    const Pairs low02 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), low13 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const Pairs high02 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88),
                high13 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    _mm512_store_si512(to + c * kPanelRows, _mm512_shuffle_i32x4(low02, high02, 0x88));
    _mm512_store_si512(to + (4 + c) * kPanelRows, _mm512_shuffle_i32x4(low13, high13, 0x88));
    _mm512_store_si512(to + (8 + c) * kPanelRows, _mm512_shuffle_i32x4(low02, high02, 0xdd));
    _mm512_store_si512(to + (12 + c) * kPanelRows, _mm512_shuffle_i32x4(low13, high13, 0xdd));
  }
}

/// Columns [col, col + cols) of rows [row, row + kPanelRows) in layout kRows. The next panel is asked for.
template <DType type>
void PanelOfRows(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
  const int64_t row_bytes = w.cols * 2;
  for (int64_t r0 = 0; r0 < kPanelRows; r0 += kLanes) {
    for (int64_t c = 0; c < cols; c += 32) {
      const std::byte* p = w.data + (row + r0) * row_bytes + (col + c) * 2;
      const int64_t rows = Least(kLanes, w.rows - row - r0);
      Pairs r[16];
      TERN_UNROLL_ALL for (int i = 0; i < 16; ++i) {
        r[i] = _mm512_setzero_si512();
        if (i >= rows) continue;
        Prefetch(p + i * row_bytes + 4 * kPanelPairs);
        r[i] = LoadColumns<type>(p + i * row_bytes, cols - c);
      }
      StoreTransposed(r, &panel.pairs[c / 2][r0]);
    }
  }
}

/// Sixteen rows of two columns as pairs; without `second`, zeros in its place.
template <DType type>
TERN_INLINE Pairs PairsOfColumns(const std::byte* first, const std::byte* second) {
  if constexpr (type == DType::kF16) {
    return Interleaved(Narrow(LoadF16(first), second != nullptr ? LoadF16(second) : Zero()));
  }
  const auto load = [](const std::byte* p) __attribute__((always_inline)) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(p)));
  };
  const __m512i low = _mm512_zextsi256_si512(load(first));
  return Interleaved(second != nullptr ? _mm512_inserti64x4(low, load(second), 1) : low);
}

/// The same in layout kColumns.
template <DType type>
void PanelOfColumns(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
  const int64_t column = ColumnRows(w.rows) * 2;  // bytes
  const std::byte* p = w.data + col * column + row * 2;
  for (int64_t c = 0; c < cols; c += 2, p += 2 * column) {
    const bool both = c + 1 < cols;
    TERN_UNROLL for (int64_t r = 0; r < kPanelRows; r += kLanes) {
      const std::byte* second = both ? p + column + 2 * r : nullptr;
      _mm512_store_si512(&panel.pairs[c / 2][r], PairsOfColumns<type>(p + 2 * r, second));
    }
    Prefetch(p + 2 * kPanelPairs * column);
    Prefetch(p + (2 * kPanelPairs + 1) * column);
  }
}

/// y = scale · sums, from row `row` on.
TERN_INLINE void StoreSums(const PackedTile& tile, int64_t row, float (*sums)[kPanelRows]) {
  const Vec scale = Set(tile.scale);
  for (int t = 0; t < tile.tokens; ++t) {
    float* y = tile.y + t * tile.y_stride + row;
    for (int64_t r = 0; r < Least(kPanelRows, tile.w.rows - row); r += kLanes) {
      const int64_t rest = tile.w.rows - row - r;
      const Vec result = scale * Load(sums[t] + r);
      if (rest >= kLanes) {
        Store(y + r, result);
      } else {
        Store(y + r, result, rest);
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels
