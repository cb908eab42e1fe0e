// RWKV-7's TimeMix and its backward (equations: docs/architecture.md; names: the reference code's).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "train/layers.h"

namespace tern::train {
namespace {

/// x ↦ f(x·w1)·w2 (+ bias), the bias added with the activation that follows.
struct LowRank {
  const Parameter *bias = nullptr;  ///< [A]; g has none
  const Parameter *w1 = nullptr;    ///< [C, D]
  const Parameter *w2 = nullptr;    ///< [D, A]
  int64_t rank() const { return w1->shape[1]; }
};

/// What stands between the two matrices of a low-rank map.
enum class Inner { kNone, kTanh, kSigmoid };

/// [T, A] each, but for the hidden rows of the low-rank maps.
template <typename T>
struct TimeMix7Kept : Kept {
  const T* x_in = nullptr;           ///< [T, C]
  T *r, *k, *v;                      ///< products of x_r, x_k, x_v, as they come
  T *s, *a, *m, *g;                  ///< σ(ŵ), learning rate, value residual's weight (layers > 0), gate
  T *hidden_w, *hidden_a, *hidden_v, *hidden_g;  ///< [T, D] after their activation
  T* y;                              ///< WKV's output
  T* checkpoints;                    ///< per segment and head, see kernels::TrainWkv7Args
};

/// What WKV reads, made of the above. [T, A] each.
template <typename T>
struct WkvInputs {
  T *decay, *k, *v, *kk;
};

template <typename T>
class TimeMix7 : public Residual<T> {
 public:
  TimeMix7(const ParameterLayout& layout, int64_t layer) : layer_(layer), A_(layout.shape().att_width) {
    const std::string block = fmt::format("blocks.{}.", layer), att = block + "att.";
    const auto get = [&](const std::string& name) { return &layout.Get(att + name); };
    ln_weight_ = &layout.Get(block + "ln1.weight");
    ln_bias_ = &layout.Get(block + "ln1.bias");
    x_r_ = get("x_r"), x_w_ = get("x_w"), x_k_ = get("x_k"), x_v_ = get("x_v"), x_a_ = get("x_a"), x_g_ = get("x_g");
    w_ = {get("w0"), get("w1"), get("w2")};
    a_ = {get("a0"), get("a1"), get("a2")};
    if (layer > 0) v_ = {get("v0"), get("v1"), get("v2")};
    g_ = {nullptr, get("g1"), get("g2")};
    k_k_ = get("k_k"), k_a_ = get("k_a"), r_k_ = get("r_k");
    receptance_ = get("receptance.weight"), key_ = get("key.weight"), value_ = get("value.weight");
    output_ = get("output.weight");
    ln_x_weight_ = get("ln_x.weight"), ln_x_bias_ = get("ln_x.bias");
  }

  std::unique_ptr<Kept> Forward(Pass<T>& pass, const T* x_in, T* x_out) const override {
    auto kept = std::make_unique<TimeMix7Kept<T>>();
    TakeKept(pass, x_in, kept.get());
    Arena::Scope scope(pass.arena);
    Project(pass, kept.get());
    const WkvInputs<T> in = MakeWkvInputs(pass, *kept);
    Wkv(pass, *kept, in);
    const Rows<T> o = Finish(pass, *kept, in);
    AddOutput(pass, layer_, SubBlock::kAtt, o, output_, x_in, x_out);
    return kept;
  }

  void Backward(Pass<T>& pass, const Kept& kept_base, VectorGradients<T>& gradients, T* dx) const override {
    const auto& kept = static_cast<const TimeMix7Kept<T>&>(kept_base);
    Arena::Scope scope(pass.arena);
    const WkvInputs<T> in = MakeWkvInputs(pass, kept);
    const Gradients d = TakeGradients(pass);
    FinishBackward(pass, kept, in, gradients, dx, d);
    WkvBackward(pass, kept, in, d);
    ActivateBackward(pass, kept, in, gradients, d);
    ProjectBackward(pass, kept, d, gradients, dx);
  }

 private:
  /// Gradients on the way back, [T, A] each: of WKV's output and inputs, of what Finish adds the bonus to, and as
  /// operands of the products behind.
  struct Gradients {
    T *y, *o, *r, *decay, *k, *v, *kk, *a;
    Rows<T> rows_r, rows_k, rows_v, rows_w, rows_a, rows_m, rows_g;
  };

  // --- memory ---

  void TakeKept(Pass<T>& pass, const T* x_in, TimeMix7Kept<T>* kept) const {
    kept->x_in = x_in;
    for (T** rows : {&kept->r, &kept->k, &kept->v, &kept->s, &kept->a, &kept->m, &kept->g, &kept->y})
      *rows = rows == &kept->m && layer_ == 0 ? nullptr : pass.TakeRows(A_);
    kept->hidden_w = pass.TakeRows(w_.rank());
    kept->hidden_a = pass.TakeRows(a_.rank());
    kept->hidden_v = layer_ == 0 ? nullptr : pass.TakeRows(v_.rank());
    kept->hidden_g = pass.TakeRows(g_.rank());
    kept->checkpoints = pass.keeps() ? pass.Take(Checkpoints(pass) * pass.shape.heads * HeadSize(pass)) : nullptr;
  }

  static int64_t HeadSize(const Pass<T>& pass) { return pass.shape.head_size * pass.shape.head_size; }

  /// Kept states per head, over all segments.
  static int64_t Checkpoints(const Pass<T>& pass) {
    int64_t count = 0;
    for (const Segment& s : pass.segments) count += kernels::Wkv7Checkpoints(s.end - s.begin);
    return count;
  }

  /// Where those of one segment and head begin.
  static T* CheckpointsOf(const Pass<T>& pass, const TimeMix7Kept<T>& kept, int64_t segment, int64_t head) {
    if (kept.checkpoints == nullptr) return nullptr;
    int64_t before = 0;
    for (int64_t s = 0; s < segment; ++s) {
      const Segment& earlier = pass.segments[static_cast<size_t>(s)];
      before += kernels::Wkv7Checkpoints(earlier.end - earlier.begin);
    }
    const Segment& own = pass.segments[static_cast<size_t>(segment)];
    const int64_t count = kernels::Wkv7Checkpoints(own.end - own.begin);
    return kept.checkpoints + (before * pass.shape.heads + head * count) * HeadSize(pass);
  }

  Gradients TakeGradients(Pass<T>& pass) const {
    Gradients d;
    for (T** rows : {&d.y, &d.o, &d.r, &d.decay, &d.k, &d.v, &d.kk, &d.a}) *rows = pass.TakeRows(A_);
    for (Rows<T>* rows : {&d.rows_r, &d.rows_k, &d.rows_v, &d.rows_w, &d.rows_a, &d.rows_m, &d.rows_g})
      *rows = rows == &d.rows_m && layer_ == 0 ? Rows<T>() : pass.TakeOperand(A_);
    return d;
  }

  // --- r, k, v and the four low-rank maps from the residual stream ---

  std::vector<Mixture<T>> Mixtures(Pass<T>& pass) const {
    std::vector<Mixture<T>> mixtures;
    for (const Parameter* mu : {x_r_, x_w_, x_k_, x_v_, x_a_, x_g_})
      mixtures.push_back({.mu = mu, .y = pass.TakeOperand(pass.shape.width)});
    return mixtures;
  }

