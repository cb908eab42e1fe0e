// Rows of half-precision numbers. The same results as the scalar conversions in dtype.h, written without
// branches so that the compiler vectorises them.
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "tensor/quant_rows.h"

namespace tern::quant {

void Fp16ToFloatRow(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t h = LoadUnaligned<uint16_t>(src + 2 * i);
    const uint32_t sign = (h & 0x8000u) << 16;
    const uint32_t shifted = (h & 0x7fffu) << 13;
    const uint32_t exponent = shifted & 0x0f800000u;
    // A subnormal is its mantissa after an implied 1, less that 1.
    const float subnormal = std::bit_cast<float>(shifted + (113u << 23)) - 0x1p-14f;
    uint32_t bits = shifted + (112u << 23);
    bits = exponent == 0x0f800000u ? shifted + (224u << 23) : bits;  // infinity, NaN
    bits = exponent == 0 ? std::bit_cast<uint32_t>(subnormal) : bits;
    bits |= sign;
    std::memcpy(dst + i, &bits, 4);
  }
}

void FloatToFp16Row(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(src[i]);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
    uint32_t half = (rounded >> 13) - (112u << 10);
    // 0.5f has ulp 2^-24, that of fp16's subnormals; the limit keeps the sum below 1 for magnitudes not meant
    // here.
    const uint32_t small = magnitude < 0x38800000u ? magnitude : 0;
    half = magnitude < 0x38800000u ? std::bit_cast<uint32_t>(std::bit_cast<float>(small) + 0.5f) - 0x3f000000u
                                   : half;
    half = magnitude >= 0x47800000u ? 0x7c00u : half;  // 65536 and more
    half = magnitude > 0x7f800000u ? 0x7e00u : half;   // NaN
    const auto stored = static_cast<uint16_t>(half | sign);
    std::memcpy(dst + 2 * i, &stored, 2);
  }
}

void Bf16ToFloatRow(const std::byte* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = Bf16ToFloat(LoadUnaligned<uint16_t>(src + 2 * i));
}

void FloatToBf16Row(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t stored = FloatToBf16(src[i]);
    std::memcpy(dst + 2 * i, &stored, 2);
  }
}

}  // namespace tern::quant
