#include "model/mapped_parts.h"

#include <algorithm>

#include "tensor/dtype.h"

namespace tern {
namespace {

/// Bytes between two tensors that are read along rather than left out.
constexpr std::ptrdiff_t kGap = 256 << 10;

class MatrixBytes : public TensorVisitor {
 public:
  explicit MatrixBytes(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void Vector(const std::string&, VectorParam&, const Shape&, Role, Encoding) override {}
  void Matrix(const std::string&, MatrixParam& param, int64_t, int64_t, Role) override { Add(param); }
  void LowRankSlice(const std::string&, MatrixParam& param, int64_t, int64_t, int64_t, int64_t) override { Add(param); }
  bool Has(const std::string& name) const override { return checkpoint_.Find(name) != nullptr; }

  void Add(const MatrixParam& param) {
    const uint64_t row = RowBytes(param.view.dtype, static_cast<uint64_t>(param.cols())).value_or(0);
    const std::span bytes(param.view.data, static_cast<size_t>(param.rows()) * static_cast<size_t>(row));
    if (checkpoint_.source().IsMapped(bytes)) part_.push_back(bytes);
  }

  /// What was seen since the last call, neighbours joined.
  LayerStream::Part Take() {
    std::sort(part_.begin(), part_.end(), [](auto a, auto b) { return a.data() < b.data(); });
    LayerStream::Part joined;
    for (const auto bytes : part_) {
      if (!joined.empty() && Join(joined.back(), bytes)) continue;
      joined.push_back(bytes);
    }
    part_.clear();
    return joined;
  }

 private:
  using Bytes = std::span<const std::byte>;

  /// Makes `last` reach to the end of `bytes`, which begins behind it, where little lies between them in one file.
  bool Join(Bytes& last, Bytes bytes) const {
    const std::byte* end = std::max(last.data() + last.size(), bytes.data() + bytes.size());
    const Bytes both(last.data(), static_cast<size_t>(end - last.data()));
    if (bytes.data() - (last.data() + last.size()) > kGap || !checkpoint_.source().IsMapped(both)) return false;
    last = both;
    return true;
  }

  const Checkpoint& checkpoint_;
  LayerStream::Part part_;
};

}  // namespace

std::vector<LayerStream::Part> MappedParts(Architecture& architecture, int64_t layers, MatrixParam& head,
                                           const Checkpoint& checkpoint) {
  std::vector<LayerStream::Part> parts;
  MatrixBytes bytes(checkpoint);
  for (int64_t layer = 0; layer < layers; ++layer) {
    architecture.Visit(layer, bytes);
    parts.push_back(bytes.Take());
  }
  bytes.Add(head);
  parts.push_back(bytes.Take());
  return parts;
}

}  // namespace tern
