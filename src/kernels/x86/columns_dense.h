// Several tokens of quantised columns: put into the order of packed.h, a panel of columns at a time.
#pragma once

#include "kernels/x86/columns_layout.h"

namespace tern::kernels {
namespace {

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

}  // namespace
}  // namespace tern::kernels
