// Tensors as torch stores them: strided views of a storage, which may be transposed, sliced or expanded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tern {

/// Of any tensor in a .pth. torch allows 64; a bound this low keeps what a small file can make Tern remember
/// small.
inline constexpr size_t kMaxTensorRank = 8;

/// Element (i, j, …) is number offset + i·strides[0] + j·strides[1] + … of `storage`.
struct StridedView {
  std::span<const std::byte> storage;  ///< at any alignment
  DType dtype;                         ///< a plain one
  int64_t offset;
  Shape shape;
  std::vector<int64_t> strides;  ///< in elements, as many as there are dimensions
};

/// kCorrupt unless every element lies in the storage and the size in bytes can be computed.
Status CheckView(const StridedView& view);

// For views that CheckView accepted:

/// Whether the elements stand in row-major order without gaps (the strides of dimensions of size 1 do not
/// matter).
bool IsContiguous(const StridedView& view);
/// The view's bytes, when it is contiguous.
std::span<const std::byte> ContiguousBytes(const StridedView& view);
/// A contiguous copy of NumBytes(dtype, shape) bytes.
std::vector<std::byte> MakeContiguous(const StridedView& view);

}  // namespace tern
