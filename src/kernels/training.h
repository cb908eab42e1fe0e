// What training needs beyond inference (which takes RWKV-7's keys and bonus from here): forward row functions over any number
// type, and the backward of each directly under it. The table for float follows the level that Kernels() uses; double and complex<double> have the reference
// code alone, which is what proves gradients (a complex step has no cancellation).
//
// Conventions. Rows have n channels. Table entries are single-threaded and pure. A backward takes the upstream gradient
// dy and either sets a gradient (named "sets") or adds to it ("+="); parameter gradients are always added, so that a
// caller gives each thread a partial sum of its own. Arrays don't overlap unless a comment allows it.
#pragma once

#include <complex>
#include <cstdint>

#include "kernels/ops.h"

namespace tern::kernels {

/// RWKV-4's recurrence as Wkv4Args, over channels [c0, c1), keeping nothing: its backward recomputes.
template <typename Number>
struct TrainWkv4Args {
  int64_t T, c0, c1;    ///< tokens, channels
  const Number* w;      ///< [C]  −exp(time_decay)
  const Number* u;      ///< [C]  time_first
  const Number *k, *v;  ///< [T, C], rows `stride` apart; y likewise
  Number* y;
  int64_t stride;
  Number *a, *b, *p;    ///< [C] state, updated in place; p starts at −1e38
};

/// Its backward. The start state is a constant, and nothing flows into the end state (truncated backpropagation).
template <typename Number>
struct Wkv4BackwardArgs {
  int64_t T, c0, c1;
  const Number *w, *u, *k, *v;  ///< as given forward
  const Number *a, *b, *p;      ///< [C] the state *before* the first token
  const Number* y;              ///< [T, C] what the forward gave
  const Number* dy;             ///< [T, C]
  int64_t stride;
  Number *dk, *dv;              ///< [T, C], set
  Number *dw, *du;              ///< [C], +=   (dw is the gradient of w itself, not of time_decay)
};

/// RWKV-7, one head, as Wkv7Args; keeps the state before every kWkv7CheckpointTokens-th token for the backward.
inline constexpr int64_t kWkv7CheckpointTokens = 16;
inline constexpr int64_t Wkv7Checkpoints(int64_t tokens) {
  return (tokens + kWkv7CheckpointTokens - 1) / kWkv7CheckpointTokens;
}
template <typename Number>
struct TrainWkv7Args {
  int64_t T, N;
  const Number *r, *w, *k, *v, *kk, *a;  ///< [T, N], rows `stride` apart; w is the decay itself
  int64_t stride;
  Number* y;                             ///< [T, N], rows `stride` apart
  Number* S;                             ///< [N (value i), N (key j)] state, updated in place
  Number* checkpoints;                   ///< [Wkv7Checkpoints(T), N, N], or nullptr when no backward will follow
};

/// Its backward: states inside a chunk are recomputed from its checkpoint, so it is exact at any decay and length.
template <typename Number>
struct Wkv7BackwardArgs {
  int64_t T, N;
  const Number *r, *w, *k, *v, *kk, *a;
  const Number* dy;                      ///< [T, N]; all rows `stride` apart
  int64_t stride;
  const Number* checkpoints;             ///< from the forward
  Number *dr, *dw, *dk, *dv, *dkk, *da;  ///< [T, N], set
};

struct AdamArgs {
  int64_t n;
  float *parameters, *m, *v;      ///< fp32 master values and the two moments
  const float* gradients;
  float gradient_scale;           ///< clipping and accumulation: g = gradients · gradient_scale
  float learning_rate, beta1, beta2, eps;
  float correction1, correction2; ///< 1/(1 − β1^t), 1/(1 − β2^t)
  float decay;                    ///< decoupled: parameters ·= 1 − learning_rate · decay, first
};

/// p ← p·(1 − lr·decay);  m ← β1 m + (1−β1) g;  v ← β2 v + (1−β2) g²;
/// p ← p − lr · (m·correction1) / (√(v·correction2) + eps)
using AdamStep = void (*)(const AdamArgs& args);

template <typename T>
struct TrainingTable {
  /// y = (x − mean)/√(var + eps)·weight + bias over n channels.
  void (*layer_norm)(T* y, const T* x, const T* weight, const T* bias, int64_t n, double eps);
  /// dx += …, dweight += dy⊙x̂, dbias += dy.
  void (*layer_norm_backward)(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, int64_t n,
                              double eps);

  /// The same over each of `groups` equal parts; the backward *sets* dx (which may be dy).
  void (*group_norm)(T* y, const T* x, const T* weight, const T* bias, int64_t n, int64_t groups, double eps);
  void (*group_norm_backward)(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, int64_t n,
                              int64_t groups, double eps);

  /// y = x + (x_prev − x)⊙mu. Backward: dx += dy⊙(1 − mu), dx_prev += dy⊙mu, dmu += dy⊙(x_prev − x).
  void (*shift_mix)(T* y, const T* x, const T* x_prev, const T* mu, int64_t n);
  void (*shift_mix_backward)(T* dx, T* dx_prev, T* dmu, const T* dy, const T* x, const T* x_prev, const T* mu,
                             int64_t n);

