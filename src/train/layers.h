// The layers of a training graph: every forward with its backward directly under it.
#pragma once

#include <cstdint>
#include <memory>

#include "train/pass.h"
#include "train/shifted_input.h"

namespace tern::train {

/// What a forward pass keeps for its backward: pointers into the arena.
struct Kept {
  virtual ~Kept() = default;
};

/// One sub-block with its residual connection: x_out = x_in + Dropout(SubBlock(LayerNorm(x_in))).
/// A forward's arena takes must stay until its backward; those of a backward end with it.
template <typename T>
class Residual {
 public:
  virtual ~Residual() = default;
  /// x_in, x_out [T, C], distinct; updates the streams' states.
  virtual std::unique_ptr<Kept> Forward(Pass<T>& pass, const T* x_in, T* x_out) const = 0;
  /// dx [T, C]: the gradient of x_out, turned into that of x_in. Adds the gradients of the parameters.
  virtual void Backward(Pass<T>& pass, const Kept& kept, VectorGradients<T>& gradients, T* dx) const = 0;
};

template <typename T>
std::unique_ptr<Residual<T>> MakeTimeMix4(const ParameterLayout& layout, int64_t layer);
template <typename T>
std::unique_ptr<Residual<T>> MakeTimeMix7(const ParameterLayout& layout, int64_t layer);
/// Of either generation: RWKV-4's is gated, RWKV-7's is not.
template <typename T>
std::unique_ptr<Residual<T>> MakeChannelMix(const ParameterLayout& layout, int64_t layer);

}  // namespace tern::train
