// RWKV-7 (Goose): the state is edited by a generalised delta rule: at each token it forgets what stands under the key
// kk (at an in-context learning rate a), decays, and writes v under the key k.
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "kernels/ops.h"
#include "kernels/training.h"
#include "model/architecture.h"

namespace tern {
namespace {

/// x ↦ x·w1·w2 through a small rank, with or without something between.
struct LowRank {
  MatrixParam w1;  // [D, C]
  MatrixParam w2;  // [A, D]
  int64_t rank() const { return w1.rows(); }
};

struct LayerWeights : BlockWeights {
  struct {
    VectorParam x_r, x_w, x_k, x_v, x_a, x_g;            // [C]
    VectorParam w0, a0, v0;                              // [A]; layer 0 has no v
    LowRank w, a, v, g;
    VectorParam k_k, k_a;                                // [A]
    VectorParam r_k;                                     // [H, N]
    MatrixParam receptance, key, value;                  // [A, C]
    MatrixParam output;                                  // [C, A]
    LayerNormParam ln_x;                                 // [A] per head
  } att;
};

/// The rows of one TimeMix, [T, A] each.
struct Rows {
  float *r, *k, *v, *w, *a, *g, *kk;
};

class Rwkv7 : public Architecture {
 public:
  explicit Rwkv7(const ModelConfig& config) : config_(config), layers_(static_cast<size_t>(config.layers)) {}

  void Visit(int64_t layer, TensorVisitor& v) override {
    LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const int64_t C = config_.width, A = config_.att_width, F = config_.ffn_width;
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
    const auto low_rank = [&](const char* w1, const char* w2, LowRank& p) {
      v.Matrix(att + w1, p.w1, kAnySize, C, Role::kLowRank);
      v.Matrix(att + w2, p.w2, A, p.rank(), Role::kLowRank);
    };
    v.Norm(block + "ln1", l.ln1, C);
    v.Norm(block + "ln2", l.ln2, C);
    v.Vector(att + "x_r", l.att.x_r, {C});
    v.Vector(att + "x_w", l.att.x_w, {C});
    v.Vector(att + "x_k", l.att.x_k, {C});
    v.Vector(att + "x_v", l.att.x_v, {C});
    v.Vector(att + "x_a", l.att.x_a, {C});
    v.Vector(att + "x_g", l.att.x_g, {C});
    v.Vector(att + "w0", l.att.w0, {A});
    low_rank("w1", "w2", l.att.w);
    v.Vector(att + "a0", l.att.a0, {A});
    low_rank("a1", "a2", l.att.a);
    if (layer > 0) {  // files may carry blocks.0.att.v*; nothing reads them
      v.Vector(att + "v0", l.att.v0, {A});
      low_rank("v1", "v2", l.att.v);
    }
    low_rank("g1", "g2", l.att.g);
    v.Vector(att + "k_k", l.att.k_k, {A});
    v.Vector(att + "k_a", l.att.k_a, {A});
    v.Vector(att + "r_k", l.att.r_k, {config_.heads, config_.head_size});
    v.Matrix(att + "receptance.weight", l.att.receptance, A, C);
    v.Matrix(att + "key.weight", l.att.key, A, C);
    v.Matrix(att + "value.weight", l.att.value, A, C);
    v.Matrix(att + "output.weight", l.att.output, C, A);
    v.Norm(att + "ln_x", l.att.ln_x, A);
    v.Vector(ffn + "x_k", l.ffn.mu_k, {C});
    v.Matrix(ffn + "key.weight", l.ffn.key, F, C);
    v.Matrix(ffn + "value.weight", l.ffn.value, C, F, Role::kSparseInput);
  }

 protected:
  const BlockWeights& Block(int64_t layer) const override { return layers_[static_cast<size_t>(layer)]; }

  /// residual += W_o ((GroupNorm(wkv) + (Σ_head r⊙k⊙r_k)·v) ⊙ g).
  void TimeMix(Pass& pass, int64_t layer, const float* x, float* residual) const override {
    const LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t C = config_.width, A = config_.att_width;
    Workspace::Scope scope(pass.workspace);
    const Rows y{pass.Rows(A), pass.Rows(A), pass.Rows(A), pass.Rows(A), pass.Rows(A), pass.Rows(A), pass.Rows(A)};
    Project(pass, l, layer, x, y);
    float* wkv = pass.Rows(A);
    ForEachHead(pass, [&](int64_t sequence, int64_t head) {
      const auto s = static_cast<size_t>(sequence);
      const int64_t N = config_.head_size, at = pass.starts[s] * A + head * N;
      kernels::Kernels().wkv7({.T = pass.starts[s + 1] - pass.starts[s], .N = N, .r = y.r + at, .w = y.w + at,
                               .k = y.k + at, .v = y.v + at, .kk = y.kk + at, .a = y.a + at, .stride = A,
                               .y = wkv + at, .S = pass.states[s]->wkv(layer) + head * N * N});
    });
    ForEachRow(pass, [&](int64_t t) { Finish(l, t, y, wkv + t * A); });
    float* out = pass.Rows(C);
    Multiply(pass, {{l.att.output, wkv, out}});
    ForEachRow(pass, [&](int64_t t) { kernel.add(residual + t * C, out + t * C, C); });
  }

