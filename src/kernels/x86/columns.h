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

/// The counterparts of packed.h's types. Kernels are given n, the rows of the group.
template <int bits, int zero, bool has_min>
struct SmallColumns {
  using Packed = Small<bits, zero, has_min>;
  static constexpr int kBits = bits, kZero = zero, kHalves = 1;
  static constexpr bool kHasMin = has_min;

  static TERN_INLINE ColumnBlock At(const std::byte* group, int64_t n, int64_t block) {
    const int64_t head = has_min ? 4 * n : 2 * n;
    const std::byte* p = group + block * (head + 4 * bits * n);
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

  static TERN_INLINE ColumnBlock At(const std::byte* group, int64_t n, int64_t block) {
    const int64_t sub = 2 * n + 4 * bits * n;
    const std::byte* head = group + block / 8 * (4 * n + 8 * sub);
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

  static TERN_INLINE ColumnBlock At(const std::byte* group, int64_t n, int64_t block) {
    const int64_t sub = 2 * n + 4 * 6 * n;
    const std::byte* head = group + block / 8 * (2 * n + 8 * sub);
    const std::byte* own = head + 2 * n + block % 8 * sub;
    return {head, own, own + 2 * n};
  }
  static TERN_INLINE int64_t OwnBytes(int64_t n) { return 2 * n; }
  static TERN_INLINE Vec Scale(const ColumnBlock& b, int64_t n, int64_t row, int half) {
    return LoadF16(b.head + 2 * row) * SignedBytes(b.own + half * n + row);
  }
  static TERN_INLINE Vec Min(const ColumnBlock&, int64_t, int64_t) { return Zero(); }
};

/// Some strips of a group of `rows` rows, the first of which is `row` of the matrix.
struct StripRange {
  const std::byte* group;
  int64_t rows, row;
  int64_t strip0, strip1;
};

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

/// sums[row] += the block's products (d is not zero). Halves have scales of their own in some types.
template <typename Type>
TERN_INLINE void AddSparseBlock(const ColumnBlock& w, const TokenBlock& x, const StripRange& range, float* sums) {
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
      for (int part = 0; part < kParts; ++part) {
        Whole whole[kStripGroups];
        TERN_UNROLL for (int v = 0; v < kStripGroups; ++v) whole[v] = start;
        AddColumns<Type::kBits>(w.q, range.rows, strip, part, list, whole);
        TERN_UNROLL for (int v = 0; v < kStripGroups; ++v) {
          const int64_t row = strip * kStripRows + v * kGroupRows + part * kLanes;
          Vec sum = Fma(ToFloats(whole[v]), Type::Scale(w, range.rows, row, half) * d, Load(sums + row));
          if constexpr (Type::kHasMin) sum = Fma(Type::Min(w, range.rows, row), d_sum, sum);
          Store(sums + row, sum);
        }
      }
    }
  }
}

/// The columns that a token will need of a block, asked for in the order they lie in memory. (The hardware's prefetcher
/// cannot know which these are.)
template <typename Type>
TERN_INLINE void PrefetchColumns(const StripRange& range, const std::byte* x, int64_t block) {
  uint32_t mask = NonZeroMask(x);
  if (mask == 0) return;
  const ColumnBlock w = Type::At(range.group, range.rows, block);
  for (int64_t i = 0; i < Type::OwnBytes(range.rows); i += 64) Prefetch(w.own + i);
  const int64_t bytes = range.rows * Type::kBits / 8;
  for (; mask != 0; mask &= mask - 1) {
    const std::byte* column = w.q + __builtin_ctz(mask) * bytes;
    for (int64_t i = 0; i < bytes; i += 64) Prefetch(column + i);
    if (bytes % 64 != 0) Prefetch(column + bytes - 1);
  }
}

/// Bytes of weights that are asked for before they are needed.
constexpr int64_t kColumnsAhead = 8192;

/// How many blocks these bytes are, given how many columns a token needs.
TERN_INLINE int64_t BlocksAhead(const PackedTile& tile, int64_t column_bytes) {
  const int64_t blocks = tile.w.cols / kPackedBlock;
  const int64_t bytes = (tile.nonzeros / tile.tokens + blocks) * column_bytes / blocks + 1;  // of a block
  return 1 + Least(kColumnsAhead / bytes, 32);
}

