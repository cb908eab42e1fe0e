// Products with weights in layout kColumns (kernels/packing.h), for whichever Vec and Quad were included before packed.h.
// One token reads the columns of its non-zero activations alone. For several tokens, a few columns at a time are put into
// the order of layout kPacked and multiplied by the kernels of packed.h. Either gives the bits of kernels/ref/columns.h.
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

// --- bits of eight groups' integers ---

/// Bit v of each byte of `high` becomes bit 4 of that byte of w[v].
TERN_INLINE void WithFifthBits(Quad w[8], Quad high) {
  w[0] = WithHighBits<0, 1>(w[0], high), w[1] = WithHighBits<1, 1>(w[1], high);
  w[2] = WithHighBits<2, 1>(w[2], high), w[3] = WithHighBits<3, 1>(w[3], high);
  w[4] = WithHighBits<4, 1>(w[4], high), w[5] = WithHighBits<5, 1>(w[5], high);
  w[6] = WithHighBits<6, 1>(w[6], high), w[7] = WithHighBits<7, 1>(w[7], high);
}
/// Bits 2k and 2k + 1 become bits 4 and 5 of w[k].
TERN_INLINE void WithHighPairs(Quad w[4], Quad high) {
  w[0] = WithHighBits<0, 2>(w[0], high), w[1] = WithHighBits<2, 2>(w[1], high);
  w[2] = WithHighBits<4, 2>(w[2], high), w[3] = WithHighBits<6, 2>(w[3], high);
}
/// Bit v of w[i] ↔ bit i of w[v], in every byte.
TERN_INLINE void TransposeBits(Quad w[8]) {
  TERN_UNROLL for (int i = 0; i < 4; ++i) ExchangeBits<4>(w[i], w[i + 4], 0x0f);
  TERN_UNROLL for (int i = 0; i < 4; ++i) ExchangeBits<2>(w[i / 2 * 4 + i % 2], w[i / 2 * 4 + i % 2 + 2], 0x33);
  TERN_UNROLL for (int i = 0; i < 4; ++i) ExchangeBits<1>(w[2 * i], w[2 * i + 1], 0x55);
}
/// The same for pairs of bits.
TERN_INLINE void TransposePairs(Quad w[4]) {
  TERN_UNROLL for (int i = 0; i < 2; ++i) ExchangeBits<4>(w[i], w[i + 2], 0x0f);
  TERN_UNROLL for (int i = 0; i < 2; ++i) ExchangeBits<2>(w[2 * i], w[2 * i + 1], 0x33);
}

// --- one token: only the columns that meet something ---

/// Bit i: byte i of 32 is not zero.
TERN_INLINE uint32_t NonZeroMask(const std::byte* p) {
  const __m256i v = _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(p)));
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_setzero_si256())));
}

/// Columns of a block and their activations, filled up with zero activations to whole quads.
struct ColumnList {
  int n = 0;
  int64_t at[kPackedBlock];  ///< bytes from the block's first column
  std::byte x[kPackedBlock];
};

TERN_INLINE void Fill(ColumnList& list, uint32_t mask, const std::byte* x, int64_t column_bytes) {
  list.n = 0;
  for (; mask != 0; mask &= mask - 1) {
    const int c = __builtin_ctz(mask);
    list.at[list.n] = c * column_bytes;
    list.x[list.n++] = x[c];
  }
  for (; list.n % 4 != 0; ++list.n) {
    list.at[list.n] = list.at[list.n - 1];
    list.x[list.n] = std::byte{0};
  }
}

