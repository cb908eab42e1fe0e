// Products with stored weights, for whichever Vec was included before.
//
// One order of summation for all: y[t, o] has one Vec of partial sums, lane l takes the columns l, l +
// kLanes, … in order, one fused multiply-add each, and Sum's tree adds the lanes. Tiles, blocks and the
// packed copies below move that Vec between registers and memory but never split it, so nothing but the
// columns decides the bits.
#pragma once

namespace tern::kernels {
namespace {

#if defined(__clang__)
#define TERN_UNROLL _Pragma("unroll")
#else
#define TERN_UNROLL _Pragma("GCC unroll 8")
#endif

struct F32 {
  static constexpr int64_t kBytes = 4;
  static TERN_INLINE Vec Get(const std::byte* p) { return Load(p); }
  static TERN_INLINE Vec Get(const std::byte* p, int64_t n) { return Load(p, n); }
};
struct F16 {
  static constexpr int64_t kBytes = 2;
  static TERN_INLINE Vec Get(const std::byte* p) { return LoadF16(p); }
  static TERN_INLINE Vec Get(const std::byte* p, int64_t n) { return LoadF16(p, n); }
};
struct Bf16 {
  static constexpr int64_t kBytes = 2;
  static TERN_INLINE Vec Get(const std::byte* p) { return LoadBf16(p); }
  static TERN_INLINE Vec Get(const std::byte* p, int64_t n) { return LoadBf16(p, n); }
};

constexpr int kTileRows = 4;

TERN_INLINE int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

/// R rows × T tokens of partial sums.
template <int R, int T>
struct Tile {
  Vec sum[R][T];
};

template <int R, int T>
TERN_INLINE void Clear(Tile<R, T>& tile) {
  TERN_UNROLL for (int r = 0; r < R; ++r) { TERN_UNROLL for (int t = 0; t < T; ++t) tile.sum[r][t] = Zero(); }
}

template <int R, int T>
TERN_INLINE void Finish(const Tile<R, T>& tile, float scale, float* y, int64_t y_stride) {
  TERN_UNROLL for (int t = 0; t < T; ++t) {
    int r = 0;
    if constexpr (R % 4 == 0) {
      TERN_UNROLL for (; r < R; r += 4) {
        const __m128 sums = Sum4(tile.sum[r][t], tile.sum[r + 1][t], tile.sum[r + 2][t], tile.sum[r + 3][t]);
        _mm_storeu_ps(y + t * y_stride + r, _mm_mul_ps(_mm_set1_ps(scale), sums));
      }
    }
    for (; r < R; ++r) y[t * y_stride + r] = scale * Sum(tile.sum[r][t]);
  }
}

// --- few tokens: straight from the stored rows
// -------------------------------------------------------------------------

/// Adds the products of `cols` columns; w points at them in the first row, rows w_row bytes apart.
template <typename W, int R, int T>
TERN_INLINE void Accumulate(Tile<R, T>& tile, const std::byte* w, int64_t w_row, const float* x,
                            int64_t x_row, int64_t cols) {
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) {
    Vec column[T];
    TERN_UNROLL for (int t = 0; t < T; ++t) column[t] = Load(x + t * x_row + i);
    TERN_UNROLL for (int r = 0; r < R; ++r) {
      const Vec weight = W::Get(w + r * w_row + i * W::kBytes);
      TERN_UNROLL for (int t = 0; t < T; ++t) tile.sum[r][t] = Fma(weight, column[t], tile.sum[r][t]);
    }
  }
  if (i == cols) return;
  const int64_t rest = cols - i;
  Vec column[T];
  TERN_UNROLL for (int t = 0; t < T; ++t) column[t] = Load(x + t * x_row + i, rest);
  TERN_UNROLL for (int r = 0; r < R; ++r) {
    const Vec weight = W::Get(w + r * w_row + i * W::kBytes, rest);
    TERN_UNROLL for (int t = 0; t < T; ++t) tile.sum[r][t] = Fma(weight, column[t], tile.sum[r][t]);
  }
}

/// Weights in a type of their own: rows [row, row + R), tokens [t, t + T).
template <typename W, int R, int T>
void DirectTile(const MatMulJob& job, int64_t row, int64_t t) {
  const int64_t row_bytes = job.w.cols * W::kBytes;
  Tile<R, T> tile;
  Clear(tile);
  Accumulate<W>(tile, job.w.data + row * row_bytes, row_bytes, job.x + t * job.x_stride, job.x_stride,
                job.w.cols);
  Finish(tile, job.scale, job.y + t * job.y_stride + row, job.y_stride);
}

/// Columns of quantised rows that are expanded at a time; a multiple of every block and of kLanes.
constexpr int64_t kExpandCols = 1024;

struct Quantised {
  int64_t block, block_bytes, row_bytes;
};

Quantised DescribeQuantised(const MatrixView& w) {
  const DTypeTraits& traits = Traits(w.dtype);
  return {traits.block, traits.block_bytes, w.cols / traits.block * traits.block_bytes};
}

void ExpandColumns(const MatrixView& w, const Quantised& q, int64_t row, int64_t col, int64_t cols,
                   float* to) {
  DequantizeRow(w.dtype, w.data + row * q.row_bytes + col / q.block * q.block_bytes, to, cols);
}

/// Quantised weights: rows [row, row + R), tokens [t, t + T).
template <typename W, int R, int T>
void QuantisedTile(const MatMulJob& job, int64_t row, int64_t t) {
  const Quantised q = DescribeQuantised(job.w);
  alignas(64) float expanded[R][kExpandCols];
  Tile<R, T> tile;
  Clear(tile);
  for (int64_t col = 0; col < job.w.cols; col += kExpandCols) {
    const int64_t cols = job.w.cols - col < kExpandCols ? job.w.cols - col : kExpandCols;
    for (int r = 0; r < R; ++r) ExpandColumns(job.w, q, row + r, col, cols, expanded[r]);
    Accumulate<F32>(tile, reinterpret_cast<const std::byte*>(expanded), kExpandCols * F32::kBytes,
                    job.x + t * job.x_stride + col, job.x_stride, cols);
  }
  Finish(tile, job.scale, job.y + t * job.y_stride + row, job.y_stride);
}

/// R rows, n ≤ T tokens: picks the tile of just n.
template <typename W, int R, int T>
TERN_INLINE void TileOf(const MatMulJob& job, int64_t row, int64_t t, int64_t n) {
  if (n == T) {
    if constexpr (W::kBytes > 0) {
      DirectTile<W, R, T>(job, row, t);
    } else {
      QuantisedTile<W, R, T>(job, row, t);
    }
  } else if constexpr (T > 1) {
    TileOf<W, R, T - 1>(job, row, t, n);
  }
}

/// Stands for all quantised types.
struct AnyQuantised {
  static constexpr int64_t kBytes = 0;
};

/// Each row is read once for all tokens, or stays in the cache between its tiles.
template <typename W>
void FewTokens(const MatMulJob& job, int64_t row0, int64_t row1) {
  int64_t row = row0;
  for (; row + kTileRows <= row1; row += kTileRows) {
    for (int64_t t = 0; t < job.T; t += kTileT)
      TileOf<W, kTileRows, kTileT>(job, row, t, Least(kTileT, job.T - t));
  }
  for (; row < row1; ++row) {
    for (int64_t t = 0; t < job.T; t += kTileT) TileOf<W, 1, kTileT>(job, row, t, Least(kTileT, job.T - t));
  }
}

// --- many tokens: packed blocks that fit the caches
// --------------------------------------------------------------------

constexpr int64_t kBlockCols =
    768;  ///< columns at a time: 4 rows of fp32 weights are 12 KiB, under half of an L1
constexpr int64_t kBlockT = 96;     ///< tokens at a time: 288 KiB of x, a part of an L2
constexpr int64_t kBlockRows = 64;  ///< rows that keep their partial sums between blocks of columns

/// A packed tile is [columns / kLanes][rows or tokens][kLanes]: one stream to read. All on the stack, some
/// 700 KiB.
struct PackedBlocks {
  alignas(64) float x[kBlockT * kBlockCols];
  alignas(64) float w[kTileRows * kBlockCols];
  alignas(64) float row[kBlockCols];
  alignas(64) float sums[kBlockRows * kBlockT * kLanes];
};

/// Copies one row of `cols` elements into place `place` of a packed tile of `places`; the last vector is
/// padded with 0.
template <typename W>
TERN_INLINE void PackRow(float* to, int64_t places, int64_t place, const std::byte* from, int64_t cols) {
  to += place * kLanes;
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes, to += places * kLanes) Store(to, W::Get(from + i * W::kBytes));
  if (i < cols) Store(to, W::Get(from + i * W::kBytes, cols - i));
}

