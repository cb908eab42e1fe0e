// Columns of float types: in order, one fused multiply-add each.
#pragma once

#include "kernels/x86/columns_layout.h"

namespace tern::kernels {
namespace {

template <DType type>
constexpr int64_t kFloatBytes = type == DType::kF32 ? 4 : 2;

template <DType type>
TERN_INLINE Vec LoadWeights(const std::byte* p) {
  if constexpr (type == DType::kF16) {
    return LoadF16(p);
  } else if constexpr (type == DType::kBF16) {
    return LoadBf16(p);
  } else {
    return Load(p);
  }
}

/// A sum as it is stored at last. + 0: see ref::FloatColumnDot.
TERN_INLINE Vec Finished(Vec sum, Vec scale) { return scale * (sum + Zero()); }

/// The non-zero among some columns, and their activations.
struct FloatList {
  static constexpr int64_t kMost = 1024;
  int64_t n = 0;
  int32_t column[kMost];
  float x[kMost];
};

TERN_INLINE void Fill(FloatList& list, const std::byte* x, int T, int t, int64_t col, int64_t cols) {
  list.n = 0;
  int64_t i = 0;
  for (; T == 1 && i + kLanes <= cols; i += kLanes) {
    uint32_t mask = NonZeroLanes(Load(x + 4 * (col + i)));
    for (; mask != 0; mask &= mask - 1) {
      const int64_t c = col + i + __builtin_ctz(mask);
      list.column[list.n] = static_cast<int32_t>(c);
      list.x[list.n++] = FloatAt(x + 4 * c);
    }
  }
  for (; i < cols; ++i) {
    const float value = FloatAt(x + 4 * ((col + i) * T + t));
    if (value == 0) continue;
    list.column[list.n] = static_cast<int32_t>(col + i);
    list.x[list.n++] = value;
  }
}

/// sums [rows] += n listed columns, one after the other; w: the first row of column 0.
template <DType type, int n>
TERN_INLINE void AddFloatColumns(const std::byte* w, int64_t column, const int32_t* list, const float* x, int64_t rows,
                                 float* sums) {
  const std::byte* p[n];
  Vec factor[n];
  TERN_UNROLL_ALL for (int i = 0; i < n; ++i) p[i] = w + list[i] * column, factor[i] = Set(x[i]);
  for (int64_t row = 0; row < rows; row += kLanes) {
    Vec sum = Load(sums + row);
    TERN_UNROLL_ALL for (int i = 0; i < n; ++i) {
      sum = Fma(LoadWeights<type>(p[i] + row * kFloatBytes<type>), factor[i], sum);
    }
    Store(sums + row, sum);
  }
}

template <DType type>
TERN_INLINE void AddFloatColumns(const std::byte* w, int64_t column, const FloatList& list, int64_t rows, float* sums) {
  constexpr int64_t kAtOnce = 4;  // columns that share the loads and stores of sums
  const int64_t share = rows * kFloatBytes<type>, ahead = kAtOnce * (1 + Least(kColumnsAhead / (kAtOnce * share), 8));
  int64_t asked = 0;
  for (int64_t i = 0; i < list.n; i += kAtOnce) {
    for (; asked < Least(i + kAtOnce + ahead, list.n); ++asked) PrefetchRun(w + list.column[asked] * column, share);
    switch (Least(kAtOnce, list.n - i)) {
      case 4: AddFloatColumns<type, 4>(w, column, list.column + i, list.x + i, rows, sums); break;
      case 3: AddFloatColumns<type, 3>(w, column, list.column + i, list.x + i, rows, sums); break;
      case 2: AddFloatColumns<type, 2>(w, column, list.column + i, list.x + i, rows, sums); break;
      case 1: AddFloatColumns<type, 1>(w, column, list.column + i, list.x + i, rows, sums); break;
    }
  }
}

/// sums [rows of the range] = the products of a segment's columns with token t.
template <DType type>
void SparseFloatSegment(const PackedTile& tile, int t, const StripRange& range, int segment, float* sums) {
  const int64_t rows = range.row1() - range.row0(), end = SegmentBegin(tile.w.cols, segment + 1);
  for (int64_t i = 0; i < rows; i += kLanes) Store(sums + i, Zero());
  for (int64_t col = SegmentBegin(tile.w.cols, segment); col < end; col += FloatList::kMost) {
    FloatList list;
    Fill(list, tile.x, ColumnTileTokens(tile.tokens), t, col, Least(FloatList::kMost, end - col));
    AddFloatColumns<type>(range.data + range.row0() * kFloatBytes<type>, range.rows * kFloatBytes<type>, list, rows, sums);
  }
}

/// Columns that go through all tiles before the next do: they stay in the first-level cache.
constexpr int64_t kFloatPanel = 64;

/// Asks for the columns of the next panel a little at a time, in the order they lie in memory.
struct FloatFetch {
  const std::byte* p;      ///< a range's first row of the column
  int64_t column, share;   ///< bytes from one to the next, and of the range
  int64_t left;            ///< columns
  int64_t at = 0, owed = 0;