template <typename Type>
void SparseToken(const PackedTile& tile, int t, const StripRange& range) {
  alignas(64) float sums[kMostGroupRows];
  for (int64_t row = range.strip0 * kStripRows; row < range.strip1 * kStripRows; row += kLanes) Store(sums + row, Zero());
  const int T = TileTokens(tile.tokens);
  const int64_t blocks = tile.w.cols / kPackedBlock, block_bytes = T * kTokenBlockBytes;
  const int64_t ahead = BlocksAhead(tile, range.rows * Type::kBits / 8);
  const std::byte* q = tile.x + t * kPackedBlock;
  for (int64_t block = 0; block < Least(ahead, blocks); ++block) {
    PrefetchColumns<Type>(range, q + block * block_bytes, block);
  }
  for (int64_t block = 0; block < blocks; ++block) {
    if (block + ahead < blocks) PrefetchColumns<Type>(range, q + (block + ahead) * block_bytes, block + ahead);
    const TokenBlock x = TokenBlockAt(tile.x + block * block_bytes, T, t);
    if (x.d == 0) continue;
    AddSparseBlock<Type>(Type::At(range.group, range.rows, block), x, range, sums);
  }
  const Vec scale = Set(tile.scale);
  for (int64_t row = range.strip0 * kStripRows; row < range.strip1 * kStripRows; row += kLanes) {
    StoreRows(tile, t, range.row + row, scale * Load(sums + row));
  }
}

// --- several tokens: into the order of packed.h, a panel of columns at a time ---

constexpr int64_t kPanelColumns = 256;
constexpr int64_t kPanelBlocks = kPanelColumns / kPackedBlock;
static_assert(kPanelBlocks == kStripGroups, "the next panel's blocks are asked for group by group");

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
  const ColumnBlock w = Type::At(range.group, range.rows, block);
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

/// Tiles that go through a strip together. (Their sums between panels stand here and not in y, whose rows often fall into
/// the same sets of the cache.)
constexpr int64_t kBatchTiles = 8;
struct BatchSums {
  alignas(64) float of[kBatchTiles][kStripGroups][kMostTileTokens * kGroupRows];
};

/// Asks for a strip's share of a block.
template <typename Type>
TERN_INLINE void PrefetchStrip(const StripRange& range, int64_t strip, int64_t block) {
  const ColumnBlock w = Type::At(range.group, range.rows, block);
  constexpr int64_t kScale = Type::Packed::kColumns == kPackedBlock ? 2 : 1;  // bytes
  for (int64_t i = 0; i < Type::OwnBytes(range.rows); i += kScale * range.rows) {
    for (int64_t b = 0; b < kScale * kStripRows; b += 64) Prefetch(w.own + i + strip * kScale * kStripRows + b);
  }
  const int64_t column = range.rows * Type::kBits / 8, share = kStripRows * Type::kBits / 8;
  const std::byte* p = w.q + strip * share;
  for (int64_t c = 0; c < kPackedBlock; ++c, p += column) {
    for (int64_t b = 0; b < share; b += 64) Prefetch(p + b);
  }
}

/// Blocks [block, block + blocks) of a strip, with those of `count` tiles that are not taken token by token.
template <typename Type>
void DensePanel(const PackedTile* tiles, int64_t count, const StripRange& range, int64_t strip, int64_t block,
                int64_t blocks, BatchSums& sums) {
  using Packed = typename Type::Packed;
  constexpr int64_t kBlocks = Packed::kColumns / kPackedBlock, kStride = kPanelBlocks / kBlocks * Packed::kBytes;
  alignas(64) std::byte panel[kStripGroups * kStride];
  for (int64_t i = 0; i < blocks; ++i) {
    Regroup<Type>(range, strip, block + i, panel + i / kBlocks * Packed::kBytes, kStride);
  }
  // The next panel is asked for while this one is multiplied, a part with each group: all at once would have to be waited for.
  bool fetch = true;
  const int64_t all = tiles->w.cols / kPackedBlock;
  for (int64_t i = 0; i < count; ++i) {
    if (TokenByToken(tiles[i])) continue;
    for (int v = 0; v < kStripGroups; ++v) {
      if (fetch && block + blocks + v < all) PrefetchStrip<Type>(range, strip, block + blocks + v);
      PackedPieceOf<Packed>(tiles[i], {.w = panel + v * kStride,
                                       .x = tiles[i].x + block * TileTokens(tiles[i].tokens) * kTokenBlockBytes,
                                       .blocks = blocks / kBlocks,
                                       .row = range.row + strip * kStripRows + v * kGroupRows,
                                       .first = block == 0,
                                       .last = block + blocks == all,
                                       .sums = sums.of[i][v]});
    }
    fetch = false;
  }
}

