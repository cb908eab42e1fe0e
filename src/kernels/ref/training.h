// Reference forward and backward functions of training over any number type: float (the oracle of the vector
// kernels), double, or std::complex<double>. See kernels/training.h for what each computes. Products of a
// number with itself are analytic (no conjugate), so that a complex step through them is exact.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/ref/elementwise.h"
#include "kernels/ref/number.h"

namespace tern::kernels::ref {

// --- norms ---

/// What a norm's backward needs of its input.
template <typename Sum>
struct Moments {
  Sum mean, scale;  ///< scale = 1/√(var + eps)
};

template <typename T>
auto MomentsOf(const T* x, int64_t n, double eps) {
  using Sum = typename NumberTraits<T>::Sum;
  const Sum count = static_cast<double>(n);
  Sum mean = 0, variance = 0;
  for (int64_t i = 0; i < n; ++i) mean += Sum(x[i]);
  mean /= count;
  for (int64_t i = 0; i < n; ++i) variance += (Sum(x[i]) - mean) * (Sum(x[i]) - mean);
  return Moments<Sum>{mean, Sum(1) / std::sqrt(variance / count + Sum(eps))};
}

template <typename T>
void TrainLayerNorm(T* y, const T* x, const T* weight, const T* bias, int64_t n, double eps) {
  using Sum = typename NumberTraits<T>::Sum;
  if (n <= 0) return;
  const auto m = MomentsOf(x, n, eps);
  for (int64_t i = 0; i < n; ++i) y[i] = T((Sum(x[i]) - m.mean) * m.scale * Sum(weight[i]) + Sum(bias[i]));
}

/// With g = dy⊙weight: the gradient of x is scale·(g − mean(g) − x̂·mean(g⊙x̂)). kAdd: added to dx, else set.
template <typename T, bool kAdd>
void NormBackward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, int64_t n,
                  double eps) {
  using Sum = typename NumberTraits<T>::Sum;
  if (n <= 0) return;
  const auto m = MomentsOf(x, n, eps);
  const Sum count = static_cast<double>(n);
  Sum mean_g = 0, mean_gx = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Sum g = Sum(dy[i]) * Sum(weight[i]);
    mean_g += g;
    mean_gx += g * (Sum(x[i]) - m.mean) * m.scale;
  }
  mean_g /= count;
  mean_gx /= count;
  for (int64_t i = 0; i < n; ++i) {
    const Sum up = Sum(dy[i]);  // dx may be dy
    const Sum normal = (Sum(x[i]) - m.mean) * m.scale;
    dweight[i] += T(up * normal);
    dbias[i] += T(up);
    const T d = T(m.scale * (up * Sum(weight[i]) - mean_g - normal * mean_gx));
    dx[i] = kAdd ? dx[i] + d : d;
  }
}

template <typename T>
void TrainGroupNorm(T* y, const T* x, const T* weight, const T* bias, int64_t n, int64_t groups, double eps) {
  const int64_t size = n / groups;
  for (int64_t c = 0; c < n; c += size) TrainLayerNorm(y + c, x + c, weight + c, bias + c, size, eps);
}
template <typename T>
void GroupNormBackward(T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, int64_t n,
                       int64_t groups, double eps) {
  const int64_t size = n / groups;
  for (int64_t c = 0; c < n; c += size)
    NormBackward<T, false>(dx + c, dweight + c, dbias + c, dy + c, x + c, weight + c, size, eps);
}

// --- one element at a time ---

template <typename T>
void ShiftMixBackward(T* dx, T* dx_prev, T* dmu, const T* dy, const T* x, const T* x_prev, const T* mu,
                      int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    dx[i] += dy[i] * (T(1) - mu[i]);
    dx_prev[i] += dy[i] * mu[i];
    dmu[i] += dy[i] * (x_prev[i] - x[i]);
  }
}

template <typename T>
void BiasedSigmoid(T* y, const T* x, const T* bias, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = Sigmoid(bias != nullptr ? x[i] + bias[i] : x[i]);
}
template <typename T>
void SigmoidBackward(T* dx, const T* dy, const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * y[i] * (T(1) - y[i]);
}

template <typename T>
void TanhBackward(T* dx, const T* dy, const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * (T(1) - y[i] * y[i]);
}

template <typename T>
void ReluSquaredBackward(T* dx, const T* dy, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dx[i] = RealPart(x[i]) < 0 ? T(0) : T(2) * dy[i] * x[i];
}

inline constexpr double kDecayRate = 0.60653065971263342360;  ///< e^{−1/2}

template <typename T>
void DecayOfGate(T* y, const T* s, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::exp(T(-kDecayRate) * s[i]);
}
template <typename T>
void DecayOfGateBackward(T* ds, const T* dy, const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) ds[i] = T(-kDecayRate) * dy[i] * y[i];
}

template <typename T>
void Product(T* y, const T* x, const T* z, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * z[i];
}
template <typename T>
void ProductBackward(T* dx, T* dz, const T* dy, const T* x, const T* z, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T up = dy[i];  // dx may be dy
    dx[i] = up * z[i];
    dz[i] = up * x[i];
  }
}

template <typename T>
void Lerp(T* y, const T* x, const T* z, const T* m, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] + (z[i] - x[i]) * m[i];
}
template <typename T>
void LerpBackward(T* dx, T* dz, T* dm, const T* dy, const T* x, const T* z, const T* m, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T up = dy[i];  // dx may be dy
    dx[i] = up * (T(1) - m[i]);
    dz[i] += up * m[i];
    dm[i] = up * (z[i] - x[i]);
  }
}

