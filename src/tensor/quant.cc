#include "tensor/quant.h"

#include <cstring>

#include "tensor/quant_rows.h"

namespace tern {
namespace {

template <typename Block>
void DequantizeBlocks(const std::byte* src, float* dst, int64_t n, const DTypeTraits& traits) {
  quant::Dequantize<Block>(src, dst, n / traits.block);
}

}  // namespace

void DequantizeRow(DType type, const void* source, float* dst, int64_t n) {
  const auto* src = static_cast<const std::byte*>(source);
  const DTypeTraits& t = Traits(type);
  switch (type) {
    case DType::kF32:
      if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      return quant::Fp16ToFloatRow(src, dst, n);
    case DType::kBF16:
      return quant::Bf16ToFloatRow(src, dst, n);
    case DType::kQ8_0:
      return DequantizeBlocks<BlockQ8_0>(src, dst, n, t);
    case DType::kQ5_1:
      return DequantizeBlocks<BlockQ5_1>(src, dst, n, t);
    case DType::kQ5_0:
      return DequantizeBlocks<BlockQ5_0>(src, dst, n, t);
    case DType::kQ4_1:
      return DequantizeBlocks<BlockQ4_1>(src, dst, n, t);
    case DType::kQ4_0:
      return DequantizeBlocks<BlockQ4_0>(src, dst, n, t);
    case DType::kQ2_K:
      return DequantizeBlocks<BlockQ2_K>(src, dst, n, t);
    case DType::kQ3_K:
      return DequantizeBlocks<BlockQ3_K>(src, dst, n, t);
    case DType::kQ4_K:
      return DequantizeBlocks<BlockQ4_K>(src, dst, n, t);
    case DType::kQ5_K:
      return DequantizeBlocks<BlockQ5_K>(src, dst, n, t);
    case DType::kQ6_K:
      return DequantizeBlocks<BlockQ6_K>(src, dst, n, t);
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
  if (type == DType::kF32 && n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
  if (type == DType::kF16) quant::FloatToFp16Row(src, dst, n);
  if (type == DType::kBF16) quant::FloatToBf16Row(src, dst, n);
}

bool CanQuantizeTo(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace tern