void PackX(PackedBlocks& packed, const float* x, int64_t x_stride, int64_t tokens, int64_t cols,
           int64_t steps) {
  for (int64_t t = 0; t < tokens; t += kTileT) {
    const int64_t places = Least(kTileT, tokens - t);
    for (int64_t place = 0; place < places; ++place) {
      PackRow<F32>(packed.x + t * steps * kLanes, places, place,
                   reinterpret_cast<const std::byte*>(x + (t + place) * x_stride), cols);
    }
  }
}

template <typename W>
void PackWeights(PackedBlocks& packed, const MatrixView& w, int64_t row, int64_t rows, int64_t col,
                 int64_t cols) {
  for (int64_t r = 0; r < kTileRows; ++r) {
    const int64_t source = row + (r < rows ? r : 0);  // rows past the end are computed and thrown away
    if constexpr (W::kBytes > 0) {
      PackRow<W>(packed.w, kTileRows, r, w.data + (source * w.cols + col) * W::kBytes, cols);
    } else {
      ExpandColumns(w, DescribeQuantised(w), source, col, cols, packed.row);
      PackRow<F32>(packed.w, kTileRows, r, reinterpret_cast<const std::byte*>(packed.row), cols);
    }
  }
}

template <int T>
void PackedTile(const float* w, const float* x, int64_t steps, float* sums, bool first) {
  Tile<kTileRows, T> tile;
  if (first) {
    Clear(tile);
  } else {
    TERN_UNROLL for (int r = 0; r < kTileRows; ++r) {
      TERN_UNROLL for (int t = 0; t < T; ++t) tile.sum[r][t] = Load(sums + (r * T + t) * kLanes);
    }
  }
  for (int64_t i = 0; i < steps; ++i, w += kTileRows * kLanes, x += T * kLanes) {
    Vec weight[kTileRows];
    TERN_UNROLL for (int r = 0; r < kTileRows; ++r) weight[r] = Load(w + r * kLanes);
    TERN_UNROLL for (int t = 0; t < T; ++t) {
      const Vec column = Load(x + t * kLanes);
      TERN_UNROLL for (int r = 0; r < kTileRows; ++r) tile.sum[r][t] = Fma(weight[r], column, tile.sum[r][t]);
    }
  }
  TERN_UNROLL for (int r = 0; r < kTileRows; ++r) {
    TERN_UNROLL for (int t = 0; t < T; ++t) Store(sums + (r * T + t) * kLanes, tile.sum[r][t]);
  }
}

