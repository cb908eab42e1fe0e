// ggml's quantised blocks, byte for byte. Every struct has alignment 1, so that a block may lie at any
// address.
//
// A block stores 32 or 256 consecutive weights. `q` below is a weight's small integer; the value that it
// stands for is written on the right. Bytes run from left to right, the numbers under a field are its bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace tern {

/// A half-precision number, as its two bytes.
struct StoredFp16 {
  uint8_t low, high;
  float Get() const { return Fp16ToFloat(static_cast<uint16_t>(low | (high << 8))); }
  void SetBits(uint16_t bits) {
    low = static_cast<uint8_t>(bits & 0xff);
    high = static_cast<uint8_t>(bits >> 8);
  }
};

inline constexpr int kSmallBlock = 32;   ///< weights in a block of the types that end in _0 and _1
inline constexpr int kSuperBlock = 256;  ///< weights in a block of the types that end in _K

// --- blocks of 32
// -------------------------------------------------------------------------------------------------- In all
// types with nibbles, byte j of qs holds weight j in its low half and weight j + 16 in its high half.

//   | d  | qs: int8 × 32 |                        value = d·q, q in [-128, 127]
//     2    32
struct BlockQ8_0 {
  StoredFp16 d;
  int8_t qs[32];
};

//   | d  | qs: 16 × nibble pair |                 value = d·(q - 8), q in [0, 15]
//     2    16
struct BlockQ4_0 {
  StoredFp16 d;
  uint8_t qs[16];
};

//   | d  | m  | qs |                              value = d·q + m, q in [0, 15]
//     2    2    16
struct BlockQ4_1 {
  StoredFp16 d, m;
  uint8_t qs[16];
};

//   | d  | qh | qs |                              value = d·(q - 16), q in [0, 31]
//     2    4    16                                bit j of qh (little-endian) is bit 4 of weight j
struct BlockQ5_0 {
  StoredFp16 d;
  uint8_t qh[4];
  uint8_t qs[16];
};

//   | d  | m  | qh | qs |                         value = d·q + m, q in [0, 31]
//     2    2    4    16
struct BlockQ5_1 {
  StoredFp16 d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};

// --- super-blocks of 256
// ------------------------------------------------------------------------------------------- Each is cut
// into sub-blocks of 16 or 32 weights with a small integer scale of their own; d (and dmin) scale those.
// Two-bit fields: half h (128 weights) has 32 bytes; bits 2k and 2k+1 of its byte l belong to weight 128·h +
// 32·k + l.

//   | scales     | qs | d  | dmin |               value = d·s·q - dmin·m, q in [0, 3]
//     16           64   2    2                    scales[j]: s in the low nibble, m in the high one,
//     sub-block of 16
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  StoredFp16 d, dmin;
};

//   | hmask | qs | scales | d  |                  value = d·(s - 32)·(q - 4), q in [0, 7]
//     32      64   12       2                     bit (4·h + k) of hmask[l] is bit 2 of weight 128·h + 32·k +
//     l
//   scales: 16 numbers of 6 bits; number j has its low four bits in a nibble of byte j mod 8 (the low nibble
//   for j < 8), its high two in bits 2·(j / 4) of byte 8 + j mod 4.
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  StoredFp16 d;
};

//   | d  | dmin | scales | qs |                   value = d·s·q - dmin·m, q in [0, 15]; sub-blocks of 32
//     2    2      12       128                    qs: byte 32·g + l has weights 64·g + l (low) and 64·g + 32
//     + l (high)
//   scales: eight pairs of 6 bits, see SixBitPairs below.
struct BlockQ4_K {
  StoredFp16 d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

//   | d  | dmin | scales | qh | qs |              value = d·s·q - dmin·m, q in [0, 31]; sub-blocks of 32
//     2    2      12       32   128               bit j of qh[l] is bit 4 of weight 32·j + l; qs as in Q4_K
struct BlockQ5_K {
  StoredFp16 d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

//   | ql  | qh | scales: int8 × 16 | d  |         value = d·s·(q - 32), q in [0, 63]; sub-blocks of 16
//     128   64   16                  2            qh: two-bit fields, bits 4 and 5 of each weight
//   ql: in half h, byte 64·h + l (l < 64) has bits 0-3 of weight 128·h + l in its low nibble, of 128·h + 64 +
//   l in its high one.
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  StoredFp16 d;
};

static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);

// --- packed scales
// -------------------------------------------------------------------------------------------------

/// The scales and mins of Q4_K and Q5_K, each in [0, 63].
///
///   byte   0..3               4..7               8..11
///   bits   7 6   5 ... 0      7 6   5 ... 0      7 ... 4        3 ... 0
///          s'hi  scale[i]     m'hi  min[i]       min[4+i] low   scale[4+i] low       (i = 0..3)
///
/// where s'hi and m'hi are the two high bits of scale[4+i] and min[4+i].
struct SixBitPairs {
  uint8_t scale[8], min[8];
};

inline SixBitPairs UnpackSixBitPairs(const uint8_t packed[12]) {
  SixBitPairs p;
  for (int i = 0; i < 4; ++i) {
    p.scale[i] = packed[i] & 63;
    p.min[i] = packed[4 + i] & 63;
    p.scale[4 + i] = static_cast<uint8_t>((packed[8 + i] & 15) | ((packed[i] >> 6) << 4));
    p.min[4 + i] = static_cast<uint8_t>((packed[8 + i] >> 4) | ((packed[4 + i] >> 6) << 4));
  }
  return p;
}

inline void PackSixBitPairs(const SixBitPairs& p, uint8_t packed[12]) {
  for (int i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(p.scale[i] | ((p.scale[4 + i] >> 4) << 6));
    packed[4 + i] = static_cast<uint8_t>(p.min[i] | ((p.min[4 + i] >> 4) << 6));
    packed[8 + i] = static_cast<uint8_t>((p.scale[4 + i] & 15) | ((p.min[4 + i] & 15) << 4));
  }
}

/// The sixteen scales of Q3_K, already less 32: [-32, 31].
inline void UnpackQ3Scales(const uint8_t packed[12], int8_t scales[16]) {
  for (int j = 0; j < 16; ++j) {
    const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    const int high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
    scales[j] = static_cast<int8_t>((low | (high << 4)) - 32);
  }
}

}  // namespace tern
