// Values of stored tensors as fp32, in the orientation that is asked for.
#pragma once

#include "formats/checkpoint.h"

namespace tern {

/// Dequantises a tensor into dst, row-major for its canonical shape (or, when `transposed`, for that shape
/// with its last two dimensions swapped). Values are as stored: neither scale nor encoding is undone.
/// Parallel.
void ReadStoredValues(const CheckpointTensor& tensor, bool transposed, float* dst);

/// Number of elements of a row (the last dimension) and of rows of a shape; a scalar is one row of one.
struct Rows {
  int64_t count = 1, length = 1;
};
Rows RowsOf(const Shape& shape);

}  // namespace tern
