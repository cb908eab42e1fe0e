// RWKV-4, the paper's model (arXiv:2305.13048, section 3). Per channel: an exponentially decaying weighted mean of the
// values, with a bonus u for the present token.
#include <vector>

#include <fmt/format.h>

#include "kernels/ops.h"
#include "model/architecture.h"

namespace tern {
namespace {

struct LayerWeights : BlockWeights {
  struct {
    VectorParam mu_k, mu_v, mu_r;          // [C] weights of the previous token: 1 − time_mix
    VectorParam w;                         // [A] −exp(time_decay)
    VectorParam u;                         // [A] time_first
    MatrixParam key, value, receptance;    // [A, C]
    MatrixParam output;                    // [C, A]
  } att;
};

class Rwkv4 : public Architecture {
 public:
  explicit Rwkv4(const ModelConfig& config) : config_(config), layers_(static_cast<size_t>(config.layers)) {}

  void Visit(int64_t layer, TensorVisitor& v) override {
    LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const int64_t C = config_.width, A = config_.att_width, F = config_.ffn_width;
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
    v.Norm(block + "ln1", l.ln1, C);
    v.Norm(block + "ln2", l.ln2, C);
    v.Vector(att + "time_decay", l.att.w, {A}, Role::kVector, Encoding::kNegExp);
    v.Vector(att + "time_first", l.att.u, {A});
    v.Vector(att + "time_mix_k", l.att.mu_k, {C});
    v.Vector(att + "time_mix_v", l.att.mu_v, {C});
    v.Vector(att + "time_mix_r", l.att.mu_r, {C});
    v.Matrix(att + "key.weight", l.att.key, A, C);
    v.Matrix(att + "value.weight", l.att.value, A, C);
    v.Matrix(att + "receptance.weight", l.att.receptance, A, C);
    v.Matrix(att + "output.weight", l.att.output, C, A);
    v.Vector(ffn + "time_mix_k", l.ffn.mu_k, {C});
    v.Vector(ffn + "time_mix_r", l.ffn.mu_r, {C});
    v.Matrix(ffn + "key.weight", l.ffn.key, F, C);
    v.Matrix(ffn + "receptance.weight", l.ffn.receptance, C, C);
    v.Matrix(ffn + "value.weight", l.ffn.value, C, F, Role::kSparseInput);
  }

  void Prepare() override {
    for (LayerWeights& l : layers_) {
      for (VectorParam* mu : {&l.att.mu_k, &l.att.mu_v, &l.att.mu_r, &l.ffn.mu_k, &l.ffn.mu_r}) ComplementMix(*mu);
    }
  }

 protected:
  const BlockWeights& Block(int64_t layer) const override { return layers_[static_cast<size_t>(layer)]; }

  /// residual += W_o (σ(r) ⊙ wkv), with r, k, v from the shifted x [T, C].
  void TimeMix(Pass& pass, int64_t layer, const float* x, float* residual) const override {
    const LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t C = config_.width, A = config_.att_width;
    Workspace::Scope scope(pass.workspace);
    float *x_k = pass.Rows(C), *x_v = pass.Rows(C), *x_r = pass.Rows(C);
    float *k = pass.Rows(A), *v = pass.Rows(A), *r = pass.Rows(A);
    const ShiftedRows shifted(pass, x, layer, ShiftedRows::Which::kAtt);
    ShiftMix(pass, shifted, {{l.att.mu_k, x_k}, {l.att.mu_v, x_v}, {l.att.mu_r, x_r}});
    shifted.Save();
    Multiply(pass, {{l.att.key, x_k, k}, {l.att.value, x_v, v}, {l.att.receptance, x_r, r}});
    float* wkv = v;
    Wkv(pass, l, layer, k, v, wkv);
    ForEachRow(pass, [&](int64_t t) {
      kernel.sigmoid(r + t * A, r + t * A, A);
      kernel.mul(wkv + t * A, r + t * A, A);
    });
    float* out = x_k;  // x_k has served
    Multiply(pass, {{l.att.output, wkv, out}});
    ForEachRow(pass, [&](int64_t t) { kernel.add(residual + t * C, out + t * C, C); });
  }

 private:
  /// Sequences × stripes of channels, in parallel: channels do not depend on each other.
  void Wkv(const Pass& pass, const LayerWeights& l, int64_t layer, const float* k, const float* v, float* y) const {
    constexpr int64_t kStripe = 128;
    const int64_t A = config_.att_width, stripes = (A + kStripe - 1) / kStripe;
    ParallelFor(pass.sequences() * stripes, pass.T > pass.sequences() ? 1 : 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto s = static_cast<size_t>(i / stripes);
        const int64_t c0 = i % stripes * kStripe, c1 = c0 + kStripe < A ? c0 + kStripe : A;
        const int64_t row = pass.starts[s], at = row * A;
        float* state = pass.states[s]->wkv(layer);
        kernels::Kernels().wkv4({.T = pass.starts[s + 1] - row, .c0 = c0, .c1 = c1, .w = l.att.w.data(),
                                 .u = l.att.u.data(), .k = k + at, .v = v + at, .y = y + at, .stride = A, .a = state,
                                 .b = state + A, .p = state + 2 * A});
      }
    });
  }

  const ModelConfig config_;
  std::vector<LayerWeights> layers_;
};

}  // namespace

std::unique_ptr<Architecture> MakeRwkv4(const ModelConfig& config) { return std::make_unique<Rwkv4>(config); }

}  // namespace tern
