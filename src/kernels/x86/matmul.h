// Products with stored weights, for whichever Vec was included before.
//
// One order of summation for all: y[t, o] has one Vec of partial sums, lane l takes the columns l, l +
// kLanes, … in order, one fused multiply-add each, and Sum's tree adds the lanes. Tiles, blocks and the
// packed copies below move that Vec between registers and memory but never split it, so nothing but the
// columns decides the bits.
#pragma once

namespace tern::kernels {
namespace {

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

/// Adds the products of `cols` columns; w points at them in the first row, rows w_row bytes apart. `ahead`: the rows
/// come from memory, and the R rows after them are next.
template <typename W, int R, int T>
TERN_INLINE void Accumulate(Tile<R, T>& tile, const std::byte* w, int64_t w_row, const float* x,
                            int64_t x_row, int64_t cols, bool ahead = false) {
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) {
    if (ahead) {
      // Four rows at once are four short streams, which the hardware's prefetcher does not recognise: the next rows
      // are asked for in the order they lie in memory. On Zen 4, f16, 768 columns: 12 → 21 GB/s on one core, 23 → 32 on
      // two (of 32 that plain reading reaches); 2048 columns 20 → 24 and 31 → 34. Hint T0 loses half of that from 8192
      // columns on, where the distance is larger than the first-level cache.
      const std::byte* p = w + R * w_row + R * i * W::kBytes;
      TERN_UNROLL for (int r = 0; r < R * kLanes * W::kBytes; r += 64) Prefetch(p + r);
    }
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
void DirectTile(const MatMulJob& job, int64_t row, int64_t t, bool ahead) {
  const int64_t row_bytes = job.w.cols * W::kBytes;
  Tile<R, T> tile;
  Clear(tile);
  Accumulate<W>(tile, job.w.data + row * row_bytes, row_bytes, job.x + t * job.x_stride, job.x_stride, job.w.cols, ahead);
  Finish(tile, job.scale, job.y + t * job.y_stride + row, job.y_stride);
}

/// R rows, n ≤ T tokens: picks the tile of just n.
template <typename W, int R, int T>
TERN_INLINE void DirectTileOf(const MatMulJob& job, int64_t row, int64_t t, int64_t n, bool ahead) {
  if (n == T) {
    DirectTile<W, R, T>(job, row, t, ahead);
  } else if constexpr (T > 1) {
    DirectTileOf<W, R, T - 1>(job, row, t, n, ahead);
  }
}

/// Tokens [t0, t1) of R rows, in tiles of nearly equal size. The rows stay in the cache between the tiles, the first of
/// which waits for memory: it asks for the rows after them.
template <typename W, int R>
void DirectRows(const MatMulJob& job, int64_t row, int64_t t0, int64_t t1) {
  const int64_t step = EqualParts(t1 - t0, kTileT);
  for (int64_t t = t0; t < t1; t += step) DirectTileOf<W, R, kTileT>(job, row, t, Least(step, t1 - t), t == t0);
}

/// Bytes of x that go through all rows before the next tokens do: half of an L2.
constexpr int64_t kBlockBytes = 512 << 10;

template <typename W>
void PlainRows(const MatMulJob& job, int64_t row0, int64_t row1) {
  if (job.T <= 0) return;
  const int64_t fit = kBlockBytes / (4 * job.w.cols + 1) / kTileT * kTileT;
  const int64_t block = fit < 2 * kTileT ? 2 * kTileT : fit;
  for (int64_t t = 0; t < job.T; t += block) {
    const int64_t end = Least(job.T, t + block);
    int64_t row = row0;
    for (; row + kTileRows <= row1; row += kTileRows) DirectRows<W, kTileRows>(job, row, t, end);
    for (; row < row1; ++row) DirectRows<W, 1>(job, row, t, end);
  }
}

// --- quantised weights: some columns of four rows are expanded to fp32 for a block of tokens
// ---------------------------

constexpr int64_t kExpandCols = 1024;  ///< a multiple of every type's block and of kLanes
constexpr int64_t kExpandTokens = 96;

struct Expansion {
  alignas(64) float rows[kTileRows][kExpandCols];
  Vec sums[kExpandTokens * kTileRows];  ///< between one block of columns and the next: [token][row]
};

/// Columns [col, col + cols) of `rows` rows; rows past the end repeat the first, and their sums are thrown
/// away.
void Expand(Expansion& e, const MatrixView& w, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const DTypeTraits& traits = Traits(w.dtype);
  const int64_t row_bytes = w.cols / traits.block * traits.block_bytes;
  for (int64_t r = 0; r < kTileRows; ++r) {
    const int64_t source = row + (r < rows ? r : 0);
    ExpandBlocks(w.dtype, w.data + source * row_bytes + col / traits.block * traits.block_bytes, e.rows[r],
                 cols);
  }
}

/// Adds the expanded columns to the sums of T tokens.
template <int T>
void ExpandedTile(const Expansion& e, const float* x, int64_t x_stride, int64_t cols, Vec* sums) {
  Tile<kTileRows, T> tile;
  TERN_UNROLL for (int t = 0; t < T; ++t) {
    TERN_UNROLL for (int r = 0; r < kTileRows; ++r) tile.sum[r][t] = sums[t * kTileRows + r];
  }
  Accumulate<F32>(tile, reinterpret_cast<const std::byte*>(e.rows), kExpandCols * F32::kBytes, x, x_stride,
                  cols);
  TERN_UNROLL for (int t = 0; t < T; ++t) {
    TERN_UNROLL for (int r = 0; r < kTileRows; ++r) sums[t * kTileRows + r] = tile.sum[r][t];
  }
}

template <int T>
TERN_INLINE void ExpandedTileOf(int64_t n, const Expansion& e, const float* x, int64_t x_stride, int64_t cols,
                                Vec* sums) {
  if (n == T) {
    ExpandedTile<T>(e, x, x_stride, cols, sums);
  } else if constexpr (T > 1) {
    ExpandedTileOf<T - 1>(n, e, x, x_stride, cols, sums);
  }
}

/// Rows [row, row + rows), four at most, of tokens [t0, t1), kExpandTokens at most.
void QuantisedTile(Expansion& e, const MatMulJob& job, int64_t row, int64_t rows, int64_t t0, int64_t t1) {
  const int64_t step = EqualParts(t1 - t0, kTileT);
  for (int64_t i = 0; i < (t1 - t0) * kTileRows; ++i) e.sums[i] = Zero();
  for (int64_t col = 0; col < job.w.cols; col += kExpandCols) {
    const int64_t cols = Least(kExpandCols, job.w.cols - col);
    Expand(e, job.w, row, rows, col, cols);
    for (int64_t t = t0; t < t1; t += step) {
      const float* x = job.x + t * job.x_stride + col;
      ExpandedTileOf<kTileT>(Least(step, t1 - t), e, x, job.x_stride, cols, e.sums + (t - t0) * kTileRows);
    }
  }
  for (int64_t t = t0; t < t1; ++t) {
    const Vec* sums = e.sums + (t - t0) * kTileRows;
    alignas(16) float y[kTileRows];
    _mm_store_ps(y, _mm_mul_ps(_mm_set1_ps(job.scale), Sum4(sums[0], sums[1], sums[2], sums[3])));
    for (int64_t r = 0; r < rows; ++r) job.y[t * job.y_stride + row + r] = y[r];
  }
}

void QuantisedRows(const MatMulJob& job, int64_t row0, int64_t row1) {
  Expansion e;
  for (int64_t t = 0; t < job.T; t += kExpandTokens) {
    for (int64_t row = row0; row < row1; row += kTileRows) {
      QuantisedTile(e, job, row, Least(kTileRows, row1 - row), t, Least(job.T, t + kExpandTokens));
    }
  }
}

void MatMulRows(const MatMulJob& job, int64_t row0, int64_t row1) {
  switch (job.w.dtype) {
    case DType::kF32:
      return PlainRows<F32>(job, row0, row1);
    case DType::kF16:
      return PlainRows<F16>(job, row0, row1);
    case DType::kBF16:
      return PlainRows<Bf16>(job, row0, row1);
    default:
      return QuantisedRows(job, row0, row1);
  }
}

}  // namespace
}  // namespace tern::kernels
