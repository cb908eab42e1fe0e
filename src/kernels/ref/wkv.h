// Reference recurrences. Each is a template over its argument struct: the public one of kernels/ops.h, or any
// with the same fields over another number type.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/ref/number.h"

namespace tern::kernels::ref {

template <typename Args>
void Wkv4(const Args& args) {
  using T = std::remove_cvref_t<decltype(*args.a)>;
  for (int64_t c = args.c0; c < args.c1; ++c) {
    T a = args.a[c], b = args.b[c], p = args.p[c];
    const T w = args.w[c], u = args.u[c];
    for (int64_t t = 0; t < args.T; ++t) {
      const T k = args.k[t * args.stride + c], v = args.v[t * args.stride + c];
      const T q = Max(p, u + k);
      const T past = std::exp(p - q), now = std::exp(u + k - q);
      args.y[t * args.stride + c] = (past * a + now * v) / (past * b + now);
      const T next = Max(p + w, k);
      const T keep = std::exp(p + w - next), take = std::exp(k - next);
      a = keep * a + take * v;
      b = keep * b + take;
      p = next;
    }
    args.a[c] = a;
    args.b[c] = b;
    args.p[c] = p;
  }
}

template <typename Args>
void Wkv6(const Args& args) {
  using T = std::remove_cvref_t<decltype(*args.S)>;
  const int64_t N = args.N;
  std::vector<T> sum(static_cast<size_t>(N));  // y may be r, k or v
  for (int64_t t = 0; t < args.T; ++t) {
    const T* r = args.r + t * args.stride;
    const T* k = args.k + t * args.stride;
    const T* v = args.v + t * args.stride;
    const T* w = args.w + t * args.w_stride;
    sum.assign(sum.size(), T(0));
    for (int64_t i = 0; i < N; ++i) {
      T* S = args.S + i * N;
      for (int64_t j = 0; j < N; ++j) {
        const T kv = k[i] * v[j];
        sum[static_cast<size_t>(j)] += r[i] * (S[j] + args.u[i] * kv);
        S[j] = w[i] * S[j] + kv;
      }
    }
    for (int64_t j = 0; j < N; ++j) args.y[t * args.stride + j] = sum[static_cast<size_t>(j)];
  }
}

template <typename Args>
void Wkv7(const Args& args) {
  using T = std::remove_cvref_t<decltype(*args.S)>;
  const int64_t N = args.N;
  std::vector<T> out(static_cast<size_t>(N));  // y may be r
  for (int64_t t = 0; t < args.T; ++t) {
    const T* r = args.r + t * args.stride;
    const T* w = args.w + t * args.stride;
    const T* k = args.k + t * args.stride;
    const T* v = args.v + t * args.stride;
    const T* kk = args.kk + t * args.stride;
    const T* a = args.a + t * args.stride;
    for (int64_t i = 0; i < N; ++i) {
      T* S = args.S + i * N;
      T removed = 0;
      for (int64_t j = 0; j < N; ++j) removed += S[j] * kk[j];
      T y = 0;
      for (int64_t j = 0; j < N; ++j) {
        S[j] = S[j] * w[j] - removed * (kk[j] * a[j]) + v[i] * k[j];
        y += S[j] * r[j];
      }
      out[static_cast<size_t>(i)] = y;
    }
    for (int64_t i = 0; i < N; ++i) args.y[t * args.stride + i] = out[static_cast<size_t>(i)];
  }
}

}  // namespace tern::kernels::ref