  TERN_INLINE void Ask(int64_t bytes) {
    for (owed += bytes; owed >= 64; owed -= 64) {
      if (left == 0) return;
      Prefetch(p + at);
      if ((at += 64) < share) continue;
      at = 0, p += column, --left;
    }
  }
};

/// Some columns of a strip.
struct FloatPanel {
  const std::byte* w;  ///< their first row in the strip
  int64_t column;      ///< bytes from one to the next
  int64_t row;         ///< of the matrix
  int64_t begin, end;  ///< the segment that they belong to
  int64_t col, cols;   ///< [col, col + cols)
};

/// Adds the sums of a segment to y.
TERN_INLINE void StoreSegment(const PackedTile& tile, int t, const FloatPanel& panel, int64_t row, Vec sum) {
  const int64_t rest = tile.w.rows - row;
  if (rest <= 0) return;
  const float* y = tile.y + t * tile.y_stride + row;
  if (panel.begin > 0) sum = (rest >= kLanes ? Load(y) : Load(y, rest)) + sum;
  StoreRows(tile, t, row, panel.end == tile.w.cols ? Finished(sum, Set(tile.scale)) : sum);
}

/// The panel with a tile of T tokens; sums [kStripRows · T] hold what goes from one panel to the next.
template <DType type, int T>
void DenseFloatPanel(const PackedTile& tile, const FloatPanel& panel, FloatFetch* next, float* sums) {
  constexpr int kVecs = kLanes == 16 ? 2 : 1;  // with up to 12 tokens, what the registers hold
  const bool first = panel.col == panel.begin, last = panel.col + panel.cols == panel.end;
  for (int64_t v = 0; v < kStripRows; v += kVecs * kLanes) {
    Vec sum[kVecs][T];
    TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
      TERN_UNROLL for (int i = 0; i < kVecs; ++i) {
        sum[i][t] = first ? Zero() : Load(sums + (v + i * kLanes) * T + t * kLanes);
      }
    }
    const std::byte *p = panel.w + v * kFloatBytes<type>, *x = tile.x + panel.col * T * 4;
    for (int64_t k = 0; k < panel.cols; ++k, p += panel.column, x += 4 * T) {
      if (next != nullptr && k % 8 == 0) next->Ask(8 * kVecs * kLanes * kFloatBytes<type>);
      Vec weight[kVecs];
      TERN_UNROLL for (int i = 0; i < kVecs; ++i) weight[i] = LoadWeights<type>(p + i * kLanes * kFloatBytes<type>);
      TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
        const Vec xt = Set(FloatAt(x + 4 * t));
        TERN_UNROLL for (int i = 0; i < kVecs; ++i) sum[i][t] = Fma(weight[i], xt, sum[i][t]);
      }
    }
    TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
      TERN_UNROLL for (int i = 0; i < kVecs; ++i) {
        if (!last) {
          Store(sums + (v + i * kLanes) * T + t * kLanes, sum[i][t]);
        } else if (t < tile.tokens) {
          StoreSegment(tile, t, panel, panel.row + v + i * kLanes, sum[i][t]);
        }
      }
    }
  }
}

template <DType type>
void DenseFloatPanelOf(const PackedTile& tile, const FloatPanel& panel, FloatFetch* next, float* sums) {
  switch (ColumnTileTokens(tile.tokens)) {
    case 2: return DenseFloatPanel<type, 2>(tile, panel, next, sums);
    case 4: return DenseFloatPanel<type, 4>(tile, panel, next, sums);
    case 6: return DenseFloatPanel<type, 6>(tile, panel, next, sums);
    case 8: return DenseFloatPanel<type, 8>(tile, panel, next, sums);
    case 10: return DenseFloatPanel<type, 10>(tile, panel, next, sums);
    case 12: return DenseFloatPanel<type, 12>(tile, panel, next, sums);
  }
}

struct FloatSums {
  alignas(64) float of[kBatchSlots][kStripRows * kMostColumnTileTokens];
};

/// Columns of a segment, [begin, end), and some of these: [col, col + cols).
struct ColumnPanel {
  int64_t begin, end, col, cols;
};

/// A panel of a range, with those of `count` tiles that are not taken token by token.
template <DType type>
void DenseFloatColumns(const PackedTile* tiles, int64_t count, const StripRange& range, const ColumnPanel& at,
                       FloatSums& sums) {
  const int64_t column = range.rows * kFloatBytes<type>, next_col = at.col + at.cols;
  FloatFetch next{.p = range.data + range.row0() * kFloatBytes<type> + next_col * column,
                  .column = column,
                  .share = range.strips() * kStripRows * kFloatBytes<type>,
                  .left = Least(kFloatPanel, tiles->w.cols - next_col)};
  for (int64_t strip = range.strip0; strip < range.strip1; ++strip) {
    const FloatPanel panel{.w = range.data + at.col * column + strip * kStripRows * kFloatBytes<type>,
                           .column = column, .row = strip * kStripRows, .begin = at.begin, .end = at.end,
                           .col = at.col, .cols = at.cols};
    bool fetch = true;
    for (int64_t i = 0; i < count; ++i) {
      if (TokenByToken(tiles[i])) continue;
      DenseFloatPanelOf<type>(tiles[i], panel, fetch ? &next : nullptr,
                              sums.of[i * range.strips() + strip - range.strip0]);
      fetch = false;
    }
  }
}

/// The tiles that are not taken token by token.
template <DType type>
void DenseFloatStrips(const PackedTile* tiles, int64_t count, const StripRange& range) {
  FloatSums sums;
  for (int64_t i = 0; i < count; i += kBatchSlots) {
    for (int s = 0; s < kColumnSegments; ++s) {
      const int64_t begin = SegmentBegin(tiles->w.cols, s), end = SegmentBegin(tiles->w.cols, s + 1);
      for (int64_t col = begin; col < end; col += kFloatPanel) {
        DenseFloatColumns<type>(tiles + i, Least(kBatchSlots, count - i), range,
                                {.begin = begin, .end = end, .col = col, .cols = Least(kFloatPanel, end - col)}, sums);
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels
