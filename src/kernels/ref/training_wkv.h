// Reference recurrences of training and their backward functions; see kernels/training.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/ref/number.h"
#include "kernels/ref/wkv.h"
#include "kernels/training.h"

namespace tern::kernels::ref {

template <typename Number>
void TrainWkv4(const TrainWkv4Args<Number>& args) {
  Wkv4(args);
}

/// Backward of one channel, from the states that its forward went through. Written without the exponents'
/// offsets:
///   A' = e^w·A + e^k·v,  B' = e^w·B + e^k,  y = (A + e^{u+k}·v)/(B + e^{u+k})
/// where A = e^p·a and B = e^p·b. The gradients of A and B after a token are kept as e^m·(ga, gb). m is such
/// that k + m and p + w + m, the exponents below, are never above 0: e^m is at most the largest 1/e^q of a
/// later token, decayed on the way, and that token's q is at least k or p + w, decayed alike.
template <typename T>
void Wkv4ChannelBackward(const Wkv4BackwardArgs<T>& args, int64_t c, std::vector<T>* states) {
  const T w = args.w[c], u = args.u[c];
  T a = args.a[c], b = args.b[c], p = args.p[c];
  states->resize(static_cast<size_t>(3 * args.T));
  T* s = states->data();
  for (int64_t t = 0; t < args.T; ++t, s += 3) {
    s[0] = a;
    s[1] = b;
    s[2] = p;
    const T k = args.k[t * args.stride + c], v = args.v[t * args.stride + c];
    const T next = Max(p + w, k);
    const T keep = std::exp(p + w - next), take = std::exp(k - next);
    a = keep * a + take * v;
    b = keep * b + take;
    p = next;
  }
  T ga = 0, gb = 0, m = T(-1e38), dw = 0, du = 0;
  for (int64_t t = args.T - 1; t >= 0; --t) {
    s -= 3;
    a = s[0];
    b = s[1];
    p = s[2];
    const int64_t at = t * args.stride + c;
    const T k = args.k[at], v = args.v[at], y = args.y[at];
    const T q = Max(p, u + k);
    const T now = std::exp(u + k - q);
    const T dnum = args.dy[at] / (std::exp(p - q) * b + now);  // of the numerator, times e^q
    const T through_now = now * dnum * (v - y);
    const T take = std::exp(k + m), keep = std::exp(p + w + m);
    args.dk[at] = through_now + take * (ga * v + gb);
    args.dv[at] = now * dnum + take * ga;
    du += through_now;
    dw += keep * (ga * a + gb * b);
    const T next = Max(m + w, -q);
    const T older = std::exp(m + w - next), newer = std::exp(-q - next);
    ga = older * ga + newer * dnum;
    gb = older * gb - newer * dnum * y;
    m = next;
  }
  args.dw[c] += dw;
  args.du[c] += du;
}

template <typename T>
void Wkv4Backward(const Wkv4BackwardArgs<T>& args) {
  std::vector<T> states;
  for (int64_t c = args.c0; c < args.c1; ++c) Wkv4ChannelBackward(args, c, &states);
}

template <typename Number>
void TrainWkv7(const TrainWkv7Args<Number>& args) {
  const int64_t size = args.N * args.N;
  for (int64_t t = 0; t < args.T; t += kWkv7CheckpointTokens) {
    if (args.checkpoints != nullptr)
      std::copy(args.S, args.S + size, args.checkpoints + t / kWkv7CheckpointTokens * size);
    const int64_t row = t * args.stride;
    TrainWkv7Args<Number> chunk = args;
    chunk.T = std::min(kWkv7CheckpointTokens, args.T - t);
    for (const Number** rows : {&chunk.r, &chunk.w, &chunk.k, &chunk.v, &chunk.kk, &chunk.a}) *rows += row;
    chunk.y += row;
    Wkv7(chunk);
  }
}

/// Token t's part of the backward, given the states before and after it. G comes in as the gradient of the
/// state after the token (but for y's part) and leaves as that of the state before it.
template <typename T>
void Wkv7TokenBackward(const Wkv7BackwardArgs<T>& args, int64_t t, const T* before, const T* after, T* G) {
  const int64_t N = args.N, row = t * args.stride;
  const T *r = args.r + row, *w = args.w + row, *k = args.k + row, *v = args.v + row, *kk = args.kk + row,
          *a = args.a + row, *dy = args.dy + row;
  T *dr = args.dr + row, *dw = args.dw + row, *dk = args.dk + row, *dv = args.dv + row, *dkk = args.dkk + row,
    *da = args.da + row;
  for (int64_t j = 0; j < N; ++j) dr[j] = dw[j] = dk[j] = dkk[j] = da[j] = T(0);
  for (int64_t i = 0; i < N; ++i) {
    const T* S = before + i * N;
    T* g = G + i * N;
    T removed = 0, dremoved = 0, dvalue = 0;
    for (int64_t j = 0; j < N; ++j) {
      removed += S[j] * kk[j];
      dr[j] += after[i * N + j] * dy[i];
      g[j] += dy[i] * r[j];
      dremoved -= g[j] * (kk[j] * a[j]);
      dvalue += g[j] * k[j];
    }
    dv[i] = dvalue;
    for (int64_t j = 0; j < N; ++j) {
      dk[j] += g[j] * v[i];
      dw[j] += g[j] * S[j];
      da[j] -= g[j] * removed * kk[j];
      dkk[j] += S[j] * dremoved - g[j] * removed * a[j];
      g[j] = g[j] * w[j] + dremoved * kk[j];
    }
  }
}

template <typename T>
void Wkv7Backward(const Wkv7BackwardArgs<T>& args) {
  const int64_t N = args.N, size = N * N;
  const auto at = [size](std::vector<T>& states, int64_t t) { return states.data() + t * size; };
  std::vector<T> states(
      static_cast<size_t>((kWkv7CheckpointTokens + 1) * size));  // before each token of a chunk
  std::vector<T> G(static_cast<size_t>(size), T(0)), y(static_cast<size_t>(N));
  for (int64_t chunk = Wkv7Checkpoints(args.T) - 1; chunk >= 0; --chunk) {
    const int64_t first = chunk * kWkv7CheckpointTokens;
    const int64_t tokens = std::min(kWkv7CheckpointTokens, args.T - first);
    std::copy(args.checkpoints + chunk * size, args.checkpoints + (chunk + 1) * size, at(states, 0));
    for (int64_t t = 0; t < tokens; ++t) {
      std::copy(at(states, t), at(states, t) + size, at(states, t + 1));
      const int64_t row = (first + t) * args.stride;
      Wkv7(TrainWkv7Args<T>{.T = 1,
                            .N = N,
                            .r = args.r + row,
                            .w = args.w + row,
                            .k = args.k + row,
                            .v = args.v + row,
                            .kk = args.kk + row,
                            .a = args.a + row,
                            .stride = args.stride,
                            .y = y.data(),
                            .S = at(states, t + 1),
                            .checkpoints = nullptr});
    }
    for (int64_t t = tokens - 1; t >= 0; --t)
      Wkv7TokenBackward(args, first + t, at(states, t), at(states, t + 1), G.data());
  }
}

}  // namespace tern::kernels::ref
