#include "train/shifted_input.h"

#include <algorithm>

namespace tern::train {

template <typename T>
ShiftedInput<T>::ShiftedInput(Pass<T>& pass, int64_t layer, SubBlock sub_block, const T* x, const Parameter* weight,
                              const Parameter* bias)
    : pass_(pass),
      layer_(layer),
      C_(pass.shape.width),
      sub_block_(sub_block),
      x_(x),
      weight_(weight),
      bias_(bias),
      rows_(pass.TakeRows(C_)),
      zeros_(static_cast<size_t>(C_)) {
  pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      pass.kernel.layer_norm(rows_ + t * C_, x + t * C_, pass.Value(weight), pass.Value(bias), C_, pass.shape.ln_eps);
  });
}

template <typename T>
T* ShiftedInput<T>::Kept(StreamStates<T>& states, int64_t stream) const {
  return sub_block_ == SubBlock::kAtt ? states.shift_att(stream, layer_) : states.shift_ffn(stream, layer_);
}

template <typename T>
const T* ShiftedInput<T>::Previous(int64_t t) const {
  const int32_t starts = pass_.starts_segment[static_cast<size_t>(t)];
  if (starts < 0) return Row(t - 1);
  const Segment& segment = pass_.segments[static_cast<size_t>(starts)];
  return segment.reset ? zeros_.data() : Kept(*pass_.before, segment.stream);
}

template <typename T>
void ShiftedInput<T>::Mix(std::span<const Mixture<T>> mixtures) const {
  pass_.ForRows([&](int64_t, int64_t begin, int64_t end) {
    std::vector<T> scratch(static_cast<size_t>(C_));
    for (int64_t t = begin; t < end; ++t) {
      const T *x = Row(t), *previous = Previous(t);
      for (const Mixture<T>& m : mixtures) {
        T* y = m.y.Stage(t, scratch.data());
        pass_.kernel.shift_mix(y, m.weighs_present ? previous : x, m.weighs_present ? x : previous, pass_.Value(m.mu), C_);
        m.y.Commit(t, y);
      }
    }
  });
}

template <typename T>
void ShiftedInput<T>::SaveShift() const {
  if (pass_.counting || pass_.call.states == nullptr) return;
  for (size_t s = 0; s < pass_.segments.size(); ++s) {
    if (!pass_.last_of_stream[s]) continue;
    const T* last = Row(pass_.segments[s].end - 1);
    std::copy(last, last + C_, Kept(*pass_.call.states, pass_.segments[s].stream));
  }
}

template <typename T>
void ShiftedInput<T>::MixBackward(const Mixture<T>& m, int64_t t, T* dx, T* dprev, T* dmu) const {
  const T *x = Row(t), *previous = Previous(t);
  pass_.kernel.shift_mix_backward(m.weighs_present ? dprev : dx, m.weighs_present ? dx : dprev, dmu, m.dy + t * C_,
                                  m.weighs_present ? previous : x, m.weighs_present ? x : previous, pass_.Value(m.mu),
                                  C_);
}

// Row t's normalised value is read by the mixtures of t and of t + 1: rows are walked backward, and what t + 1 gives to
// t is carried. (The row after a chunk is looked at twice, once for that alone.)
template <typename T>
void ShiftedInput<T>::Backward(std::span<const Mixture<T>> mixtures, VectorGradients<T>& gradients, T* dx) const {
  pass_.ForRows([&](int64_t chunk, int64_t begin, int64_t end) {
    const auto n = static_cast<size_t>(C_);
    std::vector<T> drow(n), carried(n), unused(n), unused_mu(n);
    if (end < pass_.tokens && pass_.starts_segment[static_cast<size_t>(end)] < 0) {
      for (const Mixture<T>& m : mixtures) MixBackward(m, end, unused.data(), carried.data(), unused_mu.data());
    }
    for (int64_t t = end - 1; t >= begin; --t) {
      std::swap(drow, carried);
      std::fill(carried.begin(), carried.end(), T(0));
      for (const Mixture<T>& m : mixtures) MixBackward(m, t, drow.data(), carried.data(), gradients.At(chunk, m.mu));
      // What came before a segment is a constant.
      if (pass_.starts_segment[static_cast<size_t>(t)] >= 0) std::fill(carried.begin(), carried.end(), T(0));
      pass_.kernel.layer_norm_backward(dx + t * C_, gradients.At(chunk, weight_), gradients.At(chunk, bias_), drow.data(),
                                       x_ + t * C_, pass_.Value(weight_), C_, pass_.shape.ln_eps);
    }
  });
}

template <typename T>
void AddOutput(Pass<T>& pass, int64_t layer, SubBlock sub_block, Rows<T> o, const Parameter* w, const T* x_in,
               T* x_out) {
  const int64_t C = pass.shape.width;
  const bool dropout = pass.options.dropout > 0;
  pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
    if (!dropout) std::copy(x_in + begin * C, x_in + end * C, x_out + begin * C);
  });
  pass.Multiply(o, w, x_out, !dropout);
  if (!dropout) return;
  pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Dropout(pass, DropoutSite(layer, sub_block), t, x_out + t * C, C);
      pass.kernel.add(x_out + t * C, x_in + t * C, C);
    }
  });
}

template <typename T>
Rows<T> OutputGradient(Pass<T>& pass, int64_t layer, SubBlock sub_block, const T* dx) {
  const int64_t C = pass.shape.width;
  const Rows<T> out = pass.TakeOperand(C);
  pass.ForRows([&](int64_t, int64_t begin, int64_t end) {
    std::vector<T> scratch(static_cast<size_t>(C));
    for (int64_t t = begin; t < end; ++t) {
      T* row = out.Stage(t, scratch.data());
      std::copy(dx + t * C, dx + (t + 1) * C, row);
      Dropout(pass, DropoutSite(layer, sub_block), t, row, C);
      out.Commit(t, row);
    }
  });
  return out;
}

#define TERN_INSTANTIATE(T)                                                                                            \
  template class ShiftedInput<T>;                                                                                      \
  template void AddOutput<T>(Pass<T>&, int64_t, SubBlock, Rows<T>, const Parameter*, const T*, T*);                    \
  template Rows<T> OutputGradient<T>(Pass<T>&, int64_t, SubBlock, const T*);
TERN_INSTANTIATE(float)
TERN_INSTANTIATE(double)
TERN_INSTANTIATE(std::complex<double>)
#undef TERN_INSTANTIATE

}  // namespace tern::train
