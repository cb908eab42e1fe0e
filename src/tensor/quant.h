// Conversion between fp32 rows and every stored type: the plain ones and ggml's quantised blocks.
// Layouts are drawn beside the structs in quant_blocks.h. Portable and exact; the fast paths live in kernels/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tern {

/// Expands `n` elements stored as `type` at `src` (any alignment) into dst. n must be a multiple of the type's block.
/// Works for F32, F16, BF16 and every quantised type. Thread-safe.
void DequantizeRow(DType type, const void* src, float* dst, int64_t n);

/// Stores n fp32 elements as `type` at `dst` (any alignment, RowBytes(type, n) bytes). Quantised scales are chosen by
/// least squares, not by round-to-nearest alone. n must be a multiple of the type's block. Supported: F32, F16, BF16,
/// Q8_0, Q5_1, Q5_0, Q4_1, Q4_0, Q4_K, Q5_K, Q6_K; see CanQuantizeTo. Thread-safe.
/// Values that a type cannot hold (NaN; beyond fp16's range in F16) are the caller's to check.
void QuantizeRow(DType type, const float* src, void* dst, int64_t n);

/// Whether QuantizeRow can write this type (Q2_K and Q3_K can only be read).
bool CanQuantizeTo(DType type);

}  // namespace tern