// --- RWKV-7's keys and bonus ---

/// max(‖k⊙k_k‖, 1e-12) of one head, and whether the norm was the larger.
template <typename T>
struct KeyLength {
  T length;
  bool is_norm;
};

inline constexpr double kLeastKeyLength = 1e-12;

template <typename T>
auto KeyLengthOf(const T* k, const T* k_k, int64_t N) {
  using Sum = typename NumberTraits<T>::Sum;
  Sum square = 0;
  for (int64_t j = 0; j < N; ++j) {
    const Sum z = Sum(k[j]) * Sum(k_k[j]);
    square += z * z;
  }
  // A norm of 0 has no derivative: where the constant is larger, the square root is not looked at.
  if (RealPart(square) <= kLeastKeyLength * kLeastKeyLength)
    return KeyLength<Sum>{Sum(kLeastKeyLength), false};
  return KeyLength<Sum>{std::sqrt(square), true};
}

template <typename T>
void RemovalKey(T* kk, const T* k, const T* k_k, int64_t n, int64_t N) {
  using Sum = typename NumberTraits<T>::Sum;
  for (int64_t c = 0; c < n; c += N) {
    const Sum length = KeyLengthOf(k + c, k_k + c, N).length;
    for (int64_t j = c; j < c + N; ++j) kk[j] = T(Sum(k[j]) * Sum(k_k[j]) / length);
  }
}
/// kk = z/‖z‖ gives dz = (dkk − kk·(kk·dkk))/‖z‖.
template <typename T>
void RemovalKeyBackward(T* dk, T* dk_k, const T* dkk, const T* k, const T* k_k, int64_t n, int64_t N) {
  using Sum = typename NumberTraits<T>::Sum;
  for (int64_t c = 0; c < n; c += N) {
    const auto z = KeyLengthOf(k + c, k_k + c, N);
    Sum along = 0;  // kk·dkk / ‖z‖
    if (z.is_norm) {
      for (int64_t j = c; j < c + N; ++j) along += Sum(k[j]) * Sum(k_k[j]) * Sum(dkk[j]);
      along /= z.length * z.length;
    }
    for (int64_t j = c; j < c + N; ++j) {
      const Sum dz = (Sum(dkk[j]) - Sum(k[j]) * Sum(k_k[j]) * along) / z.length;
      dk[j] += T(dz * Sum(k_k[j]));
      dk_k[j] += T(dz * Sum(k[j]));
    }
  }
}

template <typename T>
void ReplacementKey(T* y, const T* k, const T* a, const T* k_a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = k[i] * (T(1) + (a[i] - T(1)) * k_a[i]);
}
template <typename T>
void ReplacementKeyBackward(T* dk, T* da, T* dk_a, const T* dy, const T* k, const T* a, const T* k_a,
                            int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T up = dy[i];  // dk may be dy
    da[i] += up * k[i] * k_a[i];
    dk_a[i] += up * k[i] * (a[i] - T(1));
    dk[i] = up * (T(1) + (a[i] - T(1)) * k_a[i]);
  }
}

template <typename T>
void Bonus(T* y, const T* r, const T* k, const T* v, const T* r_k, int64_t n, int64_t N) {
  using Sum = typename NumberTraits<T>::Sum;
  for (int64_t c = 0; c < n; c += N) {
    Sum s = 0;
    for (int64_t j = c; j < c + N; ++j) s += Sum(r[j]) * Sum(k[j]) * Sum(r_k[j]);
    for (int64_t j = c; j < c + N; ++j) y[j] += T(s) * v[j];
  }
}
template <typename T>
void BonusBackward(T* dr, T* dk, T* dv, T* dr_k, const T* dy, const T* r, const T* k, const T* v,
                   const T* r_k, int64_t n, int64_t N) {
  using Sum = typename NumberTraits<T>::Sum;
  for (int64_t c = 0; c < n; c += N) {
    Sum s = 0, ds = 0;
    for (int64_t j = c; j < c + N; ++j) {
      s += Sum(r[j]) * Sum(k[j]) * Sum(r_k[j]);
      ds += Sum(dy[j]) * Sum(v[j]);
    }
    const T sum = T(s), d = T(ds);
    for (int64_t j = c; j < c + N; ++j) {
      dr[j] += d * k[j] * r_k[j];
      dk[j] += d * r[j] * r_k[j];
      dr_k[j] += d * r[j] * k[j];
      dv[j] += sum * dy[j];
    }
  }
}

// --- the loss ---

/// The place of the first largest real part.
template <typename T>
int64_t FirstLargest(const T* x, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i) {
    if (RealPart(x[best]) < RealPart(x[i])) best = i;
  }
  return best;
}

template <typename T>
T CrossEntropy(T* gradient, const T* logits, int64_t V, int64_t target, T scale, T l2wrap) {
  using Sum = typename NumberTraits<T>::Sum;
  const int64_t best = FirstLargest(logits, V);
  const Sum top = Sum(logits[best]);  // gradient may be logits
  Sum total = 0;
  for (int64_t i = 0; i < V; ++i) total += std::exp(Sum(logits[i]) - top);
  const T loss = T(std::log(total) + (top - Sum(logits[target])));
  if (gradient == nullptr) return loss;
  for (int64_t i = 0; i < V; ++i) gradient[i] = T(Sum(scale) * std::exp(Sum(logits[i]) - top) / total);
  gradient[target] -= scale;
  gradient[best] += T(Sum(scale) * Sum(l2wrap) * top);
  return loss;
}

}  // namespace tern::kernels::ref