/// sums[v] += the products of the listed columns with rows 16v … 16v + 15 of strip `strip`; of these, part `part`.
template <int kBits>
TERN_INLINE void AddColumns(const std::byte* q, int64_t n, int64_t strip, int part, const ColumnList& list,
                            Whole sums[kStripGroups]) {
  const int64_t offset = part * kPartBytes;
  if constexpr (kBits == 8) {
    const std::byte* p = q + strip * kStripRows + offset;
    for (int i = 0; i < list.n; i += 4) {
      const Quad x = FourOf(list.x + i);
      TERN_UNROLL for (int half = 0; half < 2; ++half) {
        const std::byte* h = p + half * kColumnVector;
        Quad w[4];
        Interleave(LoadQuad(h + list.at[i]), LoadQuad(h + list.at[i + 1]), LoadQuad(h + list.at[i + 2]),
                   LoadQuad(h + list.at[i + 3]), w);
        TERN_UNROLL for (int j = 0; j < 4; ++j) sums[4 * half + j] = AddQuad<8>(sums[4 * half + j], w[j], x);
      }
    }
  } else {
    const std::byte* p = q + strip * kColumnVector + offset;
    const std::byte* planes = q + n / 2 + strip * 16 * (kBits - 4) + part * kLanes;
    for (int i = 0; i < list.n; i += 4) {
      const Quad x = FourOf(list.x + i);
      const int64_t *at = list.at + i;
      Quad both[4], w[8];
      Interleave(LoadQuad(p + at[0]), LoadQuad(p + at[1]), LoadQuad(p + at[2]), LoadQuad(p + at[3]), both);
      TERN_UNROLL for (int j = 0; j < 4; ++j) w[j] = LowHalves(both[j]), w[4 + j] = HighHalves(both[j]);
      const auto plane = [&](int u) __attribute__((always_inline)) {
        const std::byte* r = planes + 16 * u;
        return InterleavePlanes(r + at[0], r + at[1], r + at[2], r + at[3]);
      };
      if constexpr (kBits == 5) WithFifthBits(w, plane(0));
      if constexpr (kBits == 6) {
        WithHighPairs(w, plane(0));
        WithHighPairs(w + 4, plane(1));
      }
      TERN_UNROLL for (int j = 0; j < kStripGroups; ++j) sums[j] = AddQuad<kBits>(sums[j], w[j], x);
    }
  }
}

/// What one token has for a block.
struct TokenBlock {
  const std::byte* q;
  float d, d_sum;
  const std::byte* start;
};
TERN_INLINE TokenBlock TokenBlockAt(const std::byte* x, int T, int t) {
  const std::byte* d = x + T * kPackedBlock + 4 * t;
  return {x + t * kPackedBlock, FloatAt(d), FloatAt(d + 4 * T), x + T * (kPackedBlock + 8) + 8 * t};
}

/// The columns of a block that a token will need, asked for in some steps, while another block is multiplied.
template <typename Type>
class BlockFetch {
 public:
  BlockFetch(const StripRange& range, int64_t column) : range_(range), column_(column) {}

  /// `x`: the block's activations.
  TERN_INLINE void Begin(const std::byte* x, int64_t block) {
    mask_ = NonZeroMask(x);
    if (mask_ == 0) return;
    const ColumnBlock w = Type::At(range_.data, range_.rows, block);
    PrefetchScales<Type>(range_, w);
    q_ = w.q;
  }
  /// Asks for n columns more.
  TERN_INLINE void Step(int n) {
    for (; mask_ != 0 && n > 0; mask_ &= mask_ - 1, --n) PrefetchColumn<Type>(range_, q_ + __builtin_ctz(mask_) * column_);
  }
  TERN_INLINE int left() const { return __builtin_popcount(mask_); }

 private:
  const StripRange& range_;
  const int64_t column_;
  uint32_t mask_ = 0;
  const std::byte* q_ = nullptr;
};

