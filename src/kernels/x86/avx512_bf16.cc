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
#include "kernels/x86/panels.h"
// clang-format on

namespace tern::kernels {
namespace {

constexpr int64_t kBatchTiles = 24;          ///< tiles that meet a panel before the next is made

/// A tile holds pairs of columns: x[(cols + 1) / 2][TokensOf(tokens)][2], a zero after an odd last.
constexpr int kMostTokens = 12;
constexpr int TokensOf(int tokens) { return tokens <= 8 ? 8 : (tokens + 1) / 2 * 2; }

struct BatchSums {
  alignas(64) float of[kBatchTiles][kMostTokens][kPanelRows];
};

TERN_INLINE __m512bh AsBf16(Pairs v) { return reinterpret_cast<__m512bh>(v); }

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
  const int T = TokensOf(tile.tokens);
  const std::byte* x = tile.x + col / 2 * 4 * T;
  switch (T) {
    case 8: return AddPanel<8>(panel, pairs, x, col == 0, sums);
    case 10: return AddPanel<10>(panel, pairs, x, col == 0, sums);
    case 12: return AddPanel<12>(panel, pairs, x, col == 0, sums);
  }
}

template <DType type>
void Products(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
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

void MultiplyTiles(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  if (count <= 0) return;
  if (tiles->w.dtype == DType::kF16) return Products<DType::kF16>(tiles, count, row0, row1);
  return Products<DType::kBF16>(tiles, count, row0, row1);
}

int64_t TileBytes(int64_t n, int tokens) { return (n + 1) / 2 * 4 * TokensOf(tokens); }

void FillTile(const float* x, int64_t x_stride, int64_t n, int tokens, std::byte* tile) {
  const int T = TokensOf(tokens);
  if (T > tokens) __builtin_memset(tile, 0, static_cast<size_t>(TileBytes(n, tokens)));
  for (int64_t i = 0; i < n; i += 2 * kLanes) {
    const int64_t cols = Least(2 * kLanes, n - i);
    for (int t = 0; t < tokens; ++t) {
      alignas(64) uint32_t pairs[kLanes];
      _mm512_store_si512(pairs, NarrowActivations(x + t * x_stride + i, cols));
      for (int64_t k = 0; k < (cols + 1) / 2; ++k) {
        __builtin_memcpy(tile + ((i / 2 + k) * T + t) * 4, pairs + k, sizeof pairs[k]);
      }
    }
  }
}

}  // namespace

const Bf16Products& Avx512Bf16() {
  static const Bf16Products products = {.matmul = MultiplyTiles,
                                        .tile = FillTile,
                                        .tile_bytes = TileBytes,
                                        .most_tokens = kMostTokens,
                                        .most_rows = kPanelRows,
                                        .least_quantised = 0,
                                        .sparse_cost = 1};
  return products;
}

}  // namespace tern::kernels
