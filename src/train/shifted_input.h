// What every sub-block begins with: a LayerNorm of the residual stream, and token shift.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "train/pass.h"

namespace tern::train {

/// A token-shift mixture of the normalised rows x and the rows one token earlier.
/// RWKV-7: y = x + (x_prev − x)⊙mu. RWKV-4's mu weighs the present: y = x⊙mu + x_prev⊙(1 − mu).
template <typename T>
struct Mixture {
  const Parameter* mu = nullptr;  ///< [C]
  bool weighs_present = false;
  Rows<T> y;                      ///< forward: set, [T, C]
  const T* dy = nullptr;          ///< backward: its gradient, [T, C]
};

enum class SubBlock { kAtt, kFfn };

/// The normalised input [T, C] of one sub-block. Computed anew in the backward pass: cheaper than keeping it.
template <typename T>
class ShiftedInput {
 public:
  /// x [T, C]: the residual stream before the sub-block.
  ShiftedInput(Pass<T>& pass, int64_t layer, SubBlock sub_block, const T* x, const Parameter* weight,
               const Parameter* bias);

  void Mix(std::span<const Mixture<T>> mixtures) const;
  /// Keeps every stream's last row for its next batch.
  void SaveShift() const;
  /// dx [T, C] += the gradient through all mixtures and the LayerNorm; adds the parameters' own.
  void Backward(std::span<const Mixture<T>> mixtures, VectorGradients<T>& gradients, T* dx) const;

 private:
  const T* Row(int64_t t) const { return rows_ + t * C_; }
  const T* Previous(int64_t t) const;
  void MixBackward(const Mixture<T>& m, int64_t t, T* dx, T* dprev, T* dmu) const;
  T* Kept(StreamStates<T>& states, int64_t stream) const;

  Pass<T>& pass_;
  const int64_t layer_, C_;
  const SubBlock sub_block_;
  const T* x_;
  const Parameter *weight_, *bias_;
  T* rows_;
  std::vector<T> zeros_;
};

/// x_out = x_in + Dropout(o Wᵀ), for o [T, columns of W] and a sub-block's last matrix W.
template <typename T>
void AddOutput(Pass<T>& pass, int64_t layer, SubBlock sub_block, Rows<T> o, const Parameter* w, const T* x_in, T* x_out);
/// The site of a sub-block's dropout.
inline int64_t DropoutSite(int64_t layer, SubBlock sub_block) { return 2 * layer + (sub_block == SubBlock::kFfn); }
/// The gradient of a sub-block's output as an operand: dx with the dropout's mask.
template <typename T>
Rows<T> OutputGradient(Pass<T>& pass, int64_t layer, SubBlock sub_block, const T* dx);

}  // namespace tern::train