/// Picks the tile of just n ≤ T tokens.
template <int T>
TERN_INLINE void PackedTileOf(int64_t n, const float* w, const float* x, int64_t steps, float* sums,
                              bool first) {
  if (n == T) {
    PackedTile<T>(w, x, steps, sums, first);
  } else if constexpr (T > 1) {
    PackedTileOf<T - 1>(n, w, x, steps, sums, first);
  }
}

/// Adds up the lanes of one packed tile of `tokens` tokens into y.
void FinishPacked(const float* sums, int64_t rows, int64_t tokens, float scale, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < tokens; ++t) {
    const auto sum = [&](int64_t r) { return Load(sums + (r * tokens + t) * kLanes); };
    const __m128 total = _mm_mul_ps(_mm_set1_ps(scale), Sum4(sum(0), sum(1), sum(2), sum(3)));
    if (rows == kTileRows) {
      _mm_storeu_ps(y + t * y_stride, total);
    } else {
      alignas(16) float each[kTileRows];
      _mm_store_ps(each, total);
      for (int64_t r = 0; r < rows; ++r) y[t * y_stride + r] = each[r];
    }
  }
}

/// Rows [row0, row1) (kBlockRows at most) for tokens [t0, t0 + tokens).
template <typename W>
void PackedBlock(PackedBlocks& packed, const MatMulJob& job, int64_t row0, int64_t row1, int64_t t0,
                 int64_t tokens) {
  for (int64_t col = 0; col < job.w.cols; col += kBlockCols) {
    const int64_t cols = Least(kBlockCols, job.w.cols - col);
    const int64_t steps = (cols + kLanes - 1) / kLanes;
    const bool last = col + cols == job.w.cols;
    PackX(packed, job.x + t0 * job.x_stride + col, job.x_stride, tokens, cols, steps);
    for (int64_t row = row0; row < row1; row += kTileRows) {
      const int64_t rows = Least(kTileRows, row1 - row);
      PackWeights<W>(packed, job.w, row, rows, col, cols);
      for (int64_t t = 0; t < tokens; t += kTileT) {
        const int64_t n = Least(kTileT, tokens - t);
        float* sums = packed.sums + ((row - row0) * kBlockT + t * kTileRows) * kLanes;
        PackedTileOf<kTileT>(n, packed.w, packed.x + t * steps * kLanes, steps, sums, col == 0);
        if (last) FinishPacked(sums, rows, n, job.scale, job.y + (t0 + t) * job.y_stride + row, job.y_stride);
      }
    }
  }
}

template <typename W>
void ManyTokens(const MatMulJob& job, int64_t row0, int64_t row1) {
  PackedBlocks packed;
  for (int64_t t = 0; t < job.T; t += kBlockT) {
    for (int64_t row = row0; row < row1; row += kBlockRows) {
      PackedBlock<W>(packed, job, row, Least(row1, row + kBlockRows), t, Least(kBlockT, job.T - t));
    }
  }
}

template <typename W>
void MatMulOf(const MatMulJob& job, int64_t row0, int64_t row1) {
  constexpr int64_t kFewTokens = W::kBytes > 0 ? 2 * kTileT : kTileT;  // beyond, packing pays for itself
  if (job.w.cols > 0 && job.T > kFewTokens) {
    ManyTokens<W>(job, row0, row1);
  } else {
    FewTokens<W>(job, row0, row1);
  }
}

void MatMulRows(const MatMulJob& job, int64_t row0, int64_t row1) {
  switch (job.w.dtype) {
    case DType::kF32:
      return MatMulOf<F32>(job, row0, row1);
    case DType::kF16:
      return MatMulOf<F16>(job, row0, row1);
    case DType::kBF16:
      return MatMulOf<Bf16>(job, row0, row1);
    default:
      return MatMulOf<AnyQuantised>(job, row0, row1);
  }
}

}  // namespace
}  // namespace tern::kernels
