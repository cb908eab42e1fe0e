// The AMX level: the AVX-512 level with products of many tokens in AMX's tiles. The rules of avx512.cc hold.
//
// A tile register is 16 rows of 64 bytes. One instruction multiplies a tile of sixteen tokens by 32 columns of activations
// with one of 16 pairs of columns by sixteen rows of weights (the order of panels.h) and adds to 16 × 16 sums in fp32: what
// AVX-512 takes 512 instructions for in fp32. Two by two tiles of sums take two loads of each factor for four products.
#include <new>

#include "kernels/packing.h"
#include "kernels/tables.h"
#include "kernels/x86/vec_avx512.h"
// clang-format off
#include "kernels/x86/loops.h"
#include "kernels/x86/quads_avx512.h"
#include "kernels/x86/packed.h"
#include "kernels/x86/columns_dense.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/packed_panels.h"
// clang-format on

namespace tern::kernels {
namespace {

constexpr int64_t kTileTokens = 16;
constexpr int64_t kTileColumns = 32;
constexpr int64_t kTileBytes = kTileTokens * kTileColumns * 2;  ///< of a register
constexpr int64_t kBlockRows = kStripRows;  ///< rows of weights that meet the same columns of x before the next columns do
constexpr int64_t kBlockPanels = kBlockRows / kPanelRows;
constexpr int64_t kMostBatch = 32;          ///< tiles that meet a panel before the next is made: 512 tokens

/// A tile's sums between panels.
using TileSums = float[kTileTokens][kPanelRows];
/// Those of a block: a quarter of a megabyte, in the second-level cache. Too much for a stack, and for what every thread of a
/// program is given whether or not it multiplies.
using BlockSums = TileSums[kBlockPanels][kMostBatch];
struct OwnSums {
  BlockSums* sums = static_cast<BlockSums*>(::operator new(sizeof(BlockSums), std::align_val_t{64}));
  ~OwnSums() { ::operator delete(sums, std::align_val_t{64}); }
};
BlockSums& SumsOfThread() {
  thread_local OwnSums own;
  return *own.sums;
}

/// What LDTILECFG takes: all eight registers in full.
struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
constexpr TileConfig kConfig = {.palette = 1,
                                .start_row = 0,
                                .reserved = {},
                                .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
static_assert(sizeof(TileConfig) == 64);

/// What was computed stands in memory from here on. (GCC's tile loads do not tell the compiler that they read any.)
TERN_INLINE void FinishStores() { asm volatile("" ::: "memory"); }

/// sums += the panel's products with a tile of activations; kPair: and with the next tile, whose sums follow. `first`: there
/// are no sums yet. Registers: 0 … 3 sums (two of rows for each tile), 4 and 5 activations, 6 and 7 weights.
template <bool kPair>
__attribute__((noinline)) void AddPanel(const Panel& panel, int64_t steps, const std::byte* x0, const std::byte* x1,
                                        bool first, TileSums* sums) {
  constexpr int kTokenStride = 2 * kTileColumns, kRowStride = 4 * kPanelRows;
  const uint32_t* w = panel.pairs[0];
  float *sums0 = sums[0][0], *sums1 = sums[kPair ? 1 : 0][0];
  FinishStores();
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kPair) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, sums0, kRowStride);
    _tile_loadd(1, sums0 + kLanes, kRowStride);
    if constexpr (kPair) {
      _tile_loadd(2, sums1, kRowStride);
      _tile_loadd(3, sums1 + kLanes, kRowStride);
    }
  }
  for (int64_t i = 0; i < steps; ++i, x0 += kTileBytes, x1 += kTileBytes, w += kTileColumns / 2 * kPanelRows) {
    _tile_loadd(4, x0, kTokenStride);
    _tile_loadd(6, w, kRowStride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, w + kLanes, kRowStride);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kPair) {
      _tile_loadd(5, x1, kTokenStride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums0, kRowStride);
  _tile_stored(1, sums0 + kLanes, kRowStride);
  if constexpr (kPair) {
    _tile_stored(2, sums1, kRowStride);
    _tile_stored(3, sums1 + kLanes, kRowStride);
  }
}

/// Columns [col, col + cols) of a panel with `count` tiles. The panel's columns are filled up with zeros to whole registers
/// here: what stood there before might be no number.
void AddPanelToAll(Panel& panel, int64_t col, int64_t cols, const PackedTile* tiles, int64_t count, TileSums* sums) {
  const int64_t steps = (cols + kTileColumns - 1) / kTileColumns, pairs = (cols + 1) / 2;
  __builtin_memset(panel.pairs[pairs], 0, static_cast<size_t>((steps * kTileColumns / 2 - pairs) * kPanelRows * 4));
  const int64_t at = col / kTileColumns * kTileBytes;
  int64_t i = 0;
  for (; i + 1 < count; i += 2) AddPanel<true>(panel, steps, tiles[i].x + at, tiles[i + 1].x + at, col == 0, sums + i);
  if (i < count) AddPanel<false>(panel, steps, tiles[i].x + at, tiles[i].x + at, col == 0, sums + i);
}

/// Panels of float weights.
template <DType type>
struct FloatPanels {
  void Begin(const MatrixView&, int64_t, int64_t, int64_t) {}
  void Make(const MatrixView& w, int64_t row, int64_t col, int64_t cols, Panel& panel) {
    if (w.layout == Layout::kColumns) return PanelOfColumns<type>(w, row, col, cols, panel);
    return PanelOfRows<type>(w, row, col, cols, panel);
  }
};

/// Rows [row0, row1), kBlockRows at most (in layout kColumns: of one strip), with up to kMostBatch tiles.
template <typename Panels>
void BlockProducts(Panels& panels, const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1, BlockSums& sums) {
  const MatrixView& w = tiles->w;
  Panel panel;
  for (int64_t col = 0; col < w.cols; col += 2 * kPanelPairs) {
    const int64_t cols = Least(2 * kPanelPairs, w.cols - col);
    panels.Begin(w, row0, col, cols);
    for (int64_t row = row0; row < row1; row += kPanelRows) {
      panels.Make(w, row, col, cols, panel);
      AddPanelToAll(panel, col, cols, tiles, count, sums[(row - row0) / kPanelRows]);
    }
  }
  for (int64_t row = row0; row < row1; row += kPanelRows) {
    for (int64_t i = 0; i < count; ++i) StoreSums(tiles[i], row, sums[(row - row0) / kPanelRows][i]);
  }
}

template <typename Panels>
void Products(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  Panels panels;
  BlockSums& sums = SumsOfThread();
  _tile_loadconfig(&kConfig);
  for (int64_t first = 0; first < count; first += kMostBatch) {
    for (int64_t row = row0; row < row1; row += kBlockRows) {
      BlockProducts(panels, tiles + first, Least(kMostBatch, count - first), row, Least(row1, row + kBlockRows), sums);
    }
  }
  _tile_release();  // else every switch of threads would save eight kilobytes
}

template <typename Packed, typename Columns>
void QuantisedProducts(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  if (tiles->w.layout == Layout::kColumns) return Products<ColumnPanels<Columns>>(tiles, count, row0, row1);
  return Products<PackedPanels<Packed>>(tiles, count, row0, row1);
}

template <int kBits, int kZero, bool kHasMin>
void SmallProducts(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  return QuantisedProducts<Small<kBits, kZero, kHasMin>, SmallColumns<kBits, kZero, kHasMin>>(tiles, count, row0, row1);
}

void MultiplyTiles(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1) {
  if (count <= 0) return;
  switch (tiles->w.dtype) {
    case DType::kF16: return Products<FloatPanels<DType::kF16>>(tiles, count, row0, row1);
    case DType::kBF16: return Products<FloatPanels<DType::kBF16>>(tiles, count, row0, row1);
    case DType::kQ8_0: return SmallProducts<8, 128, false>(tiles, count, row0, row1);
    case DType::kQ5_1: return SmallProducts<5, 0, true>(tiles, count, row0, row1);
    case DType::kQ5_0: return SmallProducts<5, 16, false>(tiles, count, row0, row1);
    case DType::kQ4_1: return SmallProducts<4, 0, true>(tiles, count, row0, row1);
    case DType::kQ4_0: return SmallProducts<4, 8, false>(tiles, count, row0, row1);
    case DType::kQ4_K: return QuantisedProducts<Super<4>, SuperColumns<4>>(tiles, count, row0, row1);
    case DType::kQ5_K: return QuantisedProducts<Super<5>, SuperColumns<5>>(tiles, count, row0, row1);
    case DType::kQ6_K: return QuantisedProducts<SixBits, SixBitColumns>(tiles, count, row0, row1);
    default: return;
  }
}

/// A tile of activations: x[columns / 32][16 tokens][32], both filled up with zeros.
int64_t TileBytes(int64_t n, int) { return (n + kTileColumns - 1) / kTileColumns * kTileBytes; }

void FillTile(const float* x, int64_t x_stride, int64_t n, int tokens, std::byte* tile) {
  for (int64_t i = 0; i < n; i += kTileColumns) {
    for (int64_t t = 0; t < kTileTokens; ++t, tile += 2 * kTileColumns) {
      Pairs columns = _mm512_setzero_si512();
      if (t < tokens) columns = NarrowActivations(x + t * x_stride + i, Least(kTileColumns, n - i));
      _mm512_storeu_si512(tile, columns);
    }
  }
}

constexpr Bf16Products kBf16Products = {.matmul = MultiplyTiles,
                                        .tile = FillTile,
                                        .tile_bytes = TileBytes,
                                        .most_tokens = kTileTokens,
                                        .most_rows = kBlockRows,
                                        // docs/kernels.md counts these.
                                        .least_quantised = 32,
                                        .sparse_cost = 3};

}  // namespace

const KernelTable& AmxTable() {
  static const KernelTable table = [] {
    KernelTable of_amx = Avx512Table();
    of_amx.level = Level::kAmx;
    of_amx.bf16 = &kBf16Products;
    return of_amx;
  }();
  return table;
}

}  // namespace tern::kernels
