// One token of quantised columns: only those that meet something.
#pragma once

#include "kernels/x86/columns_layout.h"

namespace tern::kernels {
namespace {

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

}  // namespace
}  // namespace tern::kernels
