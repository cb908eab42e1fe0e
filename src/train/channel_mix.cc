// ChannelMix: W_v max(W_k x_k, 0)², times σ(W_r x_r) in RWKV-4.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "train/layers.h"

namespace tern::train {
namespace {

template <typename T>
struct ChannelMixKept : Kept {
  const T* x_in = nullptr;
  T* h = nullptr;  ///< [T, F] W_k x_k
  T* r = nullptr;  ///< [T, C] σ(W_r x_r), gated only
  T* v = nullptr;  ///< [T, C] W_v max(h, 0)², gated only
};

template <typename T>
class ChannelMix : public Residual<T> {
 public:
  ChannelMix(const ParameterLayout& layout, int64_t layer)
      : layer_(layer), gated_(layout.shape().generation == Generation::kRwkv4) {
    const std::string block = fmt::format("blocks.{}.", layer), ffn = block + "ffn.";
    ln_weight_ = &layout.Get(block + "ln2.weight");
    ln_bias_ = &layout.Get(block + "ln2.bias");
    mu_k_ = &layout.Get(ffn + (gated_ ? "time_mix_k" : "x_k"));
    key_ = &layout.Get(ffn + "key.weight");
    value_ = &layout.Get(ffn + "value.weight");
    if (!gated_) return;
    mu_r_ = &layout.Get(ffn + "time_mix_r");
    receptance_ = &layout.Get(ffn + "receptance.weight");
  }

  std::unique_ptr<Kept> Forward(Pass<T>& pass, const T* x_in, T* x_out) const override {
    const int64_t C = pass.shape.width, F = pass.shape.ffn_width;
    auto kept = std::make_unique<ChannelMixKept<T>>();
    kept->x_in = x_in;
    kept->h = pass.TakeRows(F);
    if (gated_) {
      kept->r = pass.TakeRows(C);
      kept->v = pass.TakeRows(C);
    }
    Arena::Scope scope(pass.arena);
    const ShiftedInput<T> x(pass, layer_, SubBlock::kFfn, x_in, ln_weight_, ln_bias_);
    const std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);
    x.SaveShift();
    pass.Multiply(mixtures[0].y, key_, kept->h);
    const Rows<T> squared = Squared(pass, kept->h);
    if (!gated_) {
      AddOutput(pass, layer_, SubBlock::kFfn, squared, value_, x_in, x_out);
      return kept;
    }
    pass.Multiply(mixtures[1].y, receptance_, kept->r);
    pass.Multiply(squared, value_, kept->v);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * C;
        pass.kernel.sigmoid(kept->r + at, kept->r + at, nullptr, C);
        pass.kernel.mul(x_out + at, kept->r + at, kept->v + at, C);
        Dropout(pass, DropoutSite(layer_, SubBlock::kFfn), t, x_out + at, C);
        pass.kernel.add(x_out + at, x_in + at, C);
      }
    });
    return kept;
  }

  void Backward(Pass<T>& pass, const Kept& kept_base, VectorGradients<T>& gradients, T* dx) const override {
    const auto& kept = static_cast<const ChannelMixKept<T>&>(kept_base);
    const int64_t C = pass.shape.width;
    Arena::Scope scope(pass.arena);
    const ShiftedInput<T> x(pass, layer_, SubBlock::kFfn, kept.x_in, ln_weight_, ln_bias_);
    std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);

    Rows<T> dv, dr;  // [T, C]
    if (gated_) {
      GateBackward(pass, kept, dx, &dv, &dr);
    } else {
      dv = OutputGradient(pass, layer_, SubBlock::kFfn, dx);
    }
    T* dx_k = pass.TakeRows(C);
    {
      Arena::Scope inner(pass.arena);
      pass.WeightGradient(dv, Squared(pass, kept.h), value_);
    }
    {
      Arena::Scope inner(pass.arena);
      const Rows<T> dh = SquaredBackward(pass, kept.h, dv);
      pass.WeightGradient(dh, mixtures[0].y, key_);
      pass.InputGradient(dh, key_, dx_k);
    }
    mixtures[0].dy = dx_k;
    if (gated_) {
      T* dx_r = pass.TakeRows(C);
      pass.WeightGradient(dr, mixtures[1].y, receptance_);
      pass.InputGradient(dr, receptance_, dx_r);
      mixtures[1].dy = dx_r;
    }
    x.Backward(mixtures, gradients, dx);
  }

 private:
  std::vector<Mixture<T>> Mixtures(Pass<T>& pass) const {
    const int64_t C = pass.shape.width;
    std::vector<Mixture<T>> mixtures = {{.mu = mu_k_, .weighs_present = gated_, .y = pass.TakeOperand(C)}};
    if (gated_) mixtures.push_back({.mu = mu_r_, .weighs_present = true, .y = pass.TakeOperand(C)});
    return mixtures;
  }

  /// max(h, 0)² as an operand, [T, F].
  Rows<T> Squared(Pass<T>& pass, const T* h) const {
    const int64_t F = pass.shape.ffn_width;
    const Rows<T> squared = pass.TakeOperand(F);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      std::vector<T> scratch(static_cast<size_t>(F));
      for (int64_t t = begin; t < end; ++t) {
        T* row = squared.Stage(t, scratch.data());
        pass.kernel.relu_squared(row, h + t * F, F);
        squared.Commit(t, row);
      }
    });
    return squared;
  }

  /// dh [T, F] from dv [T, C]: through W_v and the square.
  Rows<T> SquaredBackward(Pass<T>& pass, const T* h, Rows<T> dv) const {
    const int64_t F = pass.shape.ffn_width;
    const Rows<T> dh = pass.TakeOperand(F);
    T* dsquared = pass.TakeRows(F);
    pass.InputGradient(dv, value_, dsquared);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        T* row = dsquared + t * F;
        pass.kernel.relu_squared_backward(row, row, h + t * F, F);
        dh.Set(t, row);
      }
    });
    return dh;
  }

  /// The gated output σ(r)⊙v: dv and dr (of W_r x_r) as operands.
  void GateBackward(Pass<T>& pass, const ChannelMixKept<T>& kept, const T* dx, Rows<T>* dv, Rows<T>* dr) const {
    const int64_t C = pass.shape.width;
    *dv = pass.TakeOperand(C);
    *dr = pass.TakeOperand(C);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      const auto n = static_cast<size_t>(C);
      std::vector<T> dout(n), gate(n), value(n);
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * C;
        std::copy(dx + at, dx + at + C, dout.data());
        Dropout(pass, DropoutSite(layer_, SubBlock::kFfn), t, dout.data(), C);
        pass.kernel.mul_backward(gate.data(), value.data(), dout.data(), kept.r + at, kept.v + at, C);
        pass.kernel.sigmoid_backward(gate.data(), gate.data(), kept.r + at, C);
        dr->Set(t, gate.data());
        dv->Set(t, value.data());
      }
    });
  }

  const int64_t layer_;
  const bool gated_;
  const Parameter *ln_weight_, *ln_bias_, *mu_k_, *key_, *value_;
  const Parameter *mu_r_ = nullptr, *receptance_ = nullptr;
};

}  // namespace

template <typename T>
std::unique_ptr<Residual<T>> MakeChannelMix(const ParameterLayout& layout, int64_t layer) {
  return std::make_unique<ChannelMix<T>>(layout, layer);
}
template std::unique_ptr<Residual<float>> MakeChannelMix(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<double>> MakeChannelMix(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<std::complex<double>>> MakeChannelMix(const ParameterLayout&, int64_t);

}  // namespace tern::train
