// What the generations share: the batch as a layer sees it, token shift, norms, products, the channel mix.
// Shapes: T rows (all tokens of all sequences, one sequence after the other), C channels; everything fp32 row-major.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "model/config.h"
#include "model/state.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace tern {

/// One forward pass over a ragged batch: rows [starts[s], starts[s+1]) belong to sequence s with states[s].
struct Pass {
  const ModelConfig& config;
  int64_t T;
  std::span<const int64_t> starts;   ///< [S + 1]
  std::span<State* const> states;    ///< [S]
  Workspace& workspace;
  std::span<const kernels::RowRange> many = {};  ///< rows of sequences with many tokens (MatMulJob::many)
  float* v_first = nullptr;          ///< [T, A] RWKV-7: layer 0's values, which later layers mix in

  int64_t sequences() const { return static_cast<int64_t>(states.size()); }
  float* Rows(int64_t columns) { return workspace.Take(T * columns); }
};

/// Calls fn(t) for every row; on several threads when there are enough rows to be worth it.
void ForEachRow(const Pass& pass, FunctionRef<void(int64_t t)> fn);

/// y = LayerNorm(x), every row. y may be x.
void Normalise(const Pass& pass, const LayerNormParam& norm, const float* x, float* y);

/// The token before, for each row of a sub-block's normalised input: the row above, or what the state kept from the
/// last call. Save() must follow once the mixes are made.
class ShiftedRows {
 public:
  enum class Which { kAtt, kFfn };
  /// x [T, C]: the normalised input; must stay as it is until Save().
  ShiftedRows(const Pass& pass, const float* x, int64_t layer, Which which);
  const float* row(int64_t t) const { return x_ + t * width_; }
  const float* previous(int64_t t) const { return previous_[static_cast<size_t>(t)]; }
  /// Keeps each sequence's last row in its state.
  void Save() const;

 private:
  float* Kept(size_t sequence) const;
  const Pass& pass_;
  const float* x_;
  int64_t width_, layer_;
  Which which_;
  std::vector<const float*> previous_;
};

/// One token-shift mixture: y = x + (x_prev − x)⊙mu.
struct Mix {
  const VectorParam& mu;  ///< [C]
  float* y;               ///< [T, C]
};
void ShiftMix(const Pass& pass, const ShiftedRows& x, std::initializer_list<Mix> mixes);

/// y = scale · x Wᵀ.
struct Product {
  const MatrixParam& w;   ///< [out, in]
  const float* x;         ///< [T, in]
  float* y;               ///< [T, out]
  int64_t x_stride = 0;   ///< 0: dense
};
/// All of them in one parallel region.
void Multiply(const Pass& pass, std::initializer_list<Product> products);

/// Turns RWKV-4's and 5's mu (weight of the present token) into the weight of the previous one, once, at loading.
void ComplementMix(VectorParam& mu);

/// ChannelMix: W_v · max(W_k x_k, 0)², times σ(W_r x_r) in the generations that have `receptance`.
struct ChannelMixParam {
  VectorParam mu_k, mu_r;                    ///< [C] weights of the previous token; mu_r is empty in RWKV-7
  MatrixParam key, receptance, value;        ///< [F, C], [C, C] or empty, [C, F]
};
/// x [T, C] normalised; adds the result to `residual` [T, C] and updates the states.
void ChannelMix(Pass& pass, const ChannelMixParam& p, int64_t layer, const float* x, float* residual);

/// Calls fn(sequence, head) for all of them in parallel.
void ForEachHead(const Pass& pass, FunctionRef<void(int64_t sequence, int64_t head)> fn);

/// RWKV-5's and 6's recurrence over all sequences and heads (kernels/ops.h, Wkv6Args). r, k, v, y [T, A]; w [T, A] with
/// w_stride = A, or [A] with w_stride = 0; u [A]. y may be r, k or v. Updates the states.
void MatrixStateWkv(const Pass& pass, int64_t layer, const float* r, const float* k, const float* v, const float* w,
                    int64_t w_stride, const VectorParam& u, float* y);

/// residual [T, C] += W_o (GroupNorm(wkv) ⊙ silu(g)), GroupNorm per head; without the gate where g is null.
/// wkv and g [T, A] are overwritten.
void GatedOutput(Pass& pass, const LayerNormParam& ln_x, const MatrixParam& output, float* wkv, float* g,
                 float* residual);

}  // namespace tern
