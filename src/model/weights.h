// Weights in memory, and the one walk over them that loading, counting, hashing and (later) training share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "kernels/ops.h"

namespace tern {

/// A per-channel parameter, always fp32 in memory.
struct VectorParam {
  std::vector<float> values;
  const float* data() const { return values.data(); }
  int64_t size() const { return static_cast<int64_t>(values.size()); }
  bool empty() const { return values.empty(); }
};

/// A matrix that is multiplied: y = scale · W x, W [out, in] in the file's own type. A view into the arena or the mapped
/// file; `owned` holds it where the file has it transposed.
struct MatrixParam {
  kernels::MatrixView view;
  float scale = 1.0f;
  std::vector<std::byte> owned;
  int64_t rows() const { return view.rows; }
  int64_t cols() const { return view.cols; }
  bool empty() const { return view.data == nullptr; }
};

struct LayerNormParam {
  VectorParam weight, bias;
};

/// What a tensor is for: quantisers, optimizers and adapters choose by it.
enum class Role {
  kEmbedding, kHead, kMatrix, kLowRank, kNorm, kVector,
  kSparseInput,  ///< a matrix whose input is mostly zero (the channel mix's value)
};

/// A dimension that is read from the tensor instead of being known (a low rank).
inline constexpr int64_t kAnySize = -1;

/// Sees every tensor of a model once, by its canonical name.
class TensorVisitor {
 public:
  virtual ~TensorVisitor() = default;

  /// `shape` is canonical. `wanted` says in which encoding the model uses the values (checkpoint.h).
  virtual void Vector(const std::string& name, VectorParam& param, const Shape& shape, Role role = Role::kVector,
                      Encoding wanted = Encoding::kPlain) = 0;
  /// A matrix [out, in]. Low-rank matrices stand as [in, out] in the canonical form: role kLowRank says so.
  virtual void Matrix(const std::string& name, MatrixParam& param, int64_t out, int64_t in,
                      Role role = Role::kMatrix) = 0;
  /// The part `index` of a stack [count, in, out] of low-rank matrices (RWKV-6's time_maa_w2).
  virtual void LowRankSlice(const std::string& name, MatrixParam& param, int64_t index, int64_t count, int64_t out,
                            int64_t in) = 0;
  /// Whether a tensor is there: for those that a generation may lack.
  virtual bool Has(const std::string& name) const = 0;

  void Norm(const std::string& name, LayerNormParam& param, int64_t channels) {
    Vector(name + ".weight", param.weight, {channels}, Role::kNorm);
    Vector(name + ".bias", param.bias, {channels}, Role::kNorm);
  }
};

/// Where matrices are used from.
enum class Placement {
  kAuto,    ///< in huge pages, quantised types packed and matrices with sparse inputs column by column
            ///< (kernels/packing.h), when they fit well into the free memory, else mapped
  kMapped,  ///< in the mapped file: starts at once, shares its pages with other processes
};

/// Fills parameters from a checkpoint. Keeps the first error and does nothing after it.
class WeightLoader : public TensorVisitor {
 public:
  WeightLoader(const Checkpoint& checkpoint, Placement placement);

  void Vector(const std::string& name, VectorParam& param, const Shape& shape, Role role, Encoding wanted) override;
  void Matrix(const std::string& name, MatrixParam& param, int64_t out, int64_t in, Role role) override;
  void LowRankSlice(const std::string& name, MatrixParam& param, int64_t index, int64_t count, int64_t out,
                    int64_t in) override;
  bool Has(const std::string& name) const override { return checkpoint_.Find(name) != nullptr; }

  const Status& status() const { return status_; }
  /// The memory that matrices were copied into; must outlive them. Empty when they are mapped.
  PageBuffer TakeArena() { return std::move(arena_); }
  /// Elements and bytes (as stored) of all tensors loaded so far.
  int64_t parameters() const { return parameters_; }
  uint64_t stored_bytes() const { return stored_bytes_; }

 private:
  const CheckpointTensor* Get(const std::string& name);
  void Fail(const CheckpointTensor& tensor, const std::string& expected);
  void Place(const CheckpointTensor& tensor, std::span<const std::byte> bytes, bool rows_are_outputs, MatrixParam& param,
             int64_t out, int64_t in, Role role = Role::kMatrix);
  /// Each places a matrix that still lies in the file; its pages leave this process. False without room in the arena,
  /// or where the type cannot be packed.
  bool CopyToArena(std::span<const std::byte> bytes, MatrixParam& param);
  bool PackToArena(std::span<const std::byte> bytes, MatrixParam& param);
  bool ColumnsToArena(std::span<const std::byte> bytes, MatrixParam& param);
  /// Packs rows, `group_rows` at a time, to `to`.
  void PackGroups(std::span<const std::byte> bytes, MatrixParam& param, kernels::Layout layout, int64_t group_rows,
                  std::byte* to);
  std::byte* TakeFromArena(size_t bytes);

  const Checkpoint& checkpoint_;
  Status status_;
  PageBuffer arena_;
  size_t arena_used_ = 0;
  int64_t parameters_ = 0;
  uint64_t stored_bytes_ = 0;
};

}  // namespace tern
