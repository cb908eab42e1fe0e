// The number types that weights are stored in, and a table of their traits.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

/// How the elements of a tensor are stored. The quantised types are ggml's blocks, byte for byte (tensor/quant.h).
enum class DType : uint8_t {
  kF32, kF16, kBF16,
  kQ8_0, kQ5_1, kQ5_0, kQ4_1, kQ4_0,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
  kF64, kI64, kI32, kI16, kI8, kU8, kBool,  // in files, never as weights
};
inline constexpr int kDTypeCount = static_cast<int>(DType::kBool) + 1;

struct DTypeTraits {
  std::string_view name;  ///< as the command line says it: "f16", "q4_k"
  int block;              ///< elements per block; 1 for plain types
  int block_bytes;        ///< bytes per block
  bool quantised;         ///< block > 1
  bool is_float;          ///< can be a weight: F32, F16, BF16 or quantised
};

/// Traits of `type`; every enumerator has a row.
const DTypeTraits& Traits(DType type);
inline std::string_view Name(DType type) { return Traits(type).name; }
/// "f16", "F16", "q4_K" … → the type; nothing for an unknown name.
std::optional<DType> DTypeFromName(std::string_view name);

/// Bytes of one row of `columns` elements; nothing when columns is no multiple of the block.
std::optional<uint64_t> RowBytes(DType type, uint64_t columns);

// --- half-precision conversions: round to nearest even, infinities and NaNs kept -----------------------------------

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);  // NaN stays NaN
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

inline float Fp16ToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1f;
  const uint32_t mantissa = h & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal: exact in float
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

inline uint16_t FloatToFp16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00;              // NaN
  if (magnitude >= 0x47800000u) return sign | 0x7c00;             // 65536 and more, infinity
  if (magnitude < 0x38800000u) {                                  // below 2^-14: subnormal or zero
    // Adding 2^-1·(ulp scale) makes the float unit round at the right place: 0.5f has ulp 2^-24.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(0.5f));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);  // may carry into infinity: 65520 and up
  return sign | static_cast<uint16_t>((rounded >> 13) - (112u << 10));
}

}  // namespace tern