/// sums[row − row0] += the block's products (d is not zero). Halves have scales of their own in some types.
template <typename Type>
TERN_INLINE void AddSparseBlock(const ColumnBlock& w, const TokenBlock& x, const StripRange& range, BlockFetch<Type>& next,
                                float* sums) {
  const int share = static_cast<int>((next.left() + range.strips() - 1) / range.strips());  // of the next block's columns
  const uint32_t mask = NonZeroMask(x.q);
  const Vec d = Set(x.d), d_sum = Set(x.d_sum);
  for (int half = 0; half < Type::kHalves; ++half) {
    const uint32_t of_half = Type::kHalves == 1 ? mask : mask & (0xffffu << (16 * half));
    if (of_half == 0 && x.d == x.d) continue;  // a NaN goes on to the sums
    ColumnList list;
    Fill(list, of_half, x.q, range.rows * Type::kBits / 8);
    Whole start = StartOfSum<Type::kBits, Type::kZero>(x.start);
    if constexpr (Type::kHalves == 2) {
      const Whole low = StartOfSum<Type::kBits, Type::kZero>(x.start + 4);
      start = half == 0 ? low : Minus(start, low);
    }
    for (int64_t strip = range.strip0; strip < range.strip1; ++strip) {
      next.Step(share);
      for (int part = 0; part < kParts; ++part) {
        Whole whole[kStripGroups];
        TERN_UNROLL for (int v = 0; v < kStripGroups; ++v) whole[v] = start;
        AddColumns<Type::kBits>(w.q, range.rows, strip, part, list, whole);
        TERN_UNROLL for (int v = 0; v < kStripGroups; ++v) {
          const int64_t row = strip * kStripRows + v * kGroupRows + part * kLanes;
          float* at = sums + (row - range.row0());
          Vec sum = Fma(ToFloats(whole[v]), Type::Scale(w, range.rows, row, half) * d, Load(at));
          if constexpr (Type::kHasMin) sum = Fma(Type::Min(w, range.rows, row), d_sum, sum);
          Store(at, sum);
        }
      }
    }
  }
}

/// Bytes of weights that are asked for before they are needed.
constexpr int64_t kColumnsAhead = 8192;

/// How many blocks these bytes are, given how many columns a token needs.
TERN_INLINE int64_t BlocksAhead(const PackedTile& tile, int64_t share) {
  const int64_t blocks = tile.w.cols / kPackedBlock;
  const int64_t bytes = (tile.nonzeros / tile.tokens + blocks) * share / blocks + 1;  // of a block
  return 1 + Least(kColumnsAhead / bytes, 32);
}

/// sums [rows of the range] = the products of a segment's columns with token t.
template <typename Type>
void SparseSegment(const PackedTile& tile, int t, const StripRange& range, int segment, float* sums) {
  for (int64_t row = 0; row < range.row1() - range.row0(); row += kLanes) Store(sums + row, Zero());
  const int T = TileTokens(tile.tokens);
  const int64_t begin = SegmentBegin(tile.w.cols, segment) / kPackedBlock;
  const int64_t end = SegmentBegin(tile.w.cols, segment + 1) / kPackedBlock, block_bytes = T * kTokenBlockBytes;
  const int64_t ahead = BlocksAhead(tile, ColumnShare<Type>(range));
  const std::byte* q = tile.x + t * kPackedBlock;
  BlockFetch<Type> fetch(range, range.rows * Type::kBits / 8);
  for (int64_t block = begin; block < Least(begin + ahead, end); ++block) {
    fetch.Begin(q + block * block_bytes, block);
    fetch.Step(kPackedBlock);
  }
  for (int64_t block = begin; block < end; ++block) {
    if (block + ahead < end) fetch.Begin(q + (block + ahead) * block_bytes, block + ahead);
    const TokenBlock x = TokenBlockAt(tile.x + block * block_bytes, T, t);
    if (x.d != 0) AddSparseBlock<Type>(Type::At(range.data, range.rows, block), x, range, fetch, sums);
    fetch.Step(kPackedBlock);
  }
}

// --- several tokens: into the order of packed.h, a panel of columns at a time ---

constexpr int64_t kPanelColumns = 256;
constexpr int64_t kPanelBlocks = kPanelColumns / kPackedBlock;

