#include "tensor/quant.h"

#include <cstring>

#include "tensor/quant_rows.h"

namespace tern {
void DequantizeRow(DType type, const void* source, float* dst, int64_t n) {
  const auto* src = static_cast<const std::byte*>(source);
  const int64_t blocks = n / Traits(type).block;
  switch (type) {
    case DType::kF32:
      if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      return quant::Fp16ToFloatRow(src, dst, n);
    case DType::kBF16:
      return quant::Bf16ToFloatRow(src, dst, n);
    case DType::kQ8_0:
      return quant::Dequantize<BlockQ8_0>(src, dst, blocks);
    case DType::kQ5_1:
      return quant::Dequantize<BlockQ5_1>(src, dst, blocks);
    case DType::kQ5_0:
      return quant::Dequantize<BlockQ5_0>(src, dst, blocks);
    case DType::kQ4_1:
      return quant::Dequantize<BlockQ4_1>(src, dst, blocks);
    case DType::kQ4_0:
      return quant::Dequantize<BlockQ4_0>(src, dst, blocks);
    case DType::kQ2_K:
      return quant::Dequantize<BlockQ2_K>(src, dst, blocks);
    case DType::kQ3_K:
      return quant::Dequantize<BlockQ3_K>(src, dst, blocks);
    case DType::kQ4_K:
      return quant::Dequantize<BlockQ4_K>(src, dst, blocks);
    case DType::kQ5_K:
      return quant::Dequantize<BlockQ5_K>(src, dst, blocks);
    case DType::kQ6_K:
      return quant::Dequantize<BlockQ6_K>(src, dst, blocks);
    case DType::kF64:
    case DType::kI64:
    case DType::kI32:
    case DType::kI16:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return;  // never weights
  }
}

void QuantizeRow(DType type, const float* src, void* destination, int64_t n) {
  auto* dst = static_cast<std::byte*>(destination);
  const int64_t blocks = n / Traits(type).block;
  switch (type) {
    case DType::kF32:
      if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      return quant::FloatToFp16Row(src, dst, n);
    case DType::kBF16:
      return quant::FloatToBf16Row(src, dst, n);
    case DType::kQ8_0:
      return quant::Quantize<BlockQ8_0>(src, dst, blocks);
    case DType::kQ5_1:
      return quant::Quantize<BlockQ5_1>(src, dst, blocks);
    case DType::kQ5_0:
      return quant::Quantize<BlockQ5_0>(src, dst, blocks);
    case DType::kQ4_1:
      return quant::Quantize<BlockQ4_1>(src, dst, blocks);
    case DType::kQ4_0:
      return quant::Quantize<BlockQ4_0>(src, dst, blocks);
    case DType::kQ4_K:
      return quant::Quantize<BlockQ4_K>(src, dst, blocks);
    case DType::kQ5_K:
      return quant::Quantize<BlockQ5_K>(src, dst, blocks);
    case DType::kQ6_K:
      return quant::Quantize<BlockQ6_K>(src, dst, blocks);
    default:
      return;  // CanQuantizeTo says no
  }
}

bool CanQuantizeTo(DType type) {
  return Traits(type).is_float && type != DType::kQ2_K && type != DType::kQ3_K;
}

}  // namespace tern
