#include "formats/checkpoint_values.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "formats/checkpoint_encoding.h"
#include "tensor/quant.h"

namespace tern {
namespace {

constexpr int64_t kValueChunk = 1 << 16;  // elements that a thread takes at a time
constexpr int64_t kTransposeBlock = 64;   // rows read before a transposition writes: a cache line of each column

const std::byte* RowAt(const CheckpointTensor& tensor, int64_t row, int64_t length) {
  return tensor.bytes.data() + *RowBytes(tensor.dtype, static_cast<uint64_t>(row * length));
}

void ReadStraight(const CheckpointTensor& tensor, Rows rows, float* dst) {
  const int64_t grain = std::max<int64_t>(1, kValueChunk / std::max<int64_t>(1, rows.length));
  if (rows.count == 1 && !Traits(tensor.dtype).quantised) {
    DequantizeRow(tensor.dtype, tensor.bytes.data(), dst, rows.length);
    return;
  }
  ParallelFor(rows.count, grain, [&](int64_t begin, int64_t end) {
    DequantizeRow(tensor.dtype, RowAt(tensor, begin, rows.length), dst + begin * rows.length,
                  (end - begin) * rows.length);
  });
}

// dst[matrix][column][row] = stored[matrix][row][column].
void ReadTransposing(const CheckpointTensor& tensor, Rows rows, int64_t matrix_rows, float* dst) {
  const int64_t columns = rows.length;
  const int64_t blocks_per_matrix = (matrix_rows + kTransposeBlock - 1) / kTransposeBlock;
  const int64_t matrices = rows.count / matrix_rows;
  const int64_t grain = std::max<int64_t>(1, kValueChunk / (kTransposeBlock * columns));
  ParallelFor(matrices * blocks_per_matrix, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> buffer(static_cast<size_t>(std::min(kTransposeBlock, matrix_rows) * columns));
    for (int64_t block = begin; block < end; ++block) {
      const int64_t matrix = block / blocks_per_matrix;
      const int64_t first = block % blocks_per_matrix * kTransposeBlock;
      const int64_t n = std::min(kTransposeBlock, matrix_rows - first);
      DequantizeRow(tensor.dtype, RowAt(tensor, matrix * matrix_rows + first, columns), buffer.data(),
                    n * columns);
      float* out = dst + matrix * matrix_rows * columns + first;
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t r = 0; r < n; ++r)
          out[c * matrix_rows + r] = buffer[static_cast<size_t>(r * columns + c)];
      }
    }
  });
}

}  // namespace

Rows RowsOf(const Shape& shape) {
  const int64_t n = NumElements(shape).value_or(0);
  if (n == 0) return {0, 0};
  const int64_t length = shape.empty() ? 1 : shape.back();
  return {n / length, length};
}

void ReadStoredValues(const CheckpointTensor& tensor, bool transposed, float* dst) {
  const Shape stored = tensor.StoredShape();
  const Rows rows = RowsOf(stored);
  if (rows.count == 0) return;
  if (transposed == tensor.transposed || stored.size() < 2) {
    ReadStraight(tensor, rows, dst);
  } else {
    ReadTransposing(tensor, rows, stored[stored.size() - 2], dst);
  }
}

void ReadCanonical(const CheckpointTensor& tensor, float* dst) {
  ReadStoredValues(tensor, false, dst);
  if (tensor.scale == 1.0f && tensor.encoding == Encoding::kPlain) return;
  const int64_t n = NumElements(tensor.shape).value_or(0);
  ParallelFor(n, kValueChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dst[i] = Decode(tensor.encoding, dst[i] * tensor.scale);
  });
}

}  // namespace tern
