// The row conversions behind quant.h, one function per type. Internal to this room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/quant_blocks.h"

namespace tern::quant {

/// Expands `blocks` blocks of type Block at src (any alignment). The floats are those of ggml's reference,
/// bit for bit: the same operations in the same order.
template <typename Block>
void Dequantize(const std::byte* src, float* dst, int64_t blocks);

/// Stores `blocks` blocks at dst (any alignment). Every input is safe: NaN counts as 0, and values beyond
/// what the type can hold saturate.
template <typename Block>
void Quantize(const float* src, std::byte* dst, int64_t blocks);

template <>
void Dequantize<BlockQ8_0>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ5_1>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ5_0>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ4_1>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ4_0>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ2_K>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ3_K>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ4_K>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ5_K>(const std::byte* src, float* dst, int64_t blocks);
template <>
void Dequantize<BlockQ6_K>(const std::byte* src, float* dst, int64_t blocks);

template <>
void Quantize<BlockQ8_0>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ5_1>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ5_0>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ4_1>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ4_0>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ4_K>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ5_K>(const float* src, std::byte* dst, int64_t blocks);
template <>
void Quantize<BlockQ6_K>(const float* src, std::byte* dst, int64_t blocks);

void Fp16ToFloatRow(const std::byte* src, float* dst, int64_t n);
void FloatToFp16Row(const float* src, std::byte* dst, int64_t n);
void Bf16ToFloatRow(const std::byte* src, float* dst, int64_t n);
void FloatToBf16Row(const float* src, std::byte* dst, int64_t n);

}  // namespace tern::quant
