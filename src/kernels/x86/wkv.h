// The recurrences, for whichever Vec was included before.
#pragma once

namespace tern::kernels {
namespace {

/// Heads wider than this (none is known) take the reference kernel: rows of a head are staged on the stack.
constexpr int64_t kMaxHead = 512;

struct alignas(64) HeadRow {
  float at[kMaxHead + kLanes];  ///< loads of whole vectors may look past N
};

/// Copies n floats and fills the last vector with zeros.
void CopyPadded(HeadRow* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) Store(to->at + i, LoadUpTo(from + i, n - i));
}

/// One token of kLanes channels (or the first n of them). Of e^{p−q} and e^{s−q} with q = max(p, s) one is
/// e^0 = 1, so one exponential, of −|p−s|, serves both.
TERN_INLINE void Wkv4Step(const Wkv4Args& args, int64_t row, int64_t c, int64_t n) {
  const Vec one = Set(1.0f);
  const Vec k = LoadUpTo(args.k + row + c, n), v = LoadUpTo(args.v + row + c, n);
  const Vec a = LoadUpTo(args.a + c, n), b = LoadUpTo(args.b + c, n), p = LoadUpTo(args.p + c, n);
  const Vec s = LoadUpTo(args.u + c, n) + k;
  const Vec e = Exp(Zero() - Abs(p - s));
  const Vec past = IfLess(p, s, e, one), now = IfLess(p, s, one, e);
  StoreUpTo(args.y + row + c, Fma(past, a, now * v) / Fma(past, b, now), n);

  const Vec decayed = p + LoadUpTo(args.w + c, n);
  const Vec f = Exp(Zero() - Abs(decayed - k));
  const Vec keep = IfLess(decayed, k, f, one), take = IfLess(decayed, k, one, f);
  StoreUpTo(args.a + c, Fma(keep, a, take * v), n);
  StoreUpTo(args.b + c, Fma(keep, b, take), n);
  StoreUpTo(args.p + c, Max(decayed, k), n);
}

void Wkv4(const Wkv4Args& args) {
  for (int64_t t = 0; t < args.T; ++t) {
    for (int64_t c = args.c0; c < args.c1; c += kLanes) Wkv4Step(args, t * args.stride, c, args.c1 - c);
  }
}

/// Columns [j, j + V·kLanes) of one token of RWKV-5 and -6 (V = 1: also fewer than kLanes of them): sums r·S,
/// then decays S and adds k·v.
template <int V>
TERN_INLINE void Wkv6Columns(const Wkv6Args& args, int64_t t, int64_t j, float bonus, float* y) {
  const int64_t N = args.N, rest = N - j;
  const float* r = args.r + t * args.stride;
  const float* k = args.k + t * args.stride;
  const float* w = args.w + t * args.w_stride;
  Vec v[V], sum[V];
  for (int g = 0; g < V; ++g) {
    v[g] = LoadUpTo(args.v + t * args.stride + j + g * kLanes, V == 1 ? rest : kLanes);
    sum[g] = Set(bonus) * v[g];
  }
  float* S = args.S + j;
  for (int64_t i = 0; i < N; ++i, S += N) {
    const Vec ri = Set(r[i]), ki = Set(k[i]), wi = Set(w[i]);
    for (int g = 0; g < V; ++g) {
      const Vec s = LoadUpTo(S + g * kLanes, V == 1 ? rest : kLanes);
      sum[g] = Fma(ri, s, sum[g]);
      StoreUpTo(S + g * kLanes, Fma(wi, s, ki * v[g]), V == 1 ? rest : kLanes);
    }
  }
  for (int g = 0; g < V; ++g) Store(y + j + g * kLanes, sum[g]);
}

/// Σ_i r[i]·u[i]·k[i]: what the current token's own key gives, the same for every j but for v[j].
float Wkv6Bonus(const float* r, const float* u, const float* k, int64_t N) {
  Vec sum = Zero();
  for (int64_t i = 0; i < N; i += kLanes) {
    sum = Fma(LoadUpTo(r + i, N - i) * LoadUpTo(u + i, N - i), LoadUpTo(k + i, N - i), sum);
  }
  return Sum(sum);
}

void Wkv6(const Wkv6Args& args) {
  if (args.N > kMaxHead) return RefTable().wkv6(args);
  HeadRow y;  // args.y may be r, k or v, all of which are needed until the token is done
  for (int64_t t = 0; t < args.T; ++t) {
    const int64_t row = t * args.stride;
    const float bonus = Wkv6Bonus(args.r + row, args.u, args.k + row, args.N);
    int64_t j = 0;
    for (; j + 4 * kLanes <= args.N; j += 4 * kLanes) Wkv6Columns<4>(args, t, j, bonus, y.at);
    for (; j < args.N; j += kLanes) Wkv6Columns<1>(args, t, j, bonus, y.at);
    for (j = 0; j < args.N; j += kLanes) StoreUpTo(args.y + row + j, Load(y.at + j), args.N - j);
  }
}

/// What one token gives to every row of RWKV-7's state, padded with zeros to whole vectors.
struct Wkv7Token {
  HeadRow r, w, k, kk, kka;
};

/// The sums over the lanes of R vectors, four at once where there are four.
template <int R>
TERN_INLINE void SumEach(const Vec (&v)[R], float* to) {
  if constexpr (R == 4) {
    _mm_storeu_ps(to, Sum4(v[0], v[1], v[2], v[3]));
  } else {
    for (int g = 0; g < R; ++g) to[g] = Sum(v[g]);
  }
}

/// Rows [i, i + R) of the state for one token.
template <int R>
TERN_INLINE void Wkv7Rows(const Wkv7Token& token, const float* v, float* S, int64_t N, float* y) {
  Vec dot[R];
  for (int g = 0; g < R; ++g) dot[g] = Zero();
  for (int64_t j = 0; j < N; j += kLanes) {
    const Vec kk = Load(token.kk.at + j);
    for (int g = 0; g < R; ++g) dot[g] = Fma(LoadUpTo(S + g * N + j, N - j), kk, dot[g]);
  }
  float removal[R];
  SumEach<R>(dot, removal);
  Vec removed[R], value[R];
  for (int g = 0; g < R; ++g) {
    removed[g] = Set(removal[g]);
    value[g] = Set(v[g]);
    dot[g] = Zero();
  }
  for (int64_t j = 0; j < N; j += kLanes) {
    const Vec w = Load(token.w.at + j), k = Load(token.k.at + j), kka = Load(token.kka.at + j),
              r = Load(token.r.at + j);
    for (int g = 0; g < R; ++g) {
      float* at = S + g * N + j;
      const Vec s = Fma(LoadUpTo(at, N - j), w, FmaNegated(removed[g], kka, value[g] * k));
      StoreUpTo(at, s, N - j);
      dot[g] = Fma(s, r, dot[g]);
    }
  }
  SumEach<R>(dot, y);
}

void Wkv7(const Wkv7Args& args) {
  if (args.N > kMaxHead) return RefTable().wkv7(args);
  Wkv7Token token;
  for (int64_t t = 0; t < args.T; ++t) {
    const int64_t row = t * args.stride, N = args.N;
    CopyPadded(&token.r, args.r + row, N);  // y may be r: from here on r is read from the copy alone
    CopyPadded(&token.w, args.w + row, N);
    CopyPadded(&token.k, args.k + row, N);
    CopyPadded(&token.kk, args.kk + row, N);
    CopyPadded(&token.kka, args.a + row, N);
    for (int64_t j = 0; j < N; j += kLanes)
      Store(token.kka.at + j, Load(token.kka.at + j) * Load(token.kk.at + j));
    int64_t i = 0;
    for (; i + 4 <= N; i += 4) Wkv7Rows<4>(token, args.v + row + i, args.S + i * N, N, args.y + row + i);
    for (; i < N; ++i) Wkv7Rows<1>(token, args.v + row + i, args.S + i * N, N, args.y + row + i);
  }
}

}  // namespace
}  // namespace tern::kernels