/// The integers of a block's strip, as groups of layout kPacked `stride` bytes apart.
template <int kBits>
TERN_INLINE void RegroupIntegers(const std::byte* q, int64_t n, int64_t strip, std::byte* to, int64_t stride) {
  const int64_t column = n * kBits / 8;
  for (int part = 0; part < kParts; ++part) {
    const int64_t offset = part * kPartBytes;
    const auto quad_of = [&](const std::byte* p, Quad out[4]) __attribute__((always_inline)) {
      Interleave(LoadQuad(p), LoadQuad(p + column), LoadQuad(p + 2 * column), LoadQuad(p + 3 * column), out);
    };
    if constexpr (kBits == 8) {
      for (int i = 0; i < kBlockQuads; ++i) {
        for (int half = 0; half < 2; ++half) {
          Quad w[4];
          quad_of(q + 4 * i * column + strip * kStripRows + half * kColumnVector + offset, w);
          for (int j = 0; j < 4; ++j) StoreQuad(to + (4 * half + j) * stride + i * kVectorBytes + offset, w[j]);
        }
      }
    } else {
      std::byte* nibbles = to + (kBits - 4) * kVectorBytes + offset;
      for (int i = 0; i < kBlockQuads / 2; ++i) {
        const std::byte* p = q + 4 * i * column + strip * kColumnVector + offset;
        Quad low[4], high[4];
        quad_of(p, low);
        quad_of(p + 16 * column, high);
        for (int j = 0; j < 4; ++j) {
          StoreQuad(nibbles + j * stride + i * kVectorBytes, JoinLowHalves(low[j], high[j]));
          StoreQuad(nibbles + (4 + j) * stride + i * kVectorBytes, JoinHighHalves(low[j], high[j]));
        }
      }
      const std::byte* planes = q + n / 2 + strip * 16 * (kBits - 4) + part * kLanes;
      const auto plane_of = [&](int quad, int u) __attribute__((always_inline)) {
        const std::byte* p = planes + 4 * quad * column + 16 * u;
        return InterleavePlanes(p, p + column, p + 2 * column, p + 3 * column);
      };
      if constexpr (kBits == 5) {
        Quad w[8];
        for (int i = 0; i < 8; ++i) w[i] = plane_of(i, 0);
        TransposeBits(w);
        for (int v = 0; v < kStripGroups; ++v) StoreQuad(to + v * stride + offset, w[v]);
      }
      if constexpr (kBits == 6) {
        for (int u = 0; u < 2; ++u) {
          for (int plane = 0; plane < 2; ++plane) {
            Quad w[4];
            for (int k = 0; k < 4; ++k) w[k] = plane_of(4 * plane + k, u);
            TransposePairs(w);
            for (int k = 0; k < 4; ++k) StoreQuad(to + (4 * u + k) * stride + plane * kVectorBytes + offset, w[k]);
          }
        }
      }
    }
  }
}

/// Block `block`'s rows of a strip as eight groups of layout kPacked, group v at to + v · stride. For super-blocks, `to` is
/// where the block of 256 columns begins.
template <typename Type>
TERN_INLINE void Regroup(const StripRange& range, int64_t strip, int64_t block, std::byte* to, int64_t stride) {
  using Packed = typename Type::Packed;
  const ColumnBlock w = Type::At(range.data, range.rows, block);
  const int64_t n = range.rows, row = strip * kStripRows;
  constexpr int64_t kIntegers = kIntegerBytes<Type::kBits>;
  if constexpr (Packed::kColumns == kPackedBlock) {
    constexpr int64_t kHalves = Type::kHasMin ? 2 : 1;
    for (int v = 0; v < kStripGroups; ++v) {
      for (int64_t i = 0; i < kHalves; ++i) {
        __builtin_memcpy(to + v * stride + 32 * i, w.head + 2 * (i * n + row + 16 * v), 32);
      }
    }
    RegroupIntegers<Type::kBits>(w.q, n, strip, to + 32 * kHalves, stride);
  } else {
    constexpr int64_t kHalves = Type::kHasMin ? 2 : 1, kHead = 32 * kHalves;
    const int64_t sub = block % kPanelBlocks;
    std::byte* own = to + kHead + sub * (32 + kIntegers);
    for (int v = 0; v < kStripGroups; ++v) {
      for (int64_t i = 0; i < kHalves && sub == 0; ++i) {
        __builtin_memcpy(to + v * stride + 32 * i, w.head + 2 * (i * n + row + 16 * v), 32);
      }
      for (int64_t i = 0; i < 2; ++i) __builtin_memcpy(own + v * stride + 16 * i, w.own + i * n + row + 16 * v, 16);
    }
    RegroupIntegers<Type::kBits>(w.q, n, strip, own + 32, stride);
  }
}