  void Project(Pass<T>& pass, TimeMix7Kept<T>* kept) const {
    Arena::Scope scope(pass.arena);
    const ShiftedInput<T> x(pass, layer_, SubBlock::kAtt, kept->x_in, ln_weight_, ln_bias_);
    const std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);
    x.SaveShift();
    const auto& [x_r, x_w, x_k, x_v, x_a, x_g] =
        std::array{mixtures[0].y, mixtures[1].y, mixtures[2].y, mixtures[3].y, mixtures[4].y, mixtures[5].y};
    pass.Multiply(x_r, receptance_, kept->r);
    pass.Multiply(x_k, key_, kept->k);
    pass.Multiply(x_v, value_, kept->v);
    ApplyLowRank(pass, w_, Inner::kTanh, x_w, kept->hidden_w, kept->s);
    ApplyLowRank(pass, a_, Inner::kNone, x_a, kept->hidden_a, kept->a);
    if (layer_ > 0) ApplyLowRank(pass, v_, Inner::kNone, x_v, kept->hidden_v, kept->m);
    ApplyLowRank(pass, g_, Inner::kSigmoid, x_g, kept->hidden_g, kept->g);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * A_;
        pass.kernel.sigmoid(kept->s + at, kept->s + at, pass.Value(w_.bias), A_);
        pass.kernel.sigmoid(kept->a + at, kept->a + at, pass.Value(a_.bias), A_);
        if (layer_ > 0) pass.kernel.sigmoid(kept->m + at, kept->m + at, pass.Value(v_.bias), A_);
        if (layer_ == 0) std::copy(kept->v + at, kept->v + at + A_, pass.v_first + at);
      }
    });
  }

  void ApplyLowRank(Pass<T>& pass, const LowRank& p, Inner inner, Rows<T> x, T* hidden, T* y) const {
    Arena::Scope scope(pass.arena);
    const int64_t D = p.rank();
    pass.Multiply(x, p.w1, hidden);
    const Rows<T> rows = pass.TakeOperand(D);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        T* row = hidden + t * D;
        if (inner == Inner::kTanh) pass.kernel.tanh(row, row, D);
        if (inner == Inner::kSigmoid) pass.kernel.sigmoid(row, row, nullptr, D);
        rows.Set(t, row);
      }
    });
    pass.Multiply(rows, p.w2, y);
  }

  /// From dy [T, A] to the gradient of x [T, C], set.
  void LowRankBackward(Pass<T>& pass, const LowRank& p, Inner inner, Rows<T> x, const T* hidden, Rows<T> dy,
                       T* dx) const {
    Arena::Scope scope(pass.arena);
    const int64_t D = p.rank();
    const Rows<T> rows = pass.TakeOperand(D), drows = pass.TakeOperand(D);
    T* dhidden = pass.TakeRows(D);
    pass.InputGradient(dy, p.w2, dhidden);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        T* row = dhidden + t * D;
        rows.Set(t, hidden + t * D);
        if (inner == Inner::kTanh) pass.kernel.tanh_backward(row, row, hidden + t * D, D);
        if (inner == Inner::kSigmoid) pass.kernel.sigmoid_backward(row, row, hidden + t * D, D);
        drows.Set(t, row);
      }
    });
    pass.WeightGradient(dy, rows, p.w2);
    pass.WeightGradient(drows, x, p.w1);
    pass.InputGradient(drows, p.w1, dx);
  }

  void ProjectBackward(Pass<T>& pass, const TimeMix7Kept<T>& kept, const Gradients& d, VectorGradients<T>& gradients,
                       T* dx) const {
    const ShiftedInput<T> x(pass, layer_, SubBlock::kAtt, kept.x_in, ln_weight_, ln_bias_);
    std::vector<Mixture<T>> mixtures = Mixtures(pass);
    x.Mix(mixtures);
    std::array<T*, 6> dmix;
    for (size_t i = 0; i < 6; ++i) mixtures[i].dy = dmix[i] = pass.TakeRows(pass.shape.width);
    LowRankBackward(pass, w_, Inner::kTanh, mixtures[1].y, kept.hidden_w, d.rows_w, dmix[1]);
    LowRankBackward(pass, a_, Inner::kNone, mixtures[4].y, kept.hidden_a, d.rows_a, dmix[4]);
    if (layer_ > 0) LowRankBackward(pass, v_, Inner::kNone, mixtures[3].y, kept.hidden_v, d.rows_m, dmix[3]);
    LowRankBackward(pass, g_, Inner::kSigmoid, mixtures[5].y, kept.hidden_g, d.rows_g, dmix[5]);
    const auto full = [&](const Rows<T>& dy, const Parameter* w, size_t i, bool accumulate) {
      pass.WeightGradient(dy, mixtures[i].y, w);
      pass.InputGradient(dy, w, dmix[i], accumulate);
    };
    full(d.rows_r, receptance_, 0, false);
    full(d.rows_k, key_, 2, false);
    full(d.rows_v, value_, 3, layer_ > 0);
    x.Backward(mixtures, gradients, dx);
  }

  // --- decay, keys and value that WKV reads ---

  WkvInputs<T> MakeWkvInputs(Pass<T>& pass, const TimeMix7Kept<T>& kept) const {
    const WkvInputs<T> in{pass.TakeRows(A_), pass.TakeRows(A_), pass.TakeRows(A_), pass.TakeRows(A_)};
    const int64_t N = pass.shape.head_size;
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * A_;
        pass.kernel.decay7(in.decay + at, kept.s + at, A_);
        pass.kernel.removal_key(in.kk + at, kept.k + at, pass.Value(k_k_), A_, N);
        pass.kernel.replacement_key(in.k + at, kept.k + at, kept.a + at, pass.Value(k_a_), A_);
        if (layer_ > 0) {
          pass.kernel.lerp(in.v + at, kept.v + at, pass.v_first + at, kept.m + at, A_);
        } else {
          std::copy(kept.v + at, kept.v + at + A_, in.v + at);
        }
      }
    });
    return in;
  }

  /// From the gradients of what WKV reads to those of the products, as operands; adds the vectors' own.
  void ActivateBackward(Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in,
                        VectorGradients<T>& gradients, const Gradients& d) const {
    const int64_t N = pass.shape.head_size;
    pass.ForRows([&](int64_t chunk, int64_t begin, int64_t end) {
      std::vector<T> dm(static_cast<size_t>(A_));
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * A_;
        const auto& kernel = pass.kernel;
        T *dk = d.k + at, *dv = d.v + at, *da = d.a + at, *dw = d.decay + at;
        kernel.bonus_backward(d.r + at, dk, dv, gradients.At(chunk, r_k_), d.o + at, kept.r + at, in.k + at, in.v + at,
                              pass.Value(r_k_), A_, N);
        kernel.replacement_key_backward(dk, da, gradients.At(chunk, k_a_), dk, kept.k + at, kept.a + at,
                                        pass.Value(k_a_), A_);
        kernel.removal_key_backward(dk, gradients.At(chunk, k_k_), d.kk + at, kept.k + at, pass.Value(k_k_), A_, N);
        if (layer_ > 0) {
          kernel.lerp_backward(dv, pass.dv_first + at, dm.data(), dv, kept.v + at, pass.v_first + at, kept.m + at, A_);
          kernel.sigmoid_backward(dm.data(), dm.data(), kept.m + at, A_);
          kernel.add(gradients.At(chunk, v_.bias), dm.data(), A_);
          d.rows_m.Set(t, dm.data());
        } else {
          kernel.add(dv, pass.dv_first + at, A_);
        }
        kernel.sigmoid_backward(da, da, kept.a + at, A_);
        kernel.add(gradients.At(chunk, a_.bias), da, A_);
        kernel.decay7_backward(dw, dw, in.decay + at, A_);
        kernel.sigmoid_backward(dw, dw, kept.s + at, A_);
        kernel.add(gradients.At(chunk, w_.bias), dw, A_);
        d.rows_r.Set(t, d.r + at);
        d.rows_k.Set(t, dk);
        d.rows_v.Set(t, dv);
        d.rows_a.Set(t, da);
        d.rows_w.Set(t, dw);
      }
    });
  }

  // --- WKV ---

  void Wkv(Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in) const {
    const int64_t N = pass.shape.head_size;
    pass.ForSegments(pass.shape.heads, [&](int64_t s, int64_t head) {
      const Segment& segment = pass.segments[static_cast<size_t>(s)];
      const int64_t at = segment.begin * A_ + head * N, size = N * N;
      std::vector<T> S(static_cast<size_t>(size));
      if (!segment.reset) {
        const T* from = pass.before->wkv(segment.stream, layer_) + head * size;
        std::copy(from, from + size, S.begin());
      }
      pass.kernel.wkv7({.T = segment.end - segment.begin, .N = N, .r = kept.r + at, .w = in.decay + at, .k = in.k + at,
                        .v = in.v + at, .kk = in.kk + at, .a = kept.a + at, .stride = A_, .y = kept.y + at,
                        .S = S.data(), .checkpoints = CheckpointsOf(pass, kept, s, head)});
      if (pass.call.states != nullptr && pass.last_of_stream[static_cast<size_t>(s)])
        std::copy(S.begin(), S.end(), pass.call.states->wkv(segment.stream, layer_) + head * size);
    });
  }

  void WkvBackward(Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in, const Gradients& d) const {
    const int64_t N = pass.shape.head_size;
    pass.ForSegments(pass.shape.heads, [&](int64_t s, int64_t head) {
      const Segment& segment = pass.segments[static_cast<size_t>(s)];
      const int64_t at = segment.begin * A_ + head * N;
      pass.kernel.wkv7_backward({.T = segment.end - segment.begin, .N = N, .r = kept.r + at, .w = in.decay + at,
                                 .k = in.k + at, .v = in.v + at, .kk = in.kk + at, .a = kept.a + at, .dy = d.y + at,
                                 .stride = A_, .checkpoints = CheckpointsOf(pass, kept, s, head), .dr = d.r + at,
                                 .dw = d.decay + at, .dk = d.k + at, .dv = d.v + at, .dkk = d.kk + at, .da = d.a + at});
    });
  }

  // --- o = (GroupNorm(y) + (Σ_head r⊙k⊙r_k)·v) ⊙ g, which W_o reads ---

  /// (GroupNorm(y) + bonus) of row t.
  void BeforeGate(const Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in, int64_t t, T* row) const {
    const int64_t at = t * A_;
    pass.kernel.group_norm(row, kept.y + at, pass.Value(ln_x_weight_), pass.Value(ln_x_bias_), A_, pass.shape.heads,
                           pass.shape.gn_eps);
    pass.kernel.bonus(row, kept.r + at, in.k + at, in.v + at, pass.Value(r_k_), A_, pass.shape.head_size);
  }

  /// Row t of o, from BeforeGate's.
  void Gate(const Pass<T>& pass, const TimeMix7Kept<T>& kept, const T* before, int64_t t, const Rows<T>& o,
            T* scratch) const {
    T* row = o.Stage(t, scratch);
    pass.kernel.mul(row, before, kept.g + t * A_, A_);
    o.Commit(t, row);
  }

  Rows<T> Finish(Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in) const {
    const Rows<T> o = pass.TakeOperand(A_);
    pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
      std::vector<T> before(static_cast<size_t>(A_)), scratch(static_cast<size_t>(A_));
      for (int64_t t = begin; t < end; ++t) {
        BeforeGate(pass, kept, in, t, before.data());
        Gate(pass, kept, before.data(), t, o, scratch.data());
      }
    });
    return o;
  }

  /// Sets d.y (WKV's output), d.o (the bonus' gradient) and d.rows_g; adds W_o's and ln_x's gradients.
  void FinishBackward(Pass<T>& pass, const TimeMix7Kept<T>& kept, const WkvInputs<T>& in, VectorGradients<T>& gradients,
                      const T* dx, const Gradients& d) const {
    Arena::Scope scope(pass.arena);
    const Rows<T> dout = OutputGradient(pass, layer_, SubBlock::kAtt, dx), o = pass.TakeOperand(A_);
    pass.InputGradient(dout, output_, d.o);
    pass.ForRows([&](int64_t chunk, int64_t begin, int64_t end) {
      std::vector<T> before(static_cast<size_t>(A_)), scratch(static_cast<size_t>(A_)), dg(static_cast<size_t>(A_));
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = t * A_;
        BeforeGate(pass, kept, in, t, before.data());
        Gate(pass, kept, before.data(), t, o, scratch.data());
        pass.kernel.mul_backward(d.o + at, dg.data(), d.o + at, before.data(), kept.g + at, A_);
        d.rows_g.Set(t, dg.data());
        pass.kernel.group_norm_backward(d.y + at, gradients.At(chunk, ln_x_weight_), gradients.At(chunk, ln_x_bias_),
                                        d.o + at, kept.y + at, pass.Value(ln_x_weight_), A_, pass.shape.heads,
                                        pass.shape.gn_eps);
      }
    });
    pass.WeightGradient(dout, o, output_);
  }

  const int64_t layer_, A_;
  const Parameter *ln_weight_, *ln_bias_;
  const Parameter *x_r_, *x_w_, *x_k_, *x_v_, *x_a_, *x_g_;
  LowRank w_, a_, v_, g_;
  const Parameter *k_k_, *k_a_, *r_k_;
  const Parameter *receptance_, *key_, *value_, *output_;
  const Parameter *ln_x_weight_, *ln_x_bias_;
};

}  // namespace

template <typename T>
std::unique_ptr<Residual<T>> MakeTimeMix7(const ParameterLayout& layout, int64_t layer) {
  return std::make_unique<TimeMix7<T>>(layout, layer);
}
template std::unique_ptr<Residual<float>> MakeTimeMix7(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<double>> MakeTimeMix7(const ParameterLayout&, int64_t);
template std::unique_ptr<Residual<std::complex<double>>> MakeTimeMix7(const ParameterLayout&, int64_t);

}  // namespace tern::train
