// Products of packed weights with quantised activations, for whichever Vec and Quad were included before. The layouts
// are drawn in kernels/packing.h; kernels/ref/packed.h is the same in scalar code, bit for bit: a block's integer sum is
// exact, and the blocks are added in order by one fused multiply-add each.
#pragma once

namespace tern::kernels {
namespace {

constexpr int kParts = static_cast<int>(kGroupRows) / kLanes;  ///< registers for a group's sixteen rows
constexpr int kBlockQuads = 8;
constexpr int64_t kVectorBytes = 64;                           ///< a quad of all sixteen rows
constexpr int kPartBytes = 4 * kLanes;                         ///< a part's share of it

/// The eight quads of a block for part `part`, from packed integers of kBits each.
template <int kBits>
TERN_INLINE void UnpackQuads(const std::byte* p, int part, Quad q[kBlockQuads]) {
  p += part * kPartBytes;
  if constexpr (kBits == 8) {
    TERN_UNROLL for (int i = 0; i < kBlockQuads; ++i) q[i] = LoadQuad(p + i * kVectorBytes);
  } else {
    const std::byte* nibbles = p + (kBits == 5 ? 1 : kBits == 6 ? 2 : 0) * kVectorBytes;
    TERN_UNROLL for (int i = 0; i < kBlockQuads / 2; ++i) {
      const Quad both = LoadQuad(nibbles + i * kVectorBytes);
      q[i] = LowHalves(both);
      q[i + kBlockQuads / 2] = HighHalves(both);
    }
  }
  if constexpr (kBits == 5) {
    const Quad high = LoadQuad(p);
    q[0] = WithHighBits<0, 1>(q[0], high), q[1] = WithHighBits<1, 1>(q[1], high);
    q[2] = WithHighBits<2, 1>(q[2], high), q[3] = WithHighBits<3, 1>(q[3], high);
    q[4] = WithHighBits<4, 1>(q[4], high), q[5] = WithHighBits<5, 1>(q[5], high);
    q[6] = WithHighBits<6, 1>(q[6], high), q[7] = WithHighBits<7, 1>(q[7], high);
  }
  if constexpr (kBits == 6) {
    TERN_UNROLL for (int plane = 0; plane < 2; ++plane) {
      const Quad high = LoadQuad(p + plane * kVectorBytes);
      Quad* four = q + 4 * plane;
      four[0] = WithHighBits<0, 2>(four[0], high), four[1] = WithHighBits<2, 2>(four[1], high);
      four[2] = WithHighBits<4, 2>(four[2], high), four[3] = WithHighBits<6, 2>(four[3], high);
    }
  }
}

template <int kBits>
constexpr int64_t kIntegerBytes = 8 * kBits * 8;  ///< 16 rows × 32 columns × kBits / 8

TERN_INLINE float FloatAt(const std::byte* p) {
  float value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

/// A block's weights in registers, for one part.
struct BlockWeights {
  Quad q[kBlockQuads];
  Vec scale, min;
};

/// sums[t] += the block's products with T tokens; x: the block of a tile (kernels/packing.h).
template <int kBits, int kZero, bool kHasMin, int T>
TERN_INLINE void AddBlock(const BlockWeights& w, const std::byte* x, Vec* sums) {
  const std::byte *d = x + T * kPackedBlock, *d_sum = d + T * 4, *start = d_sum + T * 4;
  TERN_UNROLL_TOKENS for (int t = 0; t < T; ++t) {
    const Whole n = DotQuads<kBits, kBlockQuads>(w.q, x + t * kPackedBlock, StartOfSum<kBits, kZero>(start + 8 * t));
    sums[t] = Fma(ToFloats(n), w.scale * Set(FloatAt(d + 4 * t)), sums[t]);
    if constexpr (kHasMin) sums[t] = Fma(w.min, Set(FloatAt(d_sum + 4 * t)), sums[t]);
  }
}

/// Types with blocks of 32 columns: | d | (m) | integers |.
template <int kBits, int kZero, bool kHasMin>
struct Small {
  static constexpr int64_t kColumns = 32;
  static constexpr int64_t kHead = 2 * kGroupRows * (kHasMin ? 2 : 1);
  static constexpr int64_t kBytes = kHead + kIntegerBytes<kBits>;

  template <int T>
  static TERN_INLINE void Add(const std::byte* p, const std::byte* x, Vec (&sums)[kParts][T]) {
    TERN_UNROLL for (int part = 0; part < kParts; ++part) {
      BlockWeights w;
      w.scale = LoadF16(p + part * kLanes * 2);
      if constexpr (kHasMin) w.min = LoadF16(p + 2 * kGroupRows + part * kLanes * 2);
      UnpackQuads<kBits>(p + kHead, part, w.q);
      AddBlock<kBits, kZero, kHasMin, T>(w, x, sums[part]);
    }
  }
};

/// Q4_K and Q5_K: | d | dmin | 8 × | s | m | integers | |.
template <int kBits>
struct Super {
  static constexpr int64_t kColumns = 256;
  static constexpr int64_t kSubBytes = 2 * kGroupRows + kIntegerBytes<kBits>;
  static constexpr int64_t kBytes = 4 * kGroupRows + 8 * kSubBytes;

  template <int T>
  static TERN_INLINE void Add(const std::byte* p, const std::byte* x, Vec (&sums)[kParts][T]) {
    Vec d[kParts], dmin[kParts];
    TERN_UNROLL for (int part = 0; part < kParts; ++part) {
      d[part] = LoadF16(p + part * kLanes * 2);
      dmin[part] = Zero() - LoadF16(p + 2 * kGroupRows + part * kLanes * 2);
    }
    p += 4 * kGroupRows;
    for (int sub = 0; sub < 8; ++sub, p += kSubBytes, x += T * kTokenBlockBytes) {
      TERN_UNROLL for (int part = 0; part < kParts; ++part) {
        BlockWeights w;
        w.scale = d[part] * UnsignedBytes(p + part * kLanes);
        w.min = dmin[part] * UnsignedBytes(p + kGroupRows + part * kLanes);
        UnpackQuads<kBits>(p + 2 * kGroupRows, part, w.q);
        AddBlock<kBits, 0, true, T>(w, x, sums[part]);
      }
    }
  }
};

/// Q6_K: | d | 8 × | s of the first half | s of the second | integers | |.
struct SixBits {
  static constexpr int64_t kColumns = 256;
  static constexpr int64_t kSubBytes = 2 * kGroupRows + kIntegerBytes<6>;
  static constexpr int64_t kBytes = 2 * kGroupRows + 8 * kSubBytes;

  template <int T>
  static TERN_INLINE void Add(const std::byte* p, const std::byte* x, Vec (&sums)[kParts][T]) {
    const std::byte* d_at = p;
    p += 2 * kGroupRows;
    for (int sub = 0; sub < 8; ++sub, p += kSubBytes, x += T * kTokenBlockBytes) {
      TERN_UNROLL for (int part = 0; part < kParts; ++part) {
        const Vec d = LoadF16(d_at + part * kLanes * 2);
        const Vec low = d * SignedBytes(p + part * kLanes), high = d * SignedBytes(p + kGroupRows + part * kLanes);
        Quad q[kBlockQuads];
        UnpackQuads<6>(p + 2 * kGroupRows, part, q);
        const std::byte *x_d = x + T * kPackedBlock, *start = x_d + T * 8;
        TERN_UNROLL_TOKENS for (int t = 0; t < T; ++t) {
          const std::byte* x_q = x + t * kPackedBlock;
          const Vec scale = Set(FloatAt(x_d + 4 * t));
          const Whole whole = StartOfSum<6, 32>(start + 8 * t), half = StartOfSum<6, 32>(start + 8 * t + 4);
          const Whole a = DotQuads<6, 4>(q, x_q, half), b = DotQuads<6, 4>(q + 4, x_q + 16, Minus(whole, half));
          sums[part][t] = Fma(ToFloats(a), low * scale, sums[part][t]);
          sums[part][t] = Fma(ToFloats(b), high * scale, sums[part][t]);
        }
      }
    }
  }
};

/// One token's activations as integers (see ref::QuantiseToken; the same operations in the same order).
inline void QuantiseToken(const float* x, int64_t n, std::byte* tile, int T, int t) {
  constexpr int kVecs = static_cast<int>(kPackedBlock) / kLanes;
  for (int64_t block = 0; block < n / kPackedBlock; ++block, x += kPackedBlock, tile += T * kTokenBlockBytes) {
    std::byte *q = tile + t * kPackedBlock, *d_at = tile + T * kPackedBlock + t * 4, *start_at = d_at + T * 8 + t * 4;
    Vec most = Zero(), check = Zero();
    TERN_UNROLL for (int i = 0; i < kVecs; ++i) {
      const Vec v = Load(x + i * kLanes);
      most = Max(most, Abs(v));
      check = Fma(v, Zero(), check);
    }
    const float largest = Most(most), zero_or_nan = NonZeroLanes(check) == 0 ? 0.0f : Sum(check);
    const bool usable = zero_or_nan == 0 && largest >= 0x1p-100f;
    int32_t sum[2] = {};
    if (usable) {
      const Vec inverse = Set(127.0f / largest);
      TERN_UNROLL for (int i = 0; i < kVecs; ++i) {
        sum[i * 2 / kVecs] += StoreSignedBytes(q + i * kLanes, Load(x + i * kLanes) * inverse);
      }
    } else {
      __builtin_memset(q, 0, kPackedBlock);
    }
    const float d = (usable ? largest / 127.0f : 0.0f) + zero_or_nan, d_sum = d * static_cast<float>(sum[0] + sum[1]);
    __builtin_memcpy(d_at, &d, sizeof d);
    __builtin_memcpy(d_at + T * 4, &d_sum, sizeof d_sum);
    const int32_t start[2] = {-128 * (sum[0] + sum[1]), -128 * sum[0]};
    __builtin_memcpy(start_at, start, sizeof start);
  }
}

/// How far ahead weights are asked for when few tokens share them. (kernels.md tells what was measured.)
constexpr int64_t kPackedAhead = 4096;

/// Sixteen rows and some columns of a product.
struct Piece {
  const std::byte* w;
  const std::byte* x;        ///< of the tile, at the same column
  int64_t blocks;            ///< of the type's columns
  int64_t row;
  bool fetch = false;        ///< ask for the weights that follow in memory
  bool first = true, last = true;  ///< of the pieces of these rows (or of a segment: kernels/packing.h)
  float* sums = nullptr;     ///< what goes from one piece to the next: kParts · T registers
  bool add = false;          ///< the last adds to what y holds …
  float scale = 1;           ///< … and multiplies that
};

/// Calls fn(part, t, y, rest) for each register of sums of a tile's real tokens: y has `rest` rows from there on.
template <int T, typename Fn>
TERN_INLINE void ForEachSum(const PackedTile& tile, int64_t row, const Fn& fn) {
  TERN_UNROLL_ALL for (int t = 0; t < T; ++t) {
    if (t >= tile.tokens) break;
    TERN_UNROLL for (int part = 0; part < kParts; ++part) {
      const int64_t first = row + part * kLanes, rest = tile.w.rows - first;
      if (rest > 0) fn(part, t, tile.y + t * tile.y_stride + first, rest);
    }
  }
}

/// One piece, one tile of T tokens (of which tile.tokens are real).
template <typename Type, int T>
void PackedPiece(const PackedTile& tile, const Piece& piece) {
  const std::byte *p = piece.w, *x = piece.x;
  Vec sums[kParts][T];
  TERN_UNROLL for (int part = 0; part < kParts; ++part) {
    TERN_UNROLL_ALL for (int t = 0; t < T; ++t) sums[part][t] = Zero();
  }
  if (!piece.first) {
    TERN_UNROLL for (int part = 0; part < kParts; ++part) {
      TERN_UNROLL_ALL for (int t = 0; t < T; ++t) sums[part][t] = Load(piece.sums + (part * T + t) * kLanes);
    }
  }
  for (int64_t block = 0; block < piece.blocks; ++block) {
    if (piece.fetch) {
      for (int64_t b = 0; b < Type::kBytes; b += 64) Prefetch(p + kPackedAhead + b);
    }
    Type::Add(p, x, sums);
    p += Type::kBytes;
    x += T * kTokenBlockBytes * (Type::kColumns / kPackedBlock);
  }
  if (!piece.last) {
    TERN_UNROLL for (int part = 0; part < kParts; ++part) {
      TERN_UNROLL_ALL for (int t = 0; t < T; ++t) Store(piece.sums + (part * T + t) * kLanes, sums[part][t]);
    }
    return;
  }
  const Vec scale = Set(piece.scale);
  ForEachSum<T>(tile, piece.row, [&](int part, int t, float* y, int64_t rest) __attribute__((always_inline)) {
    Vec sum = sums[part][t];
    if (piece.add) sum = (rest >= kLanes ? Load(y) : Load(y, rest)) + sum;
    if (rest >= kLanes) {
      Store(y, scale * sum);
    } else {
      Store(y, scale * sum, rest);
    }
  });
}

template <typename Type>
void PackedPieceOf(const PackedTile& tile, const Piece& piece) {
  switch (TileTokens(tile.tokens)) {
    case 1: return PackedPiece<Type, 1>(tile, piece);
    case 2: return PackedPiece<Type, 2>(tile, piece);
    case 3: return PackedPiece<Type, 3>(tile, piece);
    case 4: return PackedPiece<Type, 4>(tile, piece);
    case 5: return PackedPiece<Type, 5>(tile, piece);
    case 6: return PackedPiece<Type, 6>(tile, piece);
    case 7: return PackedPiece<Type, 7>(tile, piece);
    case 8: return PackedPiece<Type, 8>(tile, piece);
    case 10: return PackedPiece<Type, 10>(tile, piece);
    case 12: return PackedPiece<Type, 12>(tile, piece);
    case 14: return PackedPiece<Type, 14>(tile, piece);
    case 16: return PackedPiece<Type, 16>(tile, piece);
  }
}

template <typename Type>
void PackedOf(const PackedTile& tile, int64_t group0, int64_t group1) {
  const int64_t blocks = tile.w.cols / Type::kColumns;
  for (int64_t group = group0; group < group1; ++group) {
    PackedPieceOf<Type>(tile, {.w = tile.w.data + group * blocks * Type::kBytes, .x = tile.x, .blocks = blocks,
                               .row = group * kGroupRows, .fetch = tile.fetch, .scale = tile.scale});
  }
}

inline void PackedMatMul(const PackedTile& tile, int64_t group0, int64_t group1) {
  switch (tile.w.dtype) {
    case DType::kQ8_0: return PackedOf<Small<8, 128, false>>(tile, group0, group1);
    case DType::kQ5_1: return PackedOf<Small<5, 0, true>>(tile, group0, group1);
    case DType::kQ5_0: return PackedOf<Small<5, 16, false>>(tile, group0, group1);
    case DType::kQ4_1: return PackedOf<Small<4, 0, true>>(tile, group0, group1);
    case DType::kQ4_0: return PackedOf<Small<4, 8, false>>(tile, group0, group1);
    case DType::kQ4_K: return PackedOf<Super<4>>(tile, group0, group1);
    case DType::kQ5_K: return PackedOf<Super<5>>(tile, group0, group1);
    case DType::kQ6_K: return PackedOf<SixBits>(tile, group0, group1);
    default: return;
  }
}

}  // namespace
}  // namespace tern::kernels