/// Tiles times strips that go through the matrix together at most. (Their sums between panels stand here and not in y, whose rows
/// often fall into the same sets of the cache.)
constexpr int64_t kBatchSlots = 8;
struct BatchSums {
  alignas(64) float of[kBatchSlots][kStripGroups][kMostTileTokens * kGroupRows];
};

/// Asks for a range's share of a block.
template <typename Type>
TERN_INLINE void PrefetchBlock(const StripRange& range, int64_t block) {
  const ColumnBlock w = Type::At(range.data, range.rows, block);
  PrefetchScales<Type>(range, w);
  for (int64_t c = 0; c < kPackedBlock; ++c) PrefetchColumn<Type>(range, w.q + c * (range.rows * Type::kBits / 8));
}

/// Asks for a panel's weights in some steps: column after column, since that is how they lie in memory.
template <typename Type>
class PanelFetch {
 public:
  /// Blocks [block, block + blocks) of a range.
  PanelFetch(const StripRange& range, int64_t block, int64_t blocks, int64_t steps)
      : range_(range), block_(block), columns_(blocks * kPackedBlock), steps_(steps) {}

  void Step() {
    for (const int64_t end = columns_ * ++step_ / steps_; column_ < end; ++column_) {
      const ColumnBlock w = Type::At(range_.data, range_.rows, block_ + column_ / kPackedBlock);
      if (column_ % kPackedBlock == 0) PrefetchScales<Type>(range_, w);
      PrefetchColumn<Type>(range_, w.q + column_ % kPackedBlock * (range_.rows * Type::kBits / 8));
    }
  }

 private:
  const StripRange& range_;
  const int64_t block_, columns_, steps_;
  int64_t step_ = 0, column_ = 0;
};

/// Blocks of a segment, [begin, end), and some of these: [block, block + blocks).
struct BlockPanel {
  int64_t begin, end, block, blocks;
};

/// A panel of a range, with those of `count` tiles that are not taken token by token.
template <typename Type>
void DensePanel(const PackedTile* tiles, int64_t count, const StripRange& range, const BlockPanel& panel_at,
                BatchSums& sums) {
  const auto [begin, end, block, blocks] = panel_at;
  using Packed = typename Type::Packed;
  constexpr int64_t kBlocks = Packed::kColumns / kPackedBlock, kStride = kPanelBlocks / kBlocks * Packed::kBytes;
  alignas(64) std::byte panel[kStripGroups * kStride];
  const int64_t all = tiles->w.cols / kPackedBlock;
  // The next panel is asked for while this one is multiplied, a part with each group: all at once would have to be waited for.
  PanelFetch<Type> next(range, block + blocks, Least(kPanelBlocks, all - block - blocks), range.strips() * kStripGroups);
  for (int64_t strip = range.strip0; strip < range.strip1; ++strip) {
    for (int64_t i = 0; i < blocks; ++i) {
      Regroup<Type>(range, strip, block + i, panel + i / kBlocks * Packed::kBytes, kStride);
    }
    bool fetch = true;
    for (int64_t i = 0; i < count; ++i) {
      if (TokenByToken(tiles[i])) continue;
      for (int v = 0; v < kStripGroups; ++v) {
        if (fetch) next.Step();
        PackedPieceOf<Packed>(tiles[i], {.w = panel + v * kStride,
                                         .x = tiles[i].x + block * TileTokens(tiles[i].tokens) * kTokenBlockBytes,
                                         .blocks = blocks / kBlocks,
                                         .row = strip * kStripRows + v * kGroupRows,
                                         .first = block == begin,
                                         .last = block + blocks == end,
                                         .sums = sums.of[i * range.strips() + strip - range.strip0][v],
                                         .add = begin > 0,
                                         .scale = end == all ? tiles[i].scale : 1});
      }
      fetch = false;
    }
  }
}

