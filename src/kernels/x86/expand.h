// Quantised blocks to fp32, for whichever Vec was included before: the simplest types, in the bits that
// DequantizeRow gives (the same products and sums, each rounded). Layouts: tensor/quant_blocks.h.
#pragma once

namespace tern::kernels {
namespace {

constexpr int64_t kSmallBlock = 32;  ///< elements

TERN_INLINE Vec HalfAt(const std::byte* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, sizeof half);
  return Set(_cvtsh_ss(half));
}

/// d (fp16), 32 signed bytes.
void ExpandQ8_0(const std::byte* from, float* to, int64_t cols) {
  for (int64_t i = 0; i < cols; i += kSmallBlock, from += 34) {
    const Vec d = HalfAt(from);
    for (int64_t j = 0; j < kSmallBlock; j += kLanes) Store(to + i + j, SignedBytes(from + 2 + j) * d);
  }
}

/// d (fp16), 16 bytes: the low halves of all, then the high halves; 8 stands for zero.
void ExpandQ4_0(const std::byte* from, float* to, int64_t cols) {
  const Vec eight = Set(8.0f);
  for (int64_t i = 0; i < cols; i += kSmallBlock, from += 18) {
    const Vec d = HalfAt(from);
    for (int64_t j = 0; j < kSmallBlock / 2; j += kLanes) {
      Store(to + i + j, (LowNibbles(from + 2 + j) - eight) * d);
      Store(to + i + kSmallBlock / 2 + j, (HighNibbles(from + 2 + j) - eight) * d);
    }
  }
}

/// d and m (fp16), 16 bytes as above; m stands for zero.
void ExpandQ4_1(const std::byte* from, float* to, int64_t cols) {
  for (int64_t i = 0; i < cols; i += kSmallBlock, from += 20) {
    const Vec d = HalfAt(from), m = HalfAt(from + 2);
    for (int64_t j = 0; j < kSmallBlock / 2; j += kLanes) {
      Store(to + i + j, LowNibbles(from + 4 + j) * d + m);
      Store(to + i + kSmallBlock / 2 + j, HighNibbles(from + 4 + j) * d + m);
    }
  }
}

/// `cols` elements (whole blocks) at `from`.
void ExpandBlocks(DType type, const std::byte* from, float* to, int64_t cols) {
  switch (type) {
    case DType::kQ8_0:
      return ExpandQ8_0(from, to, cols);
    case DType::kQ4_0:
      return ExpandQ4_0(from, to, cols);
    case DType::kQ4_1:
      return ExpandQ4_1(from, to, cols);
    default:
      return DequantizeRow(type, from, to, cols);
  }
}

}  // namespace
}  // namespace tern::kernels
