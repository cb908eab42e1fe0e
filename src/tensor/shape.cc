#include "tensor/shape.h"

namespace tern {

std::optional<int64_t> NumElements(const Shape& shape) {
  int64_t n = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(n, dim, &n)) return std::nullopt;
  }
  return n;
}

std::optional<uint64_t> NumBytes(DType type, const Shape& shape) {
  const auto elements = NumElements(shape);
  if (!elements) return std::nullopt;
  const DTypeTraits& t = Traits(type);
  if (t.block > 1 && (shape.empty() || shape.back() % t.block != 0)) return std::nullopt;
  uint64_t bytes;
  if (__builtin_mul_overflow(static_cast<uint64_t>(*elements / t.block), static_cast<uint64_t>(t.block_bytes), &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace tern