/// The tiles that are not taken token by token, of which there are some.
template <typename Type>
void DenseStrips(const PackedTile* tiles, int64_t count, const StripRange& range) {
  BatchSums sums;
  for (int64_t i = 0; i < count; i += kBatchSlots) {
    for (int s = 0; s < kColumnSegments; ++s) {
      const int64_t begin = SegmentBegin(tiles->w.cols, s) / kPackedBlock;
      const int64_t end = SegmentBegin(tiles->w.cols, s + 1) / kPackedBlock;
      for (int64_t block = begin; block < end; block += kPanelBlocks) {
        DensePanel<Type>(tiles + i, Least(kBatchSlots, count - i), range,
                         {.begin = begin, .end = end, .block = block, .blocks = Least(kPanelBlocks, end - block)}, sums);
      }
    }
  }
}

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

/// Token t of a tile with all columns; segment(s, sums) gives the sums of one segment, finish(sum) what is stored.
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

template <typename Type>
void ColumnsOf(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  bool dense = false;
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    if (!TokenByToken(*tile)) {
      dense = true;
      continue;
    }
    ForEachRange(tile->w, strip0, strip1, kMostStrips, [&](const StripRange& range) {
      const Vec scale = Set(tile->scale);
      for (int t = 0; t < tile->tokens; ++t) {
        const auto segment = [&](int s, float* sums) { SparseSegment<Type>(*tile, t, range, s, sums); };
        SparseToken(*tile, t, range, segment, [&](Vec sum) __attribute__((always_inline)) { return scale * sum; });
      }
    });
  }
  if (!dense) return;
  ForEachRange(tiles->w, strip0, strip1, StripsOfTiles(tiles, count),
               [&](const StripRange& range) { DenseStrips<Type>(tiles, count, range); });
}

// --- float types: columns in order, one fused multiply-add each ---

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

template <DType type>
void FloatStrips(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  bool dense = false;
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    if (!TokenByToken(*tile)) {
      dense = true;
      continue;
    }
    ForEachRange(tile->w, strip0, strip1, kMostStrips, [&](const StripRange& range) {
      const Vec scale = Set(tile->scale);
      for (int t = 0; t < tile->tokens; ++t) {
        const auto segment = [&](int s, float* sums) { SparseFloatSegment<type>(*tile, t, range, s, sums); };
        SparseToken(*tile, t, range, segment, [&](Vec sum) __attribute__((always_inline)) { return Finished(sum, scale); });
      }
    });
  }
  if (!dense) return;
  ForEachRange(tiles->w, strip0, strip1, StripsOfTiles(tiles, count),
               [&](const StripRange& range) { DenseFloatStrips<type>(tiles, count, range); });
}

inline void ColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  if (count <= 0) return;
  switch (tiles->w.dtype) {
    case DType::kQ8_0: return ColumnsOf<SmallColumns<8, 128, false>>(tiles, count, strip0, strip1);
    case DType::kQ5_1: return ColumnsOf<SmallColumns<5, 0, true>>(tiles, count, strip0, strip1);
    case DType::kQ5_0: return ColumnsOf<SmallColumns<5, 16, false>>(tiles, count, strip0, strip1);
    case DType::kQ4_1: return ColumnsOf<SmallColumns<4, 0, true>>(tiles, count, strip0, strip1);
    case DType::kQ4_0: return ColumnsOf<SmallColumns<4, 8, false>>(tiles, count, strip0, strip1);
    case DType::kQ4_K: return ColumnsOf<SuperColumns<4>>(tiles, count, strip0, strip1);
    case DType::kQ5_K: return ColumnsOf<SuperColumns<5>>(tiles, count, strip0, strip1);
    case DType::kQ6_K: return ColumnsOf<SixBitColumns>(tiles, count, strip0, strip1);
    case DType::kF32: return FloatStrips<DType::kF32>(tiles, count, strip0, strip1);
    case DType::kF16: return FloatStrips<DType::kF16>(tiles, count, strip0, strip1);
    case DType::kBF16: return FloatStrips<DType::kBF16>(tiles, count, strip0, strip1);
    default: return;
  }
}

[[maybe_unused]] void ColumnSegment(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums) {
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

[[maybe_unused]] void AddSegments(const PackedTile& tile, const float* sums) {
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
