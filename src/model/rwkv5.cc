// RWKV-5 (Eagle): a matrix-valued state per head. Three forms are in the wild: 5.0 (decay and bonus per head, no
// gate), 5.1 (a gate), 5.2 (decay and bonus per channel); the tensors tell.
#include <vector>

#include <fmt/format.h>

#include "model/architecture.h"

namespace tern {
namespace {

struct LayerWeights : BlockWeights {
  struct {
    VectorParam mu_k, mu_v, mu_r, mu_g;        // [C] weights of the previous token: 1 − time_mix; mu_g from 5.1 on
    VectorParam w;                             // [A] exp(−exp(time_decay)), in (0, 1)
    VectorParam u;                             // [A] time_faaaa, or exp(time_first)
    MatrixParam key, value, receptance, gate;  // [A, C]; gate from 5.1 on
    MatrixParam output;                        // [C, A]
    LayerNormParam ln_x;                       // [A] per head
  } att;
};

class Rwkv5 : public Architecture {
 public:
  explicit Rwkv5(const ModelConfig& config) : config_(config), layers_(static_cast<size_t>(config.layers)) {}

  void Visit(int64_t layer, TensorVisitor& v) override {
    LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const int64_t C = config_.width, A = config_.att_width, F = config_.ffn_width;
    const bool per_channel = config_.generation == Generation::kRwkv5_2;
    const Shape per_head = per_channel ? Shape{config_.heads, config_.head_size} : Shape{config_.heads};
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
    v.Norm(block + "ln1", l.ln1, C);
    v.Norm(block + "ln2", l.ln2, C);
    v.Vector(att + "time_decay", l.att.w, per_head, Role::kVector, Encoding::kExpNegExp);
    // The bonus is called time_faaaa when it is stored as it is used, time_first when it is stored as a logarithm.
    if (v.Has(att + "time_faaaa")) {
      v.Vector(att + "time_faaaa", l.att.u, per_head);
    } else {
      v.Vector(att + "time_first", l.att.u, per_head, Role::kVector, Encoding::kExp);
    }
    v.Vector(att + "time_mix_k", l.att.mu_k, {C});
    v.Vector(att + "time_mix_v", l.att.mu_v, {C});
    v.Vector(att + "time_mix_r", l.att.mu_r, {C});
    v.Matrix(att + "key.weight", l.att.key, A, C);
    v.Matrix(att + "value.weight", l.att.value, A, C);
    v.Matrix(att + "receptance.weight", l.att.receptance, A, C);
    if (gated()) {
      v.Vector(att + "time_mix_g", l.att.mu_g, {C});
      v.Matrix(att + "gate.weight", l.att.gate, A, C);
    }
    v.Matrix(att + "output.weight", l.att.output, C, A);
    v.Norm(att + "ln_x", l.att.ln_x, A);
    v.Vector(ffn + "time_mix_k", l.ffn.mu_k, {C});
    v.Vector(ffn + "time_mix_r", l.ffn.mu_r, {C});
    v.Matrix(ffn + "key.weight", l.ffn.key, F, C);
    v.Matrix(ffn + "receptance.weight", l.ffn.receptance, C, C);
    v.Matrix(ffn + "value.weight", l.ffn.value, C, F, Role::kSparseInput);
  }

  void Prepare() override {
    for (LayerWeights& l : layers_) {
      for (VectorParam* mu : {&l.att.mu_k, &l.att.mu_v, &l.att.mu_r, &l.att.mu_g, &l.ffn.mu_k, &l.ffn.mu_r}) {
        ComplementMix(*mu);
      }
      RepeatPerHead(l.att.w);
      RepeatPerHead(l.att.u);
    }
  }

 protected:
  const BlockWeights& Block(int64_t layer) const override { return layers_[static_cast<size_t>(layer)]; }

  bool gated() const { return config_.generation != Generation::kRwkv5_0; }

  /// [H] → [H, N]
  void RepeatPerHead(VectorParam& p) const {
    if (p.size() == config_.att_width) return;
    std::vector<float> wide;
    wide.reserve(static_cast<size_t>(config_.att_width));
    for (float value : p.values) wide.insert(wide.end(), static_cast<size_t>(config_.head_size), value);
    p.values = std::move(wide);
  }

  /// residual += W_o (GroupNorm(wkv) [⊙ silu(g)]), with r, k, v, g from the shifted x [T, C].
  void TimeMix(Pass& pass, int64_t layer, const float* x, float* residual) const override {
    const LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const int64_t C = config_.width, A = config_.att_width;
    Workspace::Scope scope(pass.workspace);
    float *x_k = pass.Rows(C), *x_v = pass.Rows(C), *x_r = pass.Rows(C);
    float *k = pass.Rows(A), *v = pass.Rows(A), *r = pass.Rows(A), *g = nullptr;
    const ShiftedRows shifted(pass, x, layer, ShiftedRows::Which::kAtt);
    if (gated()) {
      float* x_g = pass.Rows(C);
      g = pass.Rows(A);
      ShiftMix(pass, shifted, {{l.att.mu_k, x_k}, {l.att.mu_v, x_v}, {l.att.mu_r, x_r}, {l.att.mu_g, x_g}});
      Multiply(pass, {{l.att.key, x_k, k}, {l.att.value, x_v, v}, {l.att.receptance, x_r, r}, {l.att.gate, x_g, g}});
    } else {
      ShiftMix(pass, shifted, {{l.att.mu_k, x_k}, {l.att.mu_v, x_v}, {l.att.mu_r, x_r}});
      Multiply(pass, {{l.att.key, x_k, k}, {l.att.value, x_v, v}, {l.att.receptance, x_r, r}});
    }
    shifted.Save();
    float* wkv = r;
    MatrixStateWkv(pass, layer, r, k, v, l.att.w.data(), /*w_stride=*/0, l.att.u, wkv);
    GatedOutput(pass, l.att.ln_x, l.att.output, wkv, g, residual);
  }

 private:
  const ModelConfig config_;
  std::vector<LayerWeights> layers_;
};

}  // namespace

std::unique_ptr<Architecture> MakeRwkv5(const ModelConfig& config) { return std::make_unique<Rwkv5>(config); }

}  // namespace tern
