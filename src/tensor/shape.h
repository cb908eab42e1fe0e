// Shapes, row-major: the last dimension is contiguous, as PyTorch prints them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tern {

using Shape = std::vector<int64_t>;

/// Number of elements; nothing when a dimension is negative or the product does not fit 63 bits.
std::optional<int64_t> NumElements(const Shape& shape);

/// Bytes of a dense tensor; nothing when it does not fit, or when the rows of a quantised type are no whole blocks.
std::optional<uint64_t> NumBytes(DType type, const Shape& shape);

/// "[2560, 10240]".
std::string ToString(const Shape& shape);

}  // namespace tern
