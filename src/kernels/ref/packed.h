// Products of packed weights with quantised activations, in scalar code: the oracle for the levels, which must give the
// same bits. Layouts: kernels/packing.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/packing.h"
#include "tensor/dtype.h"

namespace tern::kernels::ref {

/// Activations below this (2^-100) are zero: 127 / max|x| must stay finite.
inline constexpr float kLeastActivation = 0x1p-100f;

/// Where the parts of one block of a tile lie.
struct TileBlock {
  std::byte* at;
  int T;
  std::byte* q(int t) const { return at + t * kPackedBlock; }
  std::byte* d(int t) const { return at + T * kPackedBlock + t * 4; }
  std::byte* d_sum(int t) const { return at + T * (kPackedBlock + 4) + t * 4; }
  std::byte* start(int t, int which) const { return at + T * (kPackedBlock + 8) + t * 8 + which * 4; }
};

inline TileBlock BlockOfTile(const std::byte* tile, int T, int64_t block) {
  return {const_cast<std::byte*>(tile) + block * T * kTokenBlockBytes, T};
}

template <typename Number>
Number LoadAs(const std::byte* p) {
  Number value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <typename Number>
void StoreAs(std::byte* p, Number value) {
  std::memcpy(p, &value, sizeof value);
}

inline void QuantiseToken(const float* x, int64_t n, std::byte* tile, int T, int t) {
  for (int64_t block = 0; block < n / kPackedBlock; ++block, x += kPackedBlock) {
    const TileBlock to = BlockOfTile(tile, T, block);
    float most = 0, check = 0;  // check becomes NaN where x is not finite, and stays 0 otherwise
    for (int i = 0; i < kPackedBlock; ++i) {
      most = std::max(most, std::abs(x[i]));
      check += x[i] * 0.0f;
    }
    const bool usable = check == 0 && most >= kLeastActivation;
    const float inverse = usable ? 127.0f / most : 0.0f;
    int32_t sum[2] = {};
    for (int i = 0; i < kPackedBlock; ++i) {
      const auto q = static_cast<int8_t>(usable ? std::nearbyint(x[i] * inverse) : 0.0f);
      StoreAs(to.q(t) + i, q);
      sum[i / 16] += q;
    }
    const float d = (usable ? most / 127.0f : 0.0f) + check;
    StoreAs(to.d(t), d);
    StoreAs(to.d_sum(t), d * static_cast<float>(sum[0] + sum[1]));
    StoreAs(to.start(t, 0), -128 * (sum[0] + sum[1]));
    StoreAs(to.start(t, 1), -128 * sum[0]);
  }
}

/// One row's weights of a block, as the packed layout keeps them.
struct PackedRow {
  int q[kPackedBlock];
  float scale[2];  ///< of each half of the columns
  float min;       ///< what stands for q = 0 beside `zero`, with its sign
};

inline float HalfAt(const std::byte* p, int row) { return Fp16ToFloat(LoadAs<uint16_t>(p + 2 * row)); }

/// Reads the integers of row `row`; p at their first byte.
inline void ReadIntegers(const std::byte* p, int bits, int row, int* q) {
  const std::byte* nibbles = p + (bits == 5 ? 64 : bits == 6 ? 128 : 0);
  for (int c = 0; c < kPackedBlock; ++c) {
    const int quad = c / 4, byte = 4 * row + c % 4;
    const auto at = [&](const std::byte* base, int vector) { return std::to_integer<int>(base[64 * vector + byte]); };
    if (bits == 8) {
      q[c] = at(p, quad);
      continue;
    }
    q[c] = quad < 4 ? at(nibbles, quad) & 15 : at(nibbles, quad - 4) >> 4;
    if (bits == 5) q[c] |= ((at(p, 0) >> quad) & 1) << 4;
    if (bits == 6) q[c] |= ((at(p, quad / 4) >> (2 * (quad % 4))) & 3) << 4;
  }
}

/// What distinguishes the types. `zero` is the integer that stands for 0.
struct PackedType {
  int bits, zero, columns;
  bool has_min;
};
inline PackedType PackedTypeOf(DType type) {
  switch (type) {
    case DType::kQ8_0: return {8, 128, 32, false};
    case DType::kQ5_1: return {5, 0, 32, true};
    case DType::kQ5_0: return {5, 16, 32, false};
    case DType::kQ4_1: return {4, 0, 32, true};
    case DType::kQ4_0: return {4, 8, 32, false};
    case DType::kQ4_K: return {4, 0, 256, true};
    case DType::kQ5_K: return {5, 0, 256, true};
    default: return {6, 32, 256, false};  // Q6_K
  }
}

/// Row `row` of the group that begins at `group`, columns of block `block`.
inline PackedRow ReadRow(const PackedType& type, const std::byte* group, int64_t block, int row) {
  PackedRow r;
  const int64_t quads = 64 * type.bits;
  if (type.columns == 32) {
    const int64_t scales = type.has_min ? 64 : 32;
    const std::byte* p = group + block * (scales + quads);
    r.scale[0] = r.scale[1] = HalfAt(p, row);
    r.min = type.has_min ? HalfAt(p + 32, row) : 0.0f;
    ReadIntegers(p + scales, type.bits, row, r.q);
    return r;
  }
  const int64_t head = type.has_min ? 64 : 32;
  const std::byte* super = group + block / 8 * (head + 8 * (32 + quads));
  const std::byte* p = super + head + block % 8 * (32 + quads);
  const float d = HalfAt(super, row);
  if (type.has_min) {
    r.scale[0] = r.scale[1] = d * static_cast<float>(std::to_integer<int>(p[row]));
    r.min = -(HalfAt(super + 32, row) * static_cast<float>(std::to_integer<int>(p[16 + row])));
  } else {
    r.scale[0] = d * static_cast<float>(LoadAs<int8_t>(p + row));
    r.scale[1] = d * static_cast<float>(LoadAs<int8_t>(p + 16 + row));
    r.min = 0;
  }
  ReadIntegers(p + 32, type.bits, row, r.q);
  return r;
}

inline int32_t DotOfHalf(const PackedRow& row, int zero, const std::byte* q, int half) {
  int32_t sum = 0;
  for (int i = 16 * half; i < 16 * half + 16; ++i) sum += (row.q[i] - zero) * LoadAs<int8_t>(q + i);
  return sum;
}

/// One output of one token, as far as blocks [block0, block1) go; read(block) gives the row's weights in a block. Blocks in
/// order, each one or (where the halves have scales of their own) two fused multiply-adds, and one for the minimum.
template <typename Read>
float PackedDot(const Read& read, const PackedType& type, const PackedTile& tile, int t, int64_t block0, int64_t block1) {
  const bool halves = type.bits == 6;
  const int T = TileTokens(tile.tokens);
  float y = 0;
  for (int64_t block = block0; block < block1; ++block) {
    const PackedRow w = read(block);
    const TileBlock x = BlockOfTile(tile.x, T, block);
    const float d = LoadAs<float>(x.d(t));
    const int32_t low = DotOfHalf(w, type.zero, x.q(t), 0), high = DotOfHalf(w, type.zero, x.q(t), 1);
    if (halves) {
      y = std::fma(static_cast<float>(low), w.scale[0] * d, y);
      y = std::fma(static_cast<float>(high), w.scale[1] * d, y);
    } else {
      y = std::fma(static_cast<float>(low + high), w.scale[0] * d, y);
    }
    if (type.has_min) y = std::fma(w.min, LoadAs<float>(x.d_sum(t)), y);
  }
  return y;
}

inline void PackedMatMul(const PackedTile& tile, int64_t group0, int64_t group1) {
  const PackedType type = PackedTypeOf(tile.w.dtype);
  const int64_t group_bytes = PackedBytes(tile.w.dtype, kGroupRows, tile.w.cols);
  for (int64_t row = group0 * kGroupRows; row < std::min(tile.w.rows, group1 * kGroupRows); ++row) {
    const std::byte* group = tile.w.data + row / kGroupRows * group_bytes;
    const auto read = [&](int64_t block) { return ReadRow(type, group, block, static_cast<int>(row % kGroupRows)); };
    for (int t = 0; t < tile.tokens; ++t) {
      tile.y[t * tile.y_stride + row] = tile.scale * PackedDot(read, type, tile, t, 0, tile.w.cols / kPackedBlock);
    }
  }
}

}  // namespace tern::kernels::ref
