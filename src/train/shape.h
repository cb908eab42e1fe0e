// The dimensions of a model to train, and the walk over its parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/config.h"
#include "model/weights.h"
#include "tensor/shape.h"

namespace tern::train {

/// All that fixes the parameters' shapes: ModelConfig and, for RWKV-7, the ranks of the low-rank maps.
struct ModelShape : ModelConfig {
  int64_t rank_w = 0, rank_a = 0, rank_v = 0, rank_g = 0;
};

/// The shape that the reference training code gives a model of these sizes: attention as wide as the embedding, ffn 4C,
/// heads of `head_size` (RWKV-7), ranks by its rule (reference: RWKV-LM's RWKV-v7/train_temp). Fails where width is not
/// a multiple of the head size, or a size is not positive, or the generation is not 4 or 7.
Result<ModelShape> MakeShape(Generation generation, int64_t vocab, int64_t layers, int64_t width, int64_t head_size = 64);
/// The shape of stored weights, for going on with them. Fails on generations that cannot be trained.
Result<ModelShape> ReadShape(const Checkpoint& checkpoint);

/// One tensor within the flat arrays that hold all parameters, their gradients and the optimizer's moments.
struct Parameter {
  std::string name;       ///< canonical (BlinkDL's .pth): "blocks.0.att.key.weight"
  Shape shape;            ///< canonical: matrices [out, in]; low-rank [in, rank] and [rank, out]; vectors [C], r_k [H, N]
  Role role;              ///< kEmbedding, kHead, kMatrix, kLowRank are matrix operands; kNorm and kVector are not
  int64_t offset = 0;     ///< of its first element
  int64_t size = 0;
  int64_t layer = 0;      ///< −1: before the layers (embedding, ln0); L: after them (ln_out, head)
  bool is_matrix() const { return role != Role::kNorm && role != Role::kVector; }
};

/// Every parameter, in the order embedding and ln0, layers, ln_out and head: a layer's parameters are contiguous, so that
/// a backward pass that has finished a layer has finished one range of the gradient. Within a layer, what is no matrix
/// comes first (the gradients of those are summed over rows by several threads, in one piece). Offsets are multiples
/// of 16 elements; the gaps stay zero.
class ParameterLayout {
 public:
  explicit ParameterLayout(const ModelShape& shape);
  const ModelShape& shape() const { return shape_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Of that name; it must exist.
  const Parameter& Get(const std::string& name) const;
  const Parameter* Find(const std::string& name) const;
  int64_t total() const { return total_; }       ///< elements of a flat array, gaps included
  int64_t count() const { return count_; }       ///< parameters proper
  int64_t matrix_count() const { return matrix_count_; }  ///< of those, elements of matrices that are multiplied (not the embedding)
  /// [begin, end) of layer −1 … L within the flat arrays.
  struct Range {
    int64_t begin, end;
  };
  Range LayerRange(int64_t layer) const;
  /// The part of it before its first matrix: norms and vectors.
  Range VectorRange(int64_t layer) const;

 private:
  void Add(std::string name, Shape shape, Role role, int64_t layer);
  void AddRwkv4(int64_t layer);
  void AddRwkv7(int64_t layer);
  void PlaceAll();

  ModelShape shape_;
  std::vector<Parameter> parameters_;
  int64_t total_ = 0, count_ = 0, matrix_count_ = 0;
};

}  // namespace tern::train
