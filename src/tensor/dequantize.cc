// Expanding quantised blocks. Each block is copied to a local first: that makes any alignment good, and tells
// the compiler that dst cannot overlap it, so the loops below become vector code.
#include <cstring>

#include "tensor/quant_rows.h"

namespace tern::quant {
namespace {

template <typename Block>
Block Load(const std::byte* src, int64_t index) {
  Block b;
  std::memcpy(&b, src + static_cast<size_t>(index) * sizeof(Block), sizeof(Block));
  return b;
}

/// Bit k of the byte becomes byte k: 16 where it is set, else 0.
uint64_t SpreadBits(uint8_t bits) {
  // Eight copies of the byte, of which copy k keeps bit k alone; adding 0x80 - 2^k moves it to bit 7.
  const uint64_t one_each = (bits * 0x0101010101010101u) & 0x8040201008040201u;
  return ((one_each + 0x00406070787c7e7fu) & 0x8080808080808080u) >> 3;
}

/// The same for bits j = 0..31 of four bytes. Written sixteen bytes at a time: a vector load cannot be served
/// from two shorter stores that are still on their way.
void SpreadHighBits(const uint8_t bits[4], uint8_t spread[32]) {
  typedef uint64_t Pair __attribute__((vector_size(16)));
  const Pair low = {SpreadBits(bits[0]), SpreadBits(bits[1])};
  const Pair high = {SpreadBits(bits[2]), SpreadBits(bits[3])};
  std::memcpy(spread, &low, 16);
  std::memcpy(spread + 16, &high, 16);
}

}  // namespace

template <>
void Dequantize<BlockQ8_0>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, dst += 32) {
    const auto b = Load<BlockQ8_0>(src, i);
    const float d = b.d.Get();
    for (int j = 0; j < 32; ++j) dst[j] = static_cast<float>(b.qs[j]) * d;
  }
}

template <>
void Dequantize<BlockQ4_0>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, dst += 32) {
    const auto b = Load<BlockQ4_0>(src, i);
    const float d = b.d.Get();
    for (int j = 0; j < 16; ++j) dst[j] = static_cast<float>((b.qs[j] & 15) - 8) * d;
    for (int j = 0; j < 16; ++j) dst[16 + j] = static_cast<float>((b.qs[j] >> 4) - 8) * d;
  }
}

template <>
void Dequantize<BlockQ4_1>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, dst += 32) {
    const auto b = Load<BlockQ4_1>(src, i);
    const float d = b.d.Get();
    const float m = b.m.Get();
    for (int j = 0; j < 16; ++j) dst[j] = static_cast<float>(b.qs[j] & 15) * d + m;
    for (int j = 0; j < 16; ++j) dst[16 + j] = static_cast<float>(b.qs[j] >> 4) * d + m;
  }
}

template <>
void Dequantize<BlockQ5_0>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, dst += 32) {
    const auto b = Load<BlockQ5_0>(src, i);
    const float d = b.d.Get();
    uint8_t high[32];
    SpreadHighBits(b.qh, high);
    for (int j = 0; j < 16; ++j) dst[j] = static_cast<float>(((b.qs[j] & 15) | high[j]) - 16) * d;
    for (int j = 0; j < 16; ++j) dst[16 + j] = static_cast<float>(((b.qs[j] >> 4) | high[16 + j]) - 16) * d;
  }
}

template <>
void Dequantize<BlockQ5_1>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, dst += 32) {
    const auto b = Load<BlockQ5_1>(src, i);
    const float d = b.d.Get();
    const float m = b.m.Get();
    uint8_t high[32];
    SpreadHighBits(b.qh, high);
    for (int j = 0; j < 16; ++j) dst[j] = static_cast<float>((b.qs[j] & 15) | high[j]) * d + m;
    for (int j = 0; j < 16; ++j) dst[16 + j] = static_cast<float>((b.qs[j] >> 4) | high[16 + j]) * d + m;
  }
}

