// Layout kColumns (kernels/packing.h) as its kernels see it: where weights stand, which part of them a kernel goes through, and
// how they are asked for ahead. For whichever Vec and Quad were included before.
#pragma once

namespace tern::kernels {
namespace {

constexpr int kStripGroups = static_cast<int>(kStripRows / kGroupRows);
constexpr int64_t kColumnVector = 64;  ///< bytes of 64 rows (8 bits) or of a strip (4 bits)

/// Where a block of 32 columns stands: the scales that it shares with others (or all of them), its own, its integers.
struct ColumnBlock {
  const std::byte *head, *own, *q;
};

/// The counterparts of packed.h's types. Kernels are given n, the rows of the matrix, filled up to whole strips.
template <int bits, int zero, bool has_min>
struct SmallColumns {
  using Packed = Small<bits, zero, has_min>;
  static constexpr int kBits = bits, kZero = zero, kHalves = 1;
  static constexpr bool kHasMin = has_min;

  static TERN_INLINE ColumnBlock At(const std::byte* data, int64_t n, int64_t block) {
    const int64_t head = has_min ? 4 * n : 2 * n;
    const std::byte* p = data + block * (head + 4 * bits * n);
    return {p, p, p + head};
  }
  static TERN_INLINE int64_t OwnBytes(int64_t n) { return has_min ? 4 * n : 2 * n; }
  static TERN_INLINE Vec Scale(const ColumnBlock& b, int64_t, int64_t row, int) { return LoadF16(b.head + 2 * row); }
  static TERN_INLINE Vec Min(const ColumnBlock& b, int64_t n, int64_t row) { return LoadF16(b.head + 2 * (n + row)); }
};

template <int bits>
struct SuperColumns {
  using Packed = Super<bits>;
  static constexpr int kBits = bits, kZero = 0, kHalves = 1;
  static constexpr bool kHasMin = true;

  static TERN_INLINE ColumnBlock At(const std::byte* data, int64_t n, int64_t block) {
    const int64_t sub = 2 * n + 4 * bits * n;
    const std::byte* head = data + block / 8 * (4 * n + 8 * sub);
    const std::byte* own = head + 4 * n + block % 8 * sub;
    return {head, own, own + 2 * n};
  }
  static TERN_INLINE int64_t OwnBytes(int64_t n) { return 2 * n; }
  static TERN_INLINE Vec Scale(const ColumnBlock& b, int64_t, int64_t row, int) {
    return LoadF16(b.head + 2 * row) * UnsignedBytes(b.own + row);
  }
  static TERN_INLINE Vec Min(const ColumnBlock& b, int64_t n, int64_t row) {
    return (Zero() - LoadF16(b.head + 2 * (n + row))) * UnsignedBytes(b.own + n + row);
  }
};

struct SixBitColumns {
  using Packed = SixBits;
  static constexpr int kBits = 6, kZero = 32, kHalves = 2;
  static constexpr bool kHasMin = false;

  static TERN_INLINE ColumnBlock At(const std::byte* data, int64_t n, int64_t block) {
    const int64_t sub = 2 * n + 4 * 6 * n;
    const std::byte* head = data + block / 8 * (2 * n + 8 * sub);
    const std::byte* own = head + 2 * n + block % 8 * sub;
    return {head, own, own + 2 * n};
  }
  static TERN_INLINE int64_t OwnBytes(int64_t n) { return 2 * n; }
  static TERN_INLINE Vec Scale(const ColumnBlock& b, int64_t n, int64_t row, int half) {
    return LoadF16(b.head + 2 * row) * SignedBytes(b.own + half * n + row);
  }
  static TERN_INLINE Vec Min(const ColumnBlock&, int64_t, int64_t) { return Zero(); }
};

/// Some strips of a matrix: at most kMostStrips.
struct StripRange {
  const std::byte* data;
  int64_t rows;  ///< of the matrix, filled up
  int64_t strip0, strip1;

  int64_t row0() const { return strip0 * kStripRows; }
  int64_t row1() const { return strip1 * kStripRows; }
  int64_t strips() const { return strip1 - strip0; }
};
constexpr int64_t kMostRangeRows = kMostStrips * kStripRows;

/// What the strips of a range take of a column, in bytes.
template <typename Type>
TERN_INLINE int64_t ColumnShare(const StripRange& range) {
  return range.strips() * kStripRows * Type::kBits / 8;
}

TERN_INLINE void PrefetchRun(const std::byte* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) Prefetch(p + i);
}
/// Asks for a range's share of the scales that a block has of its own.
template <typename Type>
TERN_INLINE void PrefetchScales(const StripRange& range, const ColumnBlock& w) {
  constexpr int64_t kScale = Type::Packed::kColumns == kPackedBlock ? 2 : 1;  // bytes
  for (int64_t i = 0; i < Type::OwnBytes(range.rows); i += kScale * range.rows) {
    PrefetchRun(w.own + i + kScale * range.row0(), kScale * (range.row1() - range.row0()));
  }
}
/// Asks for a range's share of the integers in the column that begins at p.
template <typename Type>
TERN_INLINE void PrefetchColumn(const StripRange& range, const std::byte* p) {
  if constexpr (Type::kBits == 8) {
    PrefetchRun(p + range.row0(), range.row1() - range.row0());
  } else {
    constexpr int64_t kPlanes = 16 * (Type::kBits - 4);  // bytes of a strip
    PrefetchRun(p + range.strip0 * kColumnVector, range.strips() * kColumnVector);
    if (kPlanes > 0) PrefetchRun(p + range.rows / 2 + range.strip0 * kPlanes, range.strips() * kPlanes);
  }
}

/// y of token t, kLanes rows from `row` on, as far as there are any.
TERN_INLINE void StoreRows(const PackedTile& tile, int t, int64_t row, Vec y) {
  const int64_t rest = tile.w.rows - row;
  float* to = tile.y + t * tile.y_stride + row;
  if (rest >= kLanes) {
    Store(to, y);
  } else if (rest > 0) {
    Store(to, y, rest);
  }
}

/// Bytes of weights that are asked for before they are needed.
constexpr int64_t kColumnsAhead = 8192;

/// Tiles times strips that go through the matrix together at most. (Their sums between panels stand here and not in y, whose rows
/// often fall into the same sets of the cache.)
constexpr int64_t kBatchSlots = 8;

/// Calls fn(range) for strips [strip0, strip1) of a matrix, `most` at a time.
template <typename Fn>
TERN_INLINE void ForEachRange(const MatrixView& w, int64_t strip0, int64_t strip1, int64_t most, const Fn& fn) {
  for (; strip0 < strip1; strip0 += most) {
    fn(StripRange{.data = w.data, .rows = ColumnRows(w.rows), .strip0 = strip0, .strip1 = Least(strip0 + most, strip1)});
  }
}

/// How many strips some tiles go through together.
TERN_INLINE int64_t StripsOfTiles(const PackedTile* tiles, int64_t count) {
  int64_t tokens = 0;
  for (int64_t i = 0; i < count; ++i) tokens += tiles[i].tokens;
  return StripsTogether(tokens);
}

}  // namespace
}  // namespace tern::kernels