template <typename Type>
void QuantisedStrips(const PackedTile* tiles, int64_t count, const StripRange& range) {
  bool dense = false;
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    if (!TokenByToken(*tile)) {
      dense = true;
      continue;
    }
    for (int t = 0; t < tile->tokens; ++t) SparseToken<Type>(*tile, t, range);
  }
  const int64_t blocks = tiles->w.cols / kPackedBlock;
  BatchSums sums;
  for (int64_t strip = range.strip0; dense && strip < range.strip1; ++strip) {
    for (int64_t i = 0; i < count; i += kBatchTiles) {
      for (int64_t block = 0; block < blocks; block += kPanelBlocks) {
        DensePanel<Type>(tiles + i, Least(kBatchTiles, count - i), range, strip, block,
                         Least(kPanelBlocks, blocks - block), sums);
      }
    }
  }
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

/// How many columns ahead of the products the next are asked for.
constexpr int64_t kFloatColumnsAhead = 16;

/// sums [kStripRows] += the listed columns; w: the strip.
template <DType type>
TERN_INLINE void AddFloatColumns(const std::byte* w, const FloatList& list, float* sums) {
  constexpr int kVecs = 8;
  constexpr int64_t kColumnBytes = kStripRows * kFloatBytes<type>;
  for (int64_t row = 0; row < kStripRows; row += kVecs * kLanes) {
    Vec sum[kVecs];
    TERN_UNROLL for (int v = 0; v < kVecs; ++v) sum[v] = Load(sums + row + v * kLanes);
    for (int64_t i = 0; i < list.n; ++i) {
      if (row == 0) {
        const std::byte* next = w + list.column[Least(i + kFloatColumnsAhead, list.n - 1)] * kColumnBytes;
        TERN_UNROLL for (int64_t b = 0; b < kColumnBytes; b += 64) Prefetch(next + b);
      }
      const std::byte* p = w + list.column[i] * kColumnBytes + row * kFloatBytes<type>;
      const Vec x = Set(list.x[i]);
      TERN_UNROLL for (int v = 0; v < kVecs; ++v) {
        sum[v] = Fma(LoadWeights<type>(p + v * kLanes * kFloatBytes<type>), x, sum[v]);
      }
    }
    TERN_UNROLL for (int v = 0; v < kVecs; ++v) Store(sums + row + v * kLanes, sum[v]);
  }
}

template <DType type>
void SparseFloatToken(const PackedTile& tile, int t, const std::byte* w, int64_t row) {
  alignas(64) float sums[kStripRows];
  for (int64_t i = 0; i < kStripRows; i += kLanes) Store(sums + i, Zero());
  for (int64_t col = 0; col < tile.w.cols; col += FloatList::kMost) {
    FloatList list;
    Fill(list, tile.x, ColumnTileTokens(tile.tokens), t, col, Least(FloatList::kMost, tile.w.cols - col));
    AddFloatColumns<type>(w, list, sums);
  }
  const Vec scale = Set(tile.scale);
  for (int64_t i = 0; i < kStripRows; i += kLanes) StoreRows(tile, t, row + i, Finished(Load(sums + i), scale));
}

/// Columns that go through all tiles before the next do: they stay in the first-level cache.
constexpr int64_t kFloatPanel = 64;

