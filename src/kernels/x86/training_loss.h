// The loss and the optimizer, for whichever Vec was included before.
#pragma once

namespace tern::kernels {
namespace {

/// Elements that are looked at or summed in float before a double or a comparison takes the result.
constexpr int64_t kLossBlock = 2048;

float LargestOf(const float* x, int64_t n) {
  const Vec least = Set(-__builtin_inff());
  Vec top0 = least, top1 = least;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    top0 = Max(Load(x + i), top0);  // a NaN is passed over here; the sum of exponentials takes it up
    top1 = Max(Load(x + i + kLanes), top1);
  }
  float lanes[kLanes];
  Store(lanes, Max(top0, top1));
  float top = lanes[0];
  for (int l = 1; l < kLanes; ++l) top = top < lanes[l] ? lanes[l] : top;
  for (; i < n; ++i) top = top < x[i] ? x[i] : top;
  return top;
}

struct Largest {
  float value;
  int64_t index;  ///< the first
};

Largest FirstLargest(const float* x, int64_t n) {
  float top = -__builtin_inff();
  int64_t from = 0;
  for (int64_t i = 0; i < n; i += kLossBlock) {
    const float candidate = LargestOf(x + i, n - i < kLossBlock ? n - i : kLossBlock);
    if (!(top < candidate)) continue;
    top = candidate;
    from = i;
  }
  while (from < n - 1 && x[from] != top) ++from;
  return {top, from};
}

/// e^{x − top}, into y where it is given. Returns the sum: in float within blocks, in double over them.
template <bool kStore>
double SumExponentials(float* y, const float* x, int64_t n, float top) {
  const Vec offset = Set(top);
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kLossBlock) {
    const int64_t end = n - begin < kLossBlock ? n : begin + kLossBlock;
    Vec sum0 = Zero(), sum1 = Zero();
    int64_t i = begin;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      const Vec e0 = Exp(Load(x + i) - offset), e1 = Exp(Load(x + i + kLanes) - offset);
      if (kStore) Store(y + i, e0);
      if (kStore) Store(y + i + kLanes, e1);
      sum0 = sum0 + e0;
      sum1 = sum1 + e1;
    }
    for (; i < end; i += kLanes) {
      float padded[kLanes];
      Store(padded, Set(-__builtin_inff()));  // e^−∞ = 0
      StoreUpTo(padded, LoadUpTo(x + i, end - i), end - i);
      const Vec e = Exp(Load(padded) - offset);
      if (kStore) StoreUpTo(y + i, e, end - i);
      sum0 = sum0 + e;
    }
    total += static_cast<double>(Sum(sum0 + sum1));
  }
  return total;
}

float CrossEntropy(float* gradient, const float* logits, int64_t V, int64_t target, float scale,
                   float l2wrap) {
  const Largest top = FirstLargest(logits, V);
  const double margin = static_cast<double>(top.value) - static_cast<double>(logits[target]);
  const double total = gradient != nullptr ? SumExponentials<true>(gradient, logits, V, top.value)
                                           : SumExponentials<false>(nullptr, logits, V, top.value);
  const auto loss = static_cast<float>(__builtin_log(total) + margin);
  if (gradient == nullptr) return loss;
  const Vec factor = Set(static_cast<float>(static_cast<double>(scale) / total));
  ForEachVec(
      V, TERN_BODY(i, m) { StoreUpTo(gradient + i, LoadUpTo(gradient + i, m) * factor, m); });
  gradient[target] -= scale;
  gradient[top.index] += scale * l2wrap * top.value;
  return loss;
}

void Adam(const AdamArgs& args) {
  const Vec keep = Set(1.0f - args.learning_rate * args.decay);
  const Vec gradient_scale = Set(args.gradient_scale), rate = Set(args.learning_rate), eps = Set(args.eps);
  const Vec beta1 = Set(args.beta1), rest1 = Set(1.0f - args.beta1), correction1 = Set(args.correction1);
  const Vec beta2 = Set(args.beta2), rest2 = Set(1.0f - args.beta2), correction2 = Set(args.correction2);
  ForEachVec(
      args.n, TERN_BODY(i, n) {
        const Vec g = LoadUpTo(args.gradients + i, n) * gradient_scale;
        const Vec m = Fma(beta1, LoadUpTo(args.m + i, n), rest1 * g);
        const Vec v = Fma(beta2, LoadUpTo(args.v + i, n), rest2 * g * g);
        StoreUpTo(args.m + i, m, n);
        StoreUpTo(args.v + i, v, n);
        const Vec step = (m * correction1) / (Sqrt(v * correction2) + eps);
        StoreUpTo(args.parameters + i, FmaNegated(rate, step, LoadUpTo(args.parameters + i, n) * keep), n);
      });
}

double SumSquares(const float* x, int64_t n) {
  SquareSum sum0, sum1;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    AddSquares(&sum0, Load(x + i));
    AddSquares(&sum1, Load(x + i + kLanes));
  }
  for (; i < n; i += kLanes) AddSquares(&sum0, LoadUpTo(x + i, n - i));
  return Total(sum0) + Total(sum1);
}

void ToBf16(uint16_t* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) StoreBf16(y + i, Load(x + i));
  if (i < n) StoreBf16(y + i, Load(x + i, n - i), n - i);
}

void FromBf16(float* y, const uint16_t* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, LoadBf16(x + i));
  if (i < n) Store(y + i, LoadBf16(x + i, n - i), n - i);
}

}  // namespace
}  // namespace tern::kernels
