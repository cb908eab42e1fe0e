#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/parallel.h"
#include "kernels/packing.h"
#include "tensor/quant.h"

namespace tern {
namespace {

/// dst[c, r] = src[r, c] for `size`-byte elements, in blocks that fit the L1 cache.
void TransposeBytes(const std::byte* src, int64_t rows, int64_t cols, size_t size, std::byte* dst) {
  constexpr int64_t kBlock = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
    for (int64_t c0 = 0; c0 < cols; c0 += kBlock) {
      for (int64_t r = r0; r < std::min(rows, r0 + kBlock); ++r) {
        for (int64_t c = c0; c < std::min(cols, c0 + kBlock); ++c) {
          std::memcpy(dst + static_cast<size_t>(c * rows + r) * size, src + static_cast<size_t>(r * cols + c) * size, size);
        }
      }
    }
  }
}

/// What the model computes with, from the canonical parameter, in the fp32 arithmetic of the reference.
float Encode(float p, Encoding encoding) {
  switch (encoding) {
    case Encoding::kPlain: return p;
    case Encoding::kExp: return std::exp(p);
    case Encoding::kNegExp: return -std::exp(p);
    case Encoding::kExpNegExp: return std::exp(-std::exp(p));
  }
  return p;
}

/// Equal up to dimensions of size 1: files differ in how they pad vectors ([C] and [1, 1, C]).
bool SameUpToOnes(const Shape& a, const Shape& b) {
  Shape x, y;
  std::copy_if(a.begin(), a.end(), std::back_inserter(x), [](int64_t d) { return d != 1; });
  std::copy_if(b.begin(), b.end(), std::back_inserter(y), [](int64_t d) { return d != 1; });
  return x == y;
}

/// Every matrix in the arena begins at a cache line.
constexpr size_t kArenaAlignment = 64;
/// What is placed at a time: bounds what is resident twice.
constexpr int64_t kLayPiece = 4 << 20;

size_t ArenaBytes(size_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

/// What a matrix takes column by column; 0 where that is out of the question. Its rows are filled up to whole strips:
/// where that is more than a twentieth (of few rows only), reading less does not make up for it.
size_t ColumnRoom(DType type, int64_t rows, int64_t cols, size_t stored) {
  if (!kernels::HasColumns(type)) return 0;
  const auto bytes = static_cast<size_t>(kernels::ColumnBytes(type, rows, cols));
  return bytes <= stored + stored / 20 ? bytes : 0;
}

/// What a matrix takes in the arena: as in the file, or in the larger of the layouts that its type can have.
size_t PlacedBytes(const CheckpointTensor& tensor) {
  const size_t stored = tensor.bytes.size();
  if (tensor.shape.size() != 2) return stored;
  const int64_t rows = tensor.shape[tensor.transposed ? 1 : 0], cols = tensor.shape[tensor.transposed ? 0 : 1];
  const auto packed = static_cast<size_t>(kernels::PackedBytes(tensor.dtype, rows, cols));
  return std::max({stored, packed, ColumnRoom(tensor.dtype, rows, cols, stored)});
}

/// Room for every matrix but the embedding, of which a token reads one row only.
size_t ArenaSize(const Checkpoint& checkpoint) {
  size_t size = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    if (tensor.shape.size() >= 2 && tensor.name != "emb.weight") size += ArenaBytes(PlacedBytes(tensor));
  }
  return size;
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, Placement placement) : checkpoint_(checkpoint) {
  if (placement == Placement::kMapped) return;
  const size_t size = ArenaSize(checkpoint);
  // A quarter is left for the file's own pages, states and everybody else.
  if (size <= AvailableMemory() / 4 * 3) arena_ = PageBuffer(size);
}

std::byte* WeightLoader::TakeFromArena(size_t bytes) {
  if (arena_.size() - arena_used_ < bytes) return nullptr;
  std::byte* taken = arena_.data() + arena_used_;
  arena_used_ += ArenaBytes(bytes);
  return taken;
}

bool WeightLoader::CopyToArena(std::span<const std::byte> bytes, MatrixParam& param) {
  std::byte* copy = TakeFromArena(bytes.size());
  if (copy == nullptr) return false;
  ParallelFor(static_cast<int64_t>(bytes.size()), kLayPiece, [&](int64_t begin, int64_t end) {
    const auto piece = bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    std::memcpy(copy + begin, piece.data(), piece.size());
    checkpoint_.source().Forget(piece);
  });
  param.view.data = copy;
  return true;
}

void WeightLoader::PackGroups(std::span<const std::byte> bytes, MatrixParam& param, kernels::Layout layout,
                              int64_t group_rows, std::byte* to) {
  const kernels::MatrixView rows = param.view;
  const auto pack = layout == kernels::Layout::kColumns ? kernels::PackColumns : kernels::Pack;
  const size_t group_bytes = bytes.size() / static_cast<size_t>(rows.rows) * static_cast<size_t>(group_rows);
  const int64_t groups = (rows.rows + group_rows - 1) / group_rows;
  const auto groups_of_piece = std::max<int64_t>(1, kLayPiece / static_cast<int64_t>(group_bytes));
  ParallelFor(groups, groups_of_piece, [&](int64_t begin, int64_t end) {
    pack(rows, begin, end, to);
    const size_t first = static_cast<size_t>(begin) * group_bytes;
    checkpoint_.source().Forget(
        bytes.subspan(first, std::min(bytes.size() - first, static_cast<size_t>(end - begin) * group_bytes)));
  });
  param.view.data = to;
  param.view.layout = layout;
}

bool WeightLoader::PackToArena(std::span<const std::byte> bytes, MatrixParam& param) {
  const kernels::MatrixView rows = param.view;
  if (!kernels::Packable(rows.dtype)) return false;
  std::byte* packed = TakeFromArena(static_cast<size_t>(kernels::PackedBytes(rows.dtype, rows.rows, rows.cols)));
  if (packed == nullptr) return false;
  PackGroups(bytes, param, kernels::Layout::kPacked, kernels::kGroupRows, packed);
  return true;
}

bool WeightLoader::ColumnsToArena(std::span<const std::byte> bytes, MatrixParam& param) {
  const kernels::MatrixView rows = param.view;
  const size_t size = ColumnRoom(rows.dtype, rows.rows, rows.cols, bytes.size());
  std::byte* columns = size == 0 ? nullptr : TakeFromArena(size);
  if (columns == nullptr) return false;
  PackGroups(bytes, param, kernels::Layout::kColumns, kernels::kStripRows, columns);
  return true;
}

const CheckpointTensor* WeightLoader::Get(const std::string& name) {
  if (!status_.ok()) return nullptr;
  const CheckpointTensor* tensor = checkpoint_.Find(name);
  if (tensor == nullptr) {
    status_ = Corrupt(fmt::format("'{}' is {}, but has no tensor '{}'", checkpoint_.source().path(),
                                  Name(checkpoint_.generation()), name));
    return nullptr;
  }
  if (!Traits(tensor->dtype).is_float) {
    status_ = Unsupported(fmt::format("'{}': tensor '{}' is stored as {}, which is no type for weights",
                                      checkpoint_.source().path(), name, Name(tensor->dtype)));
    return nullptr;
  }
  parameters_ += NumElements(tensor->shape).value_or(0);
  stored_bytes_ += tensor->bytes.size();
  return tensor;
}

void WeightLoader::Fail(const CheckpointTensor& tensor, const std::string& expected) {
  status_ = Corrupt(fmt::format("'{}': tensor '{}' has shape {}; expected {}", checkpoint_.source().path(), tensor.name,
                                ToString(tensor.shape), expected));
}

void WeightLoader::Vector(const std::string& name, VectorParam& param, const Shape& shape, Role, Encoding wanted) {
  const CheckpointTensor* tensor = Get(name);
  if (tensor == nullptr) return;
  if (!SameUpToOnes(tensor->shape, shape)) return Fail(*tensor, ToString(shape));
  param.values.resize(static_cast<size_t>(*NumElements(tensor->shape)));
  if (tensor->encoding == wanted) {  // as it stands in the file: no rounding on a detour
    CheckpointTensor plain = *tensor;
    plain.encoding = Encoding::kPlain;
    ReadCanonical(plain, param.values.data());
  } else {
    ReadCanonical(*tensor, param.values.data());
    for (float& value : param.values) value = Encode(value, wanted);
  }
  for (float value : param.values) {
    if (std::isfinite(value)) continue;
    status_ = Corrupt(fmt::format("'{}': tensor '{}' holds {}", checkpoint_.source().path(), name, value));
    return;
  }
  checkpoint_.source().Forget(tensor->bytes);
}

void WeightLoader::Place(const CheckpointTensor& tensor, std::span<const std::byte> bytes, bool rows_are_outputs,
                         MatrixParam& param, int64_t out, int64_t in, Role role) {
  param.scale = tensor.scale;
  param.view = {tensor.dtype, out, in, bytes.data()};
  if (rows_are_outputs) {
    if (tensor.name == "emb.weight") return;  // single rows are read of it; it stays in the file
    const bool placed = (role == Role::kSparseInput && ColumnsToArena(bytes, param)) || PackToArena(bytes, param);
    if (!placed) CopyToArena(bytes, param);
    return;
  }
  // The file has [in, out]; products want [out, in].
  const DTypeTraits& traits = Traits(tensor.dtype);
  const auto src_row_bytes = static_cast<size_t>(RowBytes(tensor.dtype, static_cast<uint64_t>(out)).value_or(0));
  if (!traits.quantised) {
    param.owned.resize(bytes.size());
    TransposeBytes(bytes.data(), in, out, static_cast<size_t>(traits.block_bytes), param.owned.data());
  } else {  // blocks run along the wrong dimension: they cannot be kept
    param.view.dtype = DType::kF32;
    std::vector<float> row(static_cast<size_t>(out));
    param.owned.resize(static_cast<size_t>(out * in) * sizeof(float));
    for (int64_t i = 0; i < in; ++i) {
      DequantizeRow(tensor.dtype, bytes.data() + static_cast<size_t>(i) * src_row_bytes, row.data(), out);
      for (int64_t o = 0; o < out; ++o) {
        std::memcpy(param.owned.data() + static_cast<size_t>(o * in + i) * sizeof(float), &row[static_cast<size_t>(o)],
                    sizeof(float));
      }
    }
  }
  param.view.data = param.owned.data();
  checkpoint_.source().Forget(bytes);
}

void WeightLoader::Matrix(const std::string& name, MatrixParam& param, int64_t out, int64_t in, Role role) {
  const CheckpointTensor* tensor = Get(name);
  if (tensor == nullptr) return;
  const bool low_rank = role == Role::kLowRank;
  const auto expected = [&] {
    const auto dim = [](int64_t d) { return d == kAnySize ? std::string("rank") : std::to_string(d); };
    return low_rank ? fmt::format("[{}, {}]", dim(in), dim(out)) : fmt::format("[{}, {}]", dim(out), dim(in));
  };
  if (tensor->shape.size() != 2) return Fail(*tensor, expected());
  const int64_t found_out = tensor->shape[low_rank ? 1 : 0], found_in = tensor->shape[low_rank ? 0 : 1];
  if (found_out < 1 || found_in < 1 || (out != kAnySize && out != found_out) || (in != kAnySize && in != found_in)) {
    return Fail(*tensor, expected());
  }
  Place(*tensor, tensor->bytes, low_rank == tensor->transposed, param, found_out, found_in, role);
}

void WeightLoader::LowRankSlice(const std::string& name, MatrixParam& param, int64_t index, int64_t count, int64_t out,
                                int64_t in) {
  const bool first = index == 0;
  const int64_t parameters = parameters_;
  const uint64_t stored = stored_bytes_;
  const CheckpointTensor* tensor = Get(name);
  if (tensor == nullptr) return;
  if (!first) {  // counted with its first slice
    parameters_ = parameters;
    stored_bytes_ = stored;
  }
  if (tensor->shape != Shape{count, in, out}) return Fail(*tensor, ToString(Shape{count, in, out}));
  const size_t slice = tensor->bytes.size() / static_cast<size_t>(count);
  Place(*tensor, tensor->bytes.subspan(static_cast<size_t>(index) * slice, slice), tensor->transposed, param, out, in);
}

}  // namespace tern
