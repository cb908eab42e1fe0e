// RWKV-6 (Finch): token shift and decay depend on the data, through low-rank products.
#include <array>
#include <vector>

#include <fmt/format.h>

#include "kernels/ops.h"
#include "model/architecture.h"

namespace tern {
namespace {

/// The five mixtures, in the order of time_maa_w1's columns and time_maa_w2's slices.
enum Branch { kW, kK, kV, kR, kG, kBranches };

struct LayerWeights : BlockWeights {
  struct {
    VectorParam maa_x;                           // [C]
    std::array<VectorParam, kBranches> maa;      // [C] time_maa_{w,k,v,r,g}
    MatrixParam maa_w1;                          // [5·D, C]
    std::array<MatrixParam, kBranches> maa_w2;   // [C, D]
    VectorParam time_decay;                      // [A]
    MatrixParam decay_w1, decay_w2;              // [E, C], [A, E]
    VectorParam u;                               // [A] time_faaaa
    MatrixParam key, value, receptance, gate;    // [A, C]
    MatrixParam output;                          // [C, A]
    LayerNormParam ln_x;                         // [A] per head
  } att;
};

class Rwkv6 : public Architecture {
 public:
  explicit Rwkv6(const ModelConfig& config) : config_(config), layers_(static_cast<size_t>(config.layers)) {}

  void Visit(int64_t layer, TensorVisitor& v) override {
    LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const int64_t C = config_.width, A = config_.att_width, F = config_.ffn_width;
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.", ffn = block + "ffn.";
    v.Norm(block + "ln1", l.ln1, C);
    v.Norm(block + "ln2", l.ln2, C);
    v.Vector(att + "time_maa_x", l.att.maa_x, {C});
    constexpr std::array<const char*, kBranches> kNames = {"w", "k", "v", "r", "g"};
    for (int j = 0; j < kBranches; ++j) v.Vector(att + "time_maa_" + kNames[Index(j)], l.att.maa[Index(j)], {C});
    v.Matrix(att + "time_maa_w1", l.att.maa_w1, kAnySize, C, Role::kLowRank);
    const int64_t D = (l.att.maa_w1.rows() + kBranches - 1) / kBranches;  // rounded up: 5·D + 1 columns fit no maa_w2
    for (int j = 0; j < kBranches; ++j) {
      v.LowRankSlice(att + "time_maa_w2", l.att.maa_w2[Index(j)], j, kBranches, C, D);
    }
    v.Vector(att + "time_decay", l.att.time_decay, {A});
    v.Matrix(att + "time_decay_w1", l.att.decay_w1, kAnySize, C, Role::kLowRank);
    v.Matrix(att + "time_decay_w2", l.att.decay_w2, A, l.att.decay_w1.rows(), Role::kLowRank);
    v.Vector(att + "time_faaaa", l.att.u, {config_.heads, config_.head_size});
    v.Matrix(att + "receptance.weight", l.att.receptance, A, C);
    v.Matrix(att + "key.weight", l.att.key, A, C);
    v.Matrix(att + "value.weight", l.att.value, A, C);
    v.Matrix(att + "gate.weight", l.att.gate, A, C);
    v.Matrix(att + "output.weight", l.att.output, C, A);
    v.Norm(att + "ln_x", l.att.ln_x, A);
    v.Vector(ffn + "time_maa_k", l.ffn.mu_k, {C});
    v.Vector(ffn + "time_maa_r", l.ffn.mu_r, {C});
    v.Matrix(ffn + "key.weight", l.ffn.key, F, C);
    v.Matrix(ffn + "receptance.weight", l.ffn.receptance, C, C);
    v.Matrix(ffn + "value.weight", l.ffn.value, C, F, Role::kSparseInput);
  }

 protected:
  const BlockWeights& Block(int64_t layer) const override { return layers_[static_cast<size_t>(layer)]; }

  static constexpr size_t Index(int j) { return static_cast<size_t>(j); }

  /// residual += W_o (GroupNorm(wkv) ⊙ silu(g)).
  void TimeMix(Pass& pass, int64_t layer, const float* x, float* residual) const override {
    const LayerWeights& l = layers_[static_cast<size_t>(layer)];
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t C = config_.width, A = config_.att_width, E = l.att.decay_w1.rows();
    Workspace::Scope scope(pass.workspace);
    std::array<float*, kBranches> x_j;
    for (float*& rows : x_j) rows = pass.Rows(C);
    float *r = pass.Rows(A), *k = pass.Rows(A), *v = pass.Rows(A), *g = pass.Rows(A), *w = pass.Rows(A);
    float* decay_hidden = pass.Rows(E);
    DynamicMix(pass, l, layer, x, x_j);
    Multiply(pass, {{l.att.receptance, x_j[kR], r},
                    {l.att.key, x_j[kK], k},
                    {l.att.value, x_j[kV], v},
                    {l.att.gate, x_j[kG], g},
                    {l.att.decay_w1, x_j[kW], decay_hidden}});
    ForEachRow(pass, [&](int64_t t) { kernel.tanh(decay_hidden + t * E, decay_hidden + t * E, E); });
    Multiply(pass, {{l.att.decay_w2, decay_hidden, w}});
    ForEachRow(pass, [&](int64_t t) {  // w = exp(−exp(time_decay + tanh(x_w·w1)·w2))
      kernel.add(w + t * A, l.att.time_decay.data(), A);
      kernel.exp_neg_exp(w + t * A, w + t * A, A);
    });
    float* wkv = r;
    MatrixStateWkv(pass, layer, r, k, v, w, /*w_stride=*/A, l.att.u, wkv);
    GatedOutput(pass, l.att.ln_x, l.att.output, wkv, g, residual);
  }

 private:
  /// z = x + xx⊙maa_x;  d = split5(tanh(z·maa_w1)), each times its maa_w2;  x_j = x + xx⊙(maa_j + d_j).
  void DynamicMix(Pass& pass, const LayerWeights& l, int64_t layer, const float* x,
                  const std::array<float*, kBranches>& x_j) const {
    const kernels::KernelTable& kernel = kernels::Kernels();
    const int64_t C = config_.width, D5 = l.att.maa_w1.rows(), D = D5 / kBranches;
    Workspace::Scope scope(pass.workspace);
    float *z = pass.Rows(C), *hidden = pass.Rows(D5);
    const ShiftedRows shifted(pass, x, layer, ShiftedRows::Which::kAtt);
    ShiftMix(pass, shifted, {{l.att.maa_x, z}});
    Multiply(pass, {{l.att.maa_w1, z, hidden}});
    ForEachRow(pass, [&](int64_t t) { kernel.tanh(hidden + t * D5, hidden + t * D5, D5); });
    const auto branch = [&](int j) {
      return Product{l.att.maa_w2[Index(j)], hidden + j * D, x_j[Index(j)], /*x_stride=*/D5};
    };
    Multiply(pass, {branch(kW), branch(kK), branch(kV), branch(kR), branch(kG)});
    ForEachRow(pass, [&](int64_t t) {
      for (int j = 0; j < kBranches; ++j) {
        float* row = x_j[Index(j)] + t * C;
        kernel.shift_mix_dynamic(row, shifted.row(t), shifted.previous(t), l.att.maa[Index(j)].data(), row, C);
      }
    });
    shifted.Save();
  }

  const ModelConfig config_;
  std::vector<LayerWeights> layers_;
};

}  // namespace

std::unique_ptr<Architecture> MakeRwkv6(const ModelConfig& config) { return std::make_unique<Rwkv6>(config); }

}  // namespace tern
