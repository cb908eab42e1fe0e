// What needs AVX512-BF16 besides the AVX-512 level's instruction sets: products of float weights with many tokens. The
// rules of avx512.cc hold.
//
// One instruction multiplies two columns of sixteen rows with a token's two activations and adds both to fp32 sums: twice
// what fp32 can do. Weights are put into this order (and rounded to bf16, if they aren't) a panel at a time, in the cache,
// and then meet all tokens.
#include "kernels/packing.h"
#include "kernels/tables.h"
#include "kernels/x86/vec_avx512.h"
// clang-format off
#include "kernels/x86/loops.h"
// clang-format on

namespace tern::kernels {
namespace {

using Pairs = __m512i;  ///< two columns, bf16 each, of sixteen rows; or 32 columns of one row

constexpr int64_t kPanelRows = kBf16Rows;    ///< two registers
constexpr int64_t kPanelPairs = 128;         ///< pairs of columns: a panel is half of a first-level cache
constexpr int64_t kBatchTiles = 24;          ///< tiles that meet a panel before the next is made

struct Panel {
  alignas(64) uint32_t pairs[kPanelPairs][kPanelRows];
};
struct BatchSums {
  alignas(64) float of[kBatchTiles][kMostBf16Tokens][kPanelRows];
};

TERN_INLINE __m512bh AsBf16(Pairs v) { return reinterpret_cast<__m512bh>(v); }
TERN_INLINE __m256i AsBits(__m256bh v) { return reinterpret_cast<__m256i>(v); }
/// Sixteen of each as bf16: `low` in the lower half.
TERN_INLINE Pairs Narrow(Vec low, Vec high) { return reinterpret_cast<Pairs>(_mm512_cvtne2ps_pbh(high.v, low.v)); }

/// n ≤ 32 columns of a row of F16 or BF16 weights; zeros after them.
template <DType type>
TERN_INLINE Pairs LoadColumns(const std::byte* p, int64_t n) {
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

/// Sixteen rows of a column as bf16, in the lower half of each 32 bits.
template <DType type>
TERN_INLINE Pairs ColumnOf(const std::byte* p) {
  if constexpr (type == DType::kF16) return _mm512_cvtepu16_epi32(AsBits(_mm512_cvtneps_pbh(LoadF16(p).v)));
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(p))));
}

/// The same in layout kColumns, where a group is a strip.
template <DType type>
void PanelOfColumns(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
  constexpr int64_t kColumnBytes = kStripRows * 2;
  const std::byte* p = w.data + row / kStripRows * w.cols * kColumnBytes + col * kColumnBytes + row % kStripRows * 2;
  for (int64_t c = 0; c < cols; c += 2, p += 2 * kColumnBytes) {
    const bool both = c + 1 < cols;
    TERN_UNROLL for (int64_t r = 0; r < kPanelRows; r += kLanes) {
      Pairs pairs = ColumnOf<type>(p + 2 * r);
      if (both) pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(ColumnOf<type>(p + kColumnBytes + 2 * r), 16));
      _mm512_store_si512(&panel.pairs[c / 2][r], pairs);
    }
    Prefetch(p + 2 * kPanelPairs * kColumnBytes);
    Prefetch(p + (2 * kPanelPairs + 1) * kColumnBytes);
  }
}

/// sums[t] += the panel's products with a tile of T tokens; `first`: there are no sums yet.
template <int T>
void AddPanel(const Panel& panel, int64_t pairs, const std::byte* x, bool first, float (*sums)[kPanelRows]) {
  __m512 low[T], high[T];
  TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
    low[t] = first ? _mm512_setzero_ps() : _mm512_load_ps(sums[t]);
    high[t] = first ? _mm512_setzero_ps() : _mm512_load_ps(sums[t] + kLanes);
  }
  for (int64_t i = 0; i < pairs; ++i, x += 4 * T) {
    const __m512bh w0 = AsBf16(_mm512_load_si512(panel.pairs[i]));
    const __m512bh w1 = AsBf16(_mm512_load_si512(panel.pairs[i] + kLanes));
    TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
      int32_t two;
      __builtin_memcpy(&two, x + 4 * t, sizeof two);
      const __m512bh both = AsBf16(_mm512_set1_epi32(two));
      low[t] = _mm512_dpbf16_ps(low[t], w0, both);
      high[t] = _mm512_dpbf16_ps(high[t], w1, both);
    }
  }
  TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
    _mm512_store_ps(sums[t], low[t]);
    _mm512_store_ps(sums[t] + kLanes, high[t]);
  }
}

void AddPanelOf(const PackedTile& tile, const Panel& panel, int64_t col, int64_t pairs, float (*sums)[kPanelRows]) {
  const int T = Bf16TileTokens(tile.tokens);
  const std::byte* x = tile.x + col / 2 * 4 * T;
  switch (T) {
    case 8: return AddPanel<8>(panel, pairs, x, col == 0, sums);
    case 10: return AddPanel<10>(panel, pairs, x, col == 0, sums);
    case 12: return AddPanel<12>(panel, pairs, x, col == 0, sums);
  }
}

void StoreSums(const PackedTile& tile, int64_t row, float (*sums)[kPanelRows]) {
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

template <DType type>
void Bf16Products(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  const MatrixView& w = tiles->w;
  const auto make_panel = w.layout == Layout::kColumns ? PanelOfColumns<type> : PanelOfRows<type>;
  Panel panel;
  BatchSums sums;
  for (int64_t first = 0; first < count; first += kBatchTiles) {
    const PackedTile* batch = tiles + first;
    const int64_t n = Least(kBatchTiles, count - first);
    for (int64_t row = row0; row < row1; row += kPanelRows) {
      for (int64_t col = 0; col < w.cols; col += 2 * kPanelPairs) {
        const int64_t cols = Least(2 * kPanelPairs, w.cols - col);
        make_panel(w, row, col, cols, panel);
        for (int64_t i = 0; i < n; ++i) AddPanelOf(batch[i], panel, col, (cols + 1) / 2, sums.of[i]);
      }
      for (int64_t i = 0; i < n; ++i) StoreSums(batch[i], row, sums.of[i]);
    }
  }
}

}  // namespace

void Bf16MatMul(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  if (count <= 0) return;
  if (tiles->w.dtype == DType::kF16) return Bf16Products<DType::kF16>(tiles, count, row0, row1);
  return Bf16Products<DType::kBF16>(tiles, count, row0, row1);
}

void Bf16Tile(const float* x, int64_t x_stride, int64_t n, int tokens, std::byte* tile) {
  const int T = Bf16TileTokens(tokens);
  if (T > tokens) __builtin_memset(tile, 0, static_cast<size_t>((n + 1) / 2 * 4 * T));
  for (int64_t i = 0; i < n; i += 2 * kLanes) {
    const int64_t cols = Least(2 * kLanes, n - i), second = cols - kLanes;
    for (int t = 0; t < tokens; ++t) {
      const float* p = x + t * x_stride + i;
      const Vec low = cols >= kLanes ? Load(p) : Load(p, cols);
      const Vec high = second >= kLanes ? Load(p + kLanes) : second > 0 ? Load(p + kLanes, second) : Zero();
      alignas(64) uint32_t pairs[kLanes];
      _mm512_store_si512(pairs, Narrow(low, high));
      for (int64_t k = 0; k < (cols + 1) / 2; ++k) {
        __builtin_memcpy(tile + ((i / 2 + k) * T + t) * 4, pairs + k, sizeof pairs[k]);
      }
    }
  }
}

}  // namespace tern::kernels
