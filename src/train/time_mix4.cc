// RWKV-4's TimeMix and its backward (the paper's equations 11 to 18).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "train/layers.h"

namespace tern::train {
namespace {

template <typename T>
struct TimeMix4Kept : Kept {
  const T* x_in = nullptr;
  T *r, *k, *v;  ///< [T, A]: σ(receptance), key, value
  T* y;          ///< [T, A] WKV's output
};

/// Channels that one task of the recurrence walks through at a time: whole cache lines, several vectors.
constexpr int64_t kChannels = 64;

template <typename T>
class TimeMix4 : public Residual<T> {
 public:
  TimeMix4(const ParameterLayout& layout, int64_t layer) : layer_(layer), A_(layout.shape().att_width) {
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.";
    const auto get = [&](const std::string& name) { return &layout.Get(att + name); };
    ln_weight_ = &layout.Get(block + "ln1.weight");
    ln_bias_ = &layout.Get(block + "ln1.bias");
    mu_k_ = get("time_mix_k"), mu_v_ = get("time_mix_v"), mu_r_ = get("time_mix_r");
    decay_ = get("time_decay"), first_ = get("time_first");
    key_ = get("key.weight"), value_ = get("value.weight"), receptance_ = get("receptance.weight");
    output_ = get("output.weight");
  }