/// Columns [col, col + cols) of a strip with a tile of T tokens; sums [kStripRows · T] hold what goes from one panel to the
/// next.
template <DType type, int T>
void DenseFloatPanel(const PackedTile& tile, const std::byte* w, int64_t row, int64_t col, int64_t cols, float* sums) {
  constexpr int kVecs = kLanes == 16 ? 2 : 1;  // with up to 12 tokens, what the registers hold
  constexpr int64_t kColumnBytes = kStripRows * kFloatBytes<type>;
  const bool last = col + cols == tile.w.cols;
  const Vec scale = Set(tile.scale);
  for (int64_t v = 0; v < kStripRows; v += kVecs * kLanes) {
    Vec sum[kVecs][T];
    TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
      TERN_UNROLL for (int i = 0; i < kVecs; ++i) {
        sum[i][t] = col > 0 ? Load(sums + (v + i * kLanes) * T + t * kLanes) : Zero();
      }
    }
    const std::byte *p = w + col * kColumnBytes + v * kFloatBytes<type>, *x = tile.x + col * T * 4;
    for (int64_t k = 0; k < cols; ++k, p += kColumnBytes, x += 4 * T) {
      // The same rows of the next panel: spread over all rows' turns, since all at once would have to be waited for.
      if (v * kFloatBytes<type> % 64 == 0) {
        TERN_UNROLL for (int64_t b = 0; b < kVecs * kLanes * kFloatBytes<type>; b += 64) {
          Prefetch(p + kFloatPanel * kColumnBytes + b);
        }
      }
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
          StoreRows(tile, t, row + v + i * kLanes, Finished(sum[i][t], scale));
        }
      }
    }
  }
}

template <DType type>
void DenseFloatPanelOf(const PackedTile& tile, const std::byte* w, int64_t row, int64_t col, int64_t cols,
                       float* sums) {
  switch (ColumnTileTokens(tile.tokens)) {
    case 2: return DenseFloatPanel<type, 2>(tile, w, row, col, cols, sums);
    case 4: return DenseFloatPanel<type, 4>(tile, w, row, col, cols, sums);
    case 6: return DenseFloatPanel<type, 6>(tile, w, row, col, cols, sums);
    case 8: return DenseFloatPanel<type, 8>(tile, w, row, col, cols, sums);
    case 10: return DenseFloatPanel<type, 10>(tile, w, row, col, cols, sums);
    case 12: return DenseFloatPanel<type, 12>(tile, w, row, col, cols, sums);
  }
}

/// One strip, which is a group.
template <DType type>
void FloatStrip(const PackedTile* tiles, int64_t count, int64_t strip) {
  const int64_t row = strip * kStripRows, all = tiles->w.cols;
  const std::byte* w = tiles->w.data + row * all * kFloatBytes<type>;
  for (const PackedTile* tile = tiles; tile < tiles + count; ++tile) {
    for (int t = 0; t < tile->tokens && TokenByToken(*tile); ++t) SparseFloatToken<type>(*tile, t, w, row);
  }
  alignas(64) float sums[kBatchTiles][kStripRows * kMostColumnTileTokens];
  for (int64_t tile = 0; tile < count; tile += kBatchTiles) {
    for (int64_t col = 0; col < all; col += kFloatPanel) {
      for (int64_t i = 0; i < Least(kBatchTiles, count - tile); ++i) {
        if (TokenByToken(tiles[tile + i])) continue;
        DenseFloatPanelOf<type>(tiles[tile + i], w, row, col, Least(kFloatPanel, all - col), sums[i]);
      }
    }
  }
}

template <DType type>
void FloatStrips(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  for (int64_t strip = strip0; strip < strip1; ++strip) FloatStrip<type>(tiles, count, strip);
}

/// Group by group.
template <typename Type>
void ColumnsOf(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  const MatrixView& w = tiles->w;
  const int64_t full = ColumnGroupRows(w.dtype, w.rows), strips = full / kStripRows;
  const int64_t all = (w.rows + kStripRows - 1) / kStripRows;
  while (strip0 < strip1) {
    const int64_t group = strip0 / strips, first = group * strips, end = Least(first + strips, all);
    QuantisedStrips<Type>(tiles, count,
                          {.group = w.data + ColumnBytes(w.dtype, group * full, w.cols),
                           .rows = (end - first) * kStripRows,
                           .row = group * full,
                           .strip0 = strip0 - first,
                           .strip1 = Least(strip1, end) - first});
    strip0 = end;
  }
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

}  // namespace
}  // namespace tern::kernels