template <>
void Dequantize<BlockQ2_K>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) {
    const auto b = Load<BlockQ2_K>(src, i);
    const float d = b.d.Get();
    const float dmin = b.dmin.Get();
    for (int j = 0; j < 16; ++j, dst += 16) {  // sub-blocks of 16: half j/8, field (j%8)/2, side j%2
      const uint8_t* q = b.qs + 32 * (j / 8) + 16 * (j % 2);
      const int shift = 2 * (j % 8 / 2);
      const float scale = d * static_cast<float>(b.scales[j] & 15);
      const float min = dmin * static_cast<float>(b.scales[j] >> 4);
      for (int l = 0; l < 16; ++l) dst[l] = scale * static_cast<float>((q[l] >> shift) & 3) - min;
    }
  }
}

template <>
void Dequantize<BlockQ3_K>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) {
    const auto b = Load<BlockQ3_K>(src, i);
    const float d = b.d.Get();
    int8_t scales[16];
    UnpackQ3Scales(b.scales, scales);
    for (int j = 0; j < 16; ++j, dst += 16) {
      const uint8_t* q = b.qs + 32 * (j / 8) + 16 * (j % 2);
      const uint8_t* high = b.hmask + 16 * (j % 2);
      const int shift = 2 * (j % 8 / 2);
      const int high_shift = j / 2;
      const float scale = d * static_cast<float>(scales[j]);
      for (int l = 0; l < 16; ++l) {
        const int q3 = ((q[l] >> shift) & 3) + 4 * ((high[l] >> high_shift) & 1) - 4;
        dst[l] = scale * static_cast<float>(q3);
      }
    }
  }
}

template <>
void Dequantize<BlockQ4_K>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) {
    const auto b = Load<BlockQ4_K>(src, i);
    const float d = b.d.Get();
    const float dmin = b.dmin.Get();
    const SixBitPairs s = UnpackSixBitPairs(b.scales);
    for (int g = 0; g < 4; ++g, dst += 64) {
      const uint8_t* q = b.qs + 32 * g;
      const float scale0 = d * static_cast<float>(s.scale[2 * g]);
      const float min0 = dmin * static_cast<float>(s.min[2 * g]);
      const float scale1 = d * static_cast<float>(s.scale[2 * g + 1]);
      const float min1 = dmin * static_cast<float>(s.min[2 * g + 1]);
      for (int l = 0; l < 32; ++l) dst[l] = scale0 * static_cast<float>(q[l] & 15) - min0;
      for (int l = 0; l < 32; ++l) dst[32 + l] = scale1 * static_cast<float>(q[l] >> 4) - min1;
    }
  }
}

template <>
void Dequantize<BlockQ5_K>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) {
    const auto b = Load<BlockQ5_K>(src, i);
    const float d = b.d.Get();
    const float dmin = b.dmin.Get();
    const SixBitPairs s = UnpackSixBitPairs(b.scales);
    for (int g = 0; g < 4; ++g, dst += 64) {
      const uint8_t* q = b.qs + 32 * g;
      const float scale0 = d * static_cast<float>(s.scale[2 * g]);
      const float min0 = dmin * static_cast<float>(s.min[2 * g]);
      const float scale1 = d * static_cast<float>(s.scale[2 * g + 1]);
      const float min1 = dmin * static_cast<float>(s.min[2 * g + 1]);
      for (int l = 0; l < 32; ++l) {
        dst[l] = scale0 * static_cast<float>((q[l] & 15) | (((b.qh[l] >> (2 * g)) & 1) << 4)) - min0;
      }
      for (int l = 0; l < 32; ++l) {
        dst[32 + l] = scale1 * static_cast<float>((q[l] >> 4) | (((b.qh[l] >> (2 * g + 1)) & 1) << 4)) - min1;
      }
    }
  }
}

template <>
void Dequantize<BlockQ6_K>(const std::byte* src, float* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) {
    const auto b = Load<BlockQ6_K>(src, i);
    const float d = b.d.Get();
    for (int j = 0; j < 16; ++j, dst += 16) {
      const uint8_t* low = b.ql + 64 * (j / 8) + 16 * (j % 4);
      const uint8_t* high = b.qh + 32 * (j / 8) + 16 * (j % 2);
      const int low_shift = j % 8 / 4 * 4;
      const int high_shift = 2 * (j % 8 / 2);
      const float scale = d * static_cast<float>(b.scales[j]);
      for (int l = 0; l < 16; ++l) {
        const int q = ((low[l] >> low_shift) & 15) | (((high[l] >> high_shift) & 3) << 4);
        dst[l] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

}  // namespace tern::quant
