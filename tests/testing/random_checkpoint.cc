#include "tests/testing/random_checkpoint.h"

#include <algorithm>

#include "base/parallel.h"
#include "tensor/quant.h"

namespace tern::testing {
namespace {

/// The bytes of a tensor stored as `type`, made in parallel. Pieces are whole blocks of every type.
std::vector<std::byte> MakeBytes(const RandomTensor& tensor, DType type) {
  constexpr int64_t kPiece = 4096;
  static_assert(kPiece % 256 == 0);
  const int64_t elements = *NumElements(tensor.shape);
  std::vector<std::byte> bytes(*NumBytes(type, tensor.shape));
  const DTypeTraits& traits = Traits(type);
  ParallelFor((elements + kPiece - 1) / kPiece, 16, [&](int64_t first, int64_t last) {
    float values[kPiece];
    for (int64_t piece = first; piece < last; ++piece) {
      const int64_t begin = piece * kPiece;
      const int64_t end = std::min(elements, begin + kPiece);
      FillRandom(tensor, begin, end, values);
      QuantizeRow(type, values, bytes.data() + begin / traits.block * traits.block_bytes, end - begin);
    }
  });
  return bytes;
}

DType StorageType(const RandomTensor& tensor, DType matrix_type) {
  if (!tensor.matrix) return DType::kF32;
  return NumBytes(matrix_type, tensor.shape) ? matrix_type : DType::kF16;
}

}  // namespace

std::vector<OutputTensor> RandomTensors(const RandomModel& model, DType matrix_type) {
  std::vector<OutputTensor> tensors;
  for (const RandomTensor& tensor : ListTensors(model)) {
    const DType type = StorageType(tensor, matrix_type);
    const auto produce = [=]() -> Result<TensorBytes> {
      return TensorBytes{.view = {}, .owned = MakeBytes(tensor, type)};
    };
    tensors.push_back({tensor.name, type, tensor.shape, produce});
  }
  return tensors;
}

std::vector<float> RandomValues(const RandomModel& model, const std::string& name, const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(*NumElements(shape)));
  FillRandom(MakeRandomTensor(model, name, shape), 0, static_cast<int64_t>(values.size()), values.data());
  return values;
}

}  // namespace tern::testing