 private:
  /// r, k, v, decay w, learning rate a, gate g and removal key kk from the normalised x [T, C].
  void Project(Pass& pass, const LayerWeights& l, int64_t layer, const float* x, const Rows& y) const {
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t C = config_.width;
    const bool first = layer == 0;
    Workspace::Scope scope(pass.workspace);
    float *x_r = pass.Rows(C), *x_w = pass.Rows(C), *x_k = pass.Rows(C), *x_v = pass.Rows(C), *x_a = pass.Rows(C),
          *x_g = pass.Rows(C);
    const ShiftedRows shifted(pass, x, layer, ShiftedRows::Which::kAtt);
    ShiftMix(pass, shifted, {{l.att.x_r, x_r}, {l.att.x_w, x_w}, {l.att.x_k, x_k},
                             {l.att.x_v, x_v}, {l.att.x_a, x_a}, {l.att.x_g, x_g}});
    shifted.Save();
    const int64_t Dw = l.att.w.rank(), Da = l.att.a.rank(), Dg = l.att.g.rank(), Dv = l.att.v.rank();
    float *w1 = pass.Rows(Dw), *a1 = pass.Rows(Da), *g1 = pass.Rows(Dg), *v1 = pass.Rows(Dv), *v_mix = nullptr;
    if (first) {
      Multiply(pass, {{l.att.receptance, x_r, y.r}, {l.att.key, x_k, y.k}, {l.att.value, x_v, y.v},
                      {l.att.w.w1, x_w, w1}, {l.att.a.w1, x_a, a1}, {l.att.g.w1, x_g, g1}});
    } else {
      Multiply(pass, {{l.att.receptance, x_r, y.r}, {l.att.key, x_k, y.k}, {l.att.value, x_v, y.v},
                      {l.att.w.w1, x_w, w1}, {l.att.a.w1, x_a, a1}, {l.att.g.w1, x_g, g1}, {l.att.v.w1, x_v, v1}});
    }
    ForEachRow(pass, [&](int64_t t) {
      kernel.tanh(w1 + t * Dw, w1 + t * Dw, Dw);
      kernel.sigmoid(g1 + t * Dg, g1 + t * Dg, Dg);
    });
    if (first) {
      Multiply(pass, {{l.att.w.w2, w1, y.w}, {l.att.a.w2, a1, y.a}, {l.att.g.w2, g1, y.g}});
    } else {
      v_mix = pass.Rows(config_.att_width);
      Multiply(pass, {{l.att.w.w2, w1, y.w}, {l.att.a.w2, a1, y.a}, {l.att.g.w2, g1, y.g}, {l.att.v.w2, v1, v_mix}});
    }
    ForEachRow(pass, [&](int64_t t) { Activate(l, pass.v_first, v_mix, t, y); });
  }

  /// The per-channel part of row t: decay, learning rate, value residual, the two keys.
  void Activate(const LayerWeights& l, float* v_first, float* v_mix, int64_t t, const Rows& y) const {
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t A = config_.att_width, N = config_.head_size, at = t * A;
    float *w = y.w + at, *a = y.a + at, *k = y.k + at, *v = y.v + at, *kk = y.kk + at;
    kernel.add(w, l.att.w0.data(), A);
    kernel.decay7(w, w, A);
    kernel.add(a, l.att.a0.data(), A);
    kernel.sigmoid(a, a, A);
    if (v_mix == nullptr) {
      std::memcpy(v_first + at, v, static_cast<size_t>(A) * sizeof(float));
    } else {  // v ← v + (v_first − v)⊙σ(v0 + (x_v·v1)·v2)
      float* mix = v_mix + at;
      kernel.add(mix, l.att.v0.data(), A);
      kernel.sigmoid(mix, mix, A);
      kernel.shift_mix(v, v, v_first + at, mix, A);
    }
    const auto& row = kernels::Training<float>();
    row.removal_key(kk, k, l.att.k_k.data(), A, N);
    row.replacement_key(k, k, a, l.att.k_a.data(), A);
  }

  /// Row t of what W_o reads: (GroupNorm(wkv) + (Σ_head r⊙k⊙r_k)·v) ⊙ g.
  void Finish(const LayerWeights& l, int64_t t, const Rows& y, float* wkv) const {
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t A = config_.att_width, N = config_.head_size, at = t * A;
    kernel.group_norm(wkv, wkv, l.att.ln_x.weight.data(), l.att.ln_x.bias.data(), A, config_.heads, config_.gn_eps);
    kernels::Training<float>().bonus(wkv, y.r + at, y.k + at, y.v + at, l.att.r_k.data(), A, N);
    kernel.mul(wkv, y.g + at, A);
  }

  const ModelConfig config_;
  std::vector<LayerWeights> layers_;
};

}  // namespace

std::unique_ptr<Architecture> MakeRwkv7(const ModelConfig& config) { return std::make_unique<Rwkv7>(config); }

}  // namespace tern