  std::unique_ptr<Kept> Forward(Pass<T>& pass, const T* x_in, T* x_out) const override {
    auto kept = std::make_unique<TimeMix4Kept<T>>();
    kept->x_in = x_in;
    for (T** rows : {&kept->r, &kept->k, &kept->v, &kept->y}) *rows = pass.TakeRows(A_);
    Arena::Scope scope(pass.arena);
    const ShiftedInput<T> x(pass, layer_, SubBlock::kAtt, x_in, ln_weight_, ln_bias_);
    const std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);
    x.SaveShift();
    pass.Multiply(mixtures[0].y, key_, kept->k);
    pass.Multiply(mixtures[1].y, value_, kept->v);
    pass.Multiply(mixtures[2].y, receptance_, kept->r);
    Wkv(pass, *kept);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      pass.kernel.sigmoid(kept->r + begin * A_, kept->r + begin * A_, nullptr, (end - begin) * A_);
    });
    AddOutput(pass, layer_, SubBlock::kAtt, Gated(pass, *kept), output_, x_in, x_out);
    return kept;
  }

  void Backward(Pass<T>& pass, const Kept& kept_base, VectorGradients<T>& gradients, T* dx) const override {
    const auto& kept = static_cast<const TimeMix4Kept<T>&>(kept_base);
    Arena::Scope scope(pass.arena);
    const int64_t C = pass.shape.width;
    T *dy = pass.TakeRows(A_), *dk = pass.TakeRows(A_), *dv = pass.TakeRows(A_);
    const Rows<T> rows_r = pass.TakeOperand(A_), rows_k = pass.TakeOperand(A_), rows_v = pass.TakeOperand(A_);
    GatedBackward(pass, kept, dx, dy, rows_r);
    WkvBackward(pass, kept, gradients, dy, dk, dv);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        rows_k.Set(t, dk + t * A_);
        rows_v.Set(t, dv + t * A_);
      }
    });
    const ShiftedInput<T> x(pass, layer_, SubBlock::kAtt, kept.x_in, ln_weight_, ln_bias_);
    std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);
    const auto project = [&](size_t i, const Rows<T>& dout, const Parameter* w) {
      T* dmix = pass.TakeRows(C);
      pass.WeightGradient(dout, mixtures[i].y, w);
      pass.InputGradient(dout, w, dmix);
      mixtures[i].dy = dmix;
    };
    project(0, rows_k, key_);
    project(1, rows_v, value_);
    project(2, rows_r, receptance_);
    x.Backward(mixtures, gradients, dx);
  }

 private:
  std::vector<Mixture<T>> Mixtures(Pass<T>& pass) const {
    std::vector<Mixture<T>> mixtures;
    for (const Parameter* mu : {mu_k_, mu_v_, mu_r_})
      mixtures.push_back({.mu = mu, .weighs_present = true, .y = pass.TakeOperand(pass.shape.width)});
    return mixtures;
  }

  /// σ(r)⊙wkv, which W_o reads.
  Rows<T> Gated(Pass<T>& pass, const TimeMix4Kept<T>& kept) const {
    const Rows<T> o = pass.TakeOperand(A_);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      std::vector<T> scratch(static_cast<size_t>(A_));
      for (int64_t t = begin; t < end; ++t) {
        T* row = o.Stage(t, scratch.data());
        pass.kernel.mul(row, kept.y + t * A_, kept.r + t * A_, A_);
        o.Commit(t, row);
      }
    });
    return o;
  }

  /// Sets dy (WKV's output) and dr (of the product, before σ); adds W_o's gradient.
  void GatedBackward(Pass<T>& pass, const TimeMix4Kept<T>& kept, const T* dx, T* dy, const Rows<T>& dr) const {
    Arena::Scope scope(pass.arena);
    const Rows<T> dout = OutputGradient(pass, layer_, SubBlock::kAtt, dx);
    pass.WeightGradient(dout, Gated(pass, kept), output_);
    pass.InputGradient(dout, output_, dy);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      std::vector<T> gate(static_cast<size_t>(A_));
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * A_;
        pass.kernel.mul_backward(dy + at, gate.data(), dy + at, kept.y + at, kept.r + at, A_);
        pass.kernel.sigmoid_backward(gate.data(), gate.data(), kept.r + at, A_);
        dr.Set(t, gate.data());
      }
    });
  }

  /// w = −exp(time_decay), [A].
  std::vector<T> Decay(const Pass<T>& pass) const {
    std::vector<T> w(static_cast<size_t>(A_));
    for (size_t c = 0; c < w.size() && !pass.counting; ++c) w[c] = -std::exp(pass.Value(decay_)[c]);
    return w;
  }

  int64_t Blocks() const { return (A_ + kChannels - 1) / kChannels; }

  /// The state a segment starts from: a, b, p, [A] each; only channels [c0, c1) are filled.
  std::vector<T> StartState(const Pass<T>& pass, const Segment& segment, int64_t c0, int64_t c1) const {
    std::vector<T> state(static_cast<size_t>(3 * A_));
    const T* from = segment.reset ? nullptr : pass.before->wkv(segment.stream, layer_);
    for (int64_t part = 0; part < 3; ++part) {
      for (int64_t c = part * A_ + c0; c < part * A_ + c1; ++c)
        state[static_cast<size_t>(c)] = from != nullptr ? from[c] : part == 2 ? T(-1e38) : T(0);
    }
    return state;
  }

  void Wkv(Pass<T>& pass, const TimeMix4Kept<T>& kept) const {
    const std::vector<T> w = Decay(pass);
    pass.ForSegments(Blocks(), [&](int64_t s, int64_t block) {
      const Segment& segment = pass.segments[static_cast<size_t>(s)];
      const int64_t c0 = block * kChannels, c1 = std::min(A_, c0 + kChannels), at = segment.begin * A_;
      std::vector<T> state = StartState(pass, segment, c0, c1);
      pass.kernel.wkv4({.T = segment.end - segment.begin, .c0 = c0, .c1 = c1, .w = w.data(), .u = pass.Value(first_),
                        .k = kept.k + at, .v = kept.v + at, .y = kept.y + at, .stride = A_, .a = state.data(),
                        .b = state.data() + A_, .p = state.data() + 2 * A_});
      if (pass.call.states == nullptr || !pass.last_of_stream[static_cast<size_t>(s)]) return;
      T* to = pass.call.states->wkv(segment.stream, layer_);
      for (int64_t part = 0; part < 3; ++part) {
        const T* from = state.data() + part * A_;
        std::copy(from + c0, from + c1, to + part * A_ + c0);
      }
    });
  }

  /// Sets dk and dv; adds the gradients of time_decay (dw/dtime_decay = w) and time_first. A task has its channels
  /// to itself and walks all segments.
  void WkvBackward(Pass<T>& pass, const TimeMix4Kept<T>& kept, VectorGradients<T>& gradients, const T* dy, T* dk,
                   T* dv) const {
    if (pass.counting) return;
    const std::vector<T> w = Decay(pass);
    std::vector<T> dw(static_cast<size_t>(A_));
    ParallelFor(Blocks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t c0 = block * kChannels, c1 = std::min(A_, c0 + kChannels);
        for (const Segment& segment : pass.segments) {
          const std::vector<T> state = StartState(pass, segment, c0, c1);
          const int64_t at = segment.begin * A_;
          pass.kernel.wkv4_backward({.T = segment.end - segment.begin, .c0 = c0, .c1 = c1, .w = w.data(),
                                     .u = pass.Value(first_), .k = kept.k + at, .v = kept.v + at, .a = state.data(),
                                     .b = state.data() + A_, .p = state.data() + 2 * A_, .y = kept.y + at, .dy = dy + at,
                                     .stride = A_, .dk = dk + at, .dv = dv + at, .dw = dw.data(),
                                     .du = gradients.At(0, first_)});
        }
        T* ddecay = gradients.At(0, decay_);
        for (int64_t c = c0; c < c1; ++c) ddecay[c] += dw[static_cast<size_t>(c)] * w[static_cast<size_t>(c)];
      }
    });
  }

  const int64_t layer_, A_;
  const Parameter *ln_weight_, *ln_bias_;
  const Parameter *mu_k_, *mu_v_, *mu_r_, *decay_, *first_;
  const Parameter *key_, *value_, *receptance_, *output_;
};

}  // namespace

template <typename T>
std::unique_ptr<Residual<T>> MakeTimeMix4(const ParameterLayout& layout, int64_t layer) {
  return std::make_unique<TimeMix4<T>>(layout, layer);
}
template std::unique_ptr<Residual<float>> MakeTimeMix4(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<double>> MakeTimeMix4(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<std::complex<double>>> MakeTimeMix4(const ParameterLayout&, int64_t);

}  // namespace tern::train