  /// y = σ(x + bias); bias may be nullptr, y may be x. Backward, from y: dx = dy⊙y⊙(1 − y), set; dx may be dy.
  void (*sigmoid)(T* y, const T* x, const T* bias, int64_t n);
  void (*sigmoid_backward)(T* dx, const T* dy, const T* y, int64_t n);
  /// y = tanh x; y may be x. Backward: dx = dy⊙(1 − y²), set; dx may be dy.
  void (*tanh)(T* y, const T* x, int64_t n);
  void (*tanh_backward)(T* dx, const T* dy, const T* y, int64_t n);
  /// y = max(x, 0)². Backward, from x: dx = 2·dy⊙max(x, 0), set; dx may be dy.
  void (*relu_squared)(T* y, const T* x, int64_t n);
  void (*relu_squared_backward)(T* dx, const T* dy, const T* x, int64_t n);
  /// RWKV-7's decay from s = σ(ŵ): y = exp(−e^{−1/2}·s). Backward: ds = −e^{−1/2}·dy⊙y, set; ds may be dy.
  void (*decay7)(T* y, const T* s, int64_t n);
  void (*decay7_backward)(T* ds, const T* dy, const T* y, int64_t n);

  /// y = x⊙z. Backward: dx = dy⊙z and dz = dy⊙x, set; dx may be dy, dz may not.
  void (*mul)(T* y, const T* x, const T* z, int64_t n);
  void (*mul_backward)(T* dx, T* dz, const T* dy, const T* x, const T* z, int64_t n);
  /// y = x + (z − x)⊙m, y may be x. Backward: dx = dy⊙(1 − m) set (dx may be dy), dz += dy⊙m, dm = dy⊙(z − x) set.
  void (*lerp)(T* y, const T* x, const T* z, const T* m, int64_t n);
  void (*lerp_backward)(T* dx, T* dz, T* dm, const T* dy, const T* x, const T* z, const T* m, int64_t n);
  /// y += x.
  void (*add)(T* y, const T* x, int64_t n);

  /// RWKV-7's removal key, per head of N: kk = k⊙k_k / max(‖k⊙k_k‖, 1e-12).
  /// Backward: dk += …, dk_k += …, from dkk.
  void (*removal_key)(T* kk, const T* k, const T* k_k, int64_t n, int64_t N);
  void (*removal_key_backward)(T* dk, T* dk_k, const T* dkk, const T* k, const T* k_k, int64_t n, int64_t N);
  /// RWKV-7's replacement key: y = k⊙(1 + (a − 1)⊙k_a), y may be k. Backward: dk = … set, da += …, dk_a += …; dk may be dy.
  void (*replacement_key)(T* y, const T* k, const T* a, const T* k_a, int64_t n);
  void (*replacement_key_backward)(T* dk, T* da, T* dk_a, const T* dy, const T* k, const T* a, const T* k_a, int64_t n);
  /// RWKV-7's bonus, per head of N: y += (Σ_head r⊙k⊙r_k)·v. Backward: dr, dk, dv, dr_k += ….
  void (*bonus)(T* y, const T* r, const T* k, const T* v, const T* r_k, int64_t n, int64_t N);
  void (*bonus_backward)(T* dr, T* dk, T* dv, T* dr_k, const T* dy, const T* r, const T* k, const T* v, const T* r_k,
                         int64_t n, int64_t N);

  /// Cross entropy of one row of V logits: returns −log softmax(logits)[target] in nats, and where `gradient` is given
  /// (it may be `logits`) sets it to scale·(softmax − onehot(target)), plus scale·l2wrap·max_logit at the first largest
  /// logit (the gradient of ½·l2wrap·max², which the returned loss does not count).
  T (*cross_entropy)(T* gradient, const T* logits, int64_t V, int64_t target, T scale, T l2wrap);

  void (*wkv4)(const TrainWkv4Args<T>& args);
  void (*wkv4_backward)(const Wkv4BackwardArgs<T>& args);
  void (*wkv7)(const TrainWkv7Args<T>& args);
  void (*wkv7_backward)(const Wkv7BackwardArgs<T>& args);
};

/// What only fp32 training uses.
struct OptimizerTable {
  AdamStep adam;
  /// Σ x² in double, in an order that depends on n alone. NaN and infinity pass through.
  double (*sum_squares)(const float* x, int64_t n);
  /// Round to nearest even, NaN kept; and back (exact).
  void (*to_bf16)(uint16_t* y, const float* x, int64_t n);
  void (*from_bf16)(float* y, const uint16_t* x, int64_t n);
};

/// The table for T ∈ {float, double, std::complex<double>}. Thread-safe. (float: of the level in use.)
template <typename T>
const TrainingTable<T>& Training();
template <>
const TrainingTable<float>& Training<float>();
template <>
const TrainingTable<double>& Training<double>();
template <>
const TrainingTable<std::complex<double>>& Training<std::complex<double>>();
/// Of one level, or nullptr where this build or processor has not got it.
const TrainingTable<float>* TrainingOf(Level level);
const OptimizerTable& Optimizer();
const OptimizerTable* OptimizerOf(Level level);

}  // namespace tern::kernels
