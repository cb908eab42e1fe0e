// Reference kernels that work on one element at a time, and the norms. See kernels/ops.h for what each
// computes.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/ref/number.h"

namespace tern::kernels::ref {

template <typename T>
T Sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}
template <typename T>
T Tanh(T x) {
  return std::tanh(x);
}
template <typename T>
T Silu(T x) {
  return x * Sigmoid(x);
}
template <typename T>
T ReluSquared(T x) {
  return RealPart(x) < 0 ? T(0) : x * x;  // NaN stays NaN
}
template <typename T>
T ExpNegExp(T x) {
  return std::exp(-std::exp(x));
}
template <typename T>
T Decay7(T x) {
  return std::exp(T(-0.60653065971263342360) * Sigmoid(x));  // e^{−1/2}
}

template <typename T>
void LayerNorm(T* y, const T* x, const T* weight, const T* bias, int64_t n, float eps) {
  using Sum = typename NumberTraits<T>::Sum;
  if (n <= 0) return;
  const Sum count = static_cast<double>(n);
  Sum mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += Sum(x[i]);
  mean /= count;
  Sum variance = 0;
  for (int64_t i = 0; i < n; ++i) variance += (Sum(x[i]) - mean) * (Sum(x[i]) - mean);
  variance /= count;
  const Sum scale = Sum(1) / std::sqrt(variance + Sum(eps));
  for (int64_t i = 0; i < n; ++i) y[i] = T((Sum(x[i]) - mean) * scale * Sum(weight[i]) + Sum(bias[i]));
}

template <typename T>
void GroupNorm(T* y, const T* x, const T* weight, const T* bias, int64_t n, int64_t groups, float eps) {
  const int64_t size = n / groups;
  for (int64_t c = 0; c < n; c += size) LayerNorm(y + c, x + c, weight + c, bias + c, size, eps);
}

template <typename T>
void ShiftMix(T* y, const T* x, const T* x_prev, const T* mu, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + (x_prev[i] - x[i]) * mu[i];
}

template <typename T>
void ShiftMixDynamic(T* y, const T* x, const T* x_prev, const T* mu, const T* d, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + (x_prev[i] - x[i]) * (mu[i] + d[i]);
}

/// y[i] = Function(x[i]).
template <typename T, T (*Function)(T)>
void Map(T* y, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = Function(x[i]);
}

template <typename T>
void Add(T* y, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <typename T>
void Mul(T* y, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] *= x[i];
}

}  // namespace tern::kernels::ref
