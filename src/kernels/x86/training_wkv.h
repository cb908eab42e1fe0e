// Training's recurrences and their backward functions, for whichever Vec was included before.
#pragma once

namespace tern::kernels {
namespace {

// --- RWKV-4 ---

void TrainWkv4(const TrainWkv4Args<float>& args) {
  Wkv4({args.T, args.c0, args.c1, args.w, args.u, args.k, args.v, args.y, args.stride, args.a, args.b,
        args.p});
}

/// Channels that walk through time together: a quarter of a page of each array for every token, and states
/// that stay in L1.
constexpr int64_t kWkv4Block = 256;

/// The state of a block: forward a, b, p with the derivatives of e^p·a and e^p·b by w (scaled by e^−p as they
/// are); backward ga, gb, m, the gradients of e^p·a and e^p·b scaled by e^−m.
struct alignas(64) Wkv4State {
  float a[kWkv4Block], b[kWkv4Block], p[kWkv4Block], a_by_w[kWkv4Block], b_by_w[kWkv4Block];
};

/// Both exponentials e^{x−m} and e^{y−m} with m = max(x, y): one is e^0.
struct ExpPair {
  Vec x, y, max;
};
TERN_INLINE ExpPair ExpBoth(Vec x, Vec y) {
  const Vec one = Set(1.0f), e = Exp(Zero() - Abs(x - y));
  return {IfLess(x, y, e, one), IfLess(x, y, one, e), Max(x, y)};
}

/// Forward again through one token of channels [c, c + n), whose state is at `i`: adds to dw and du, and
/// leaves q in dk and the numerator's gradient, times e^q, in dv.
TERN_INLINE void Wkv4Recompute(const Wkv4BackwardArgs<float>& args, Wkv4State* state, int64_t row, int64_t c,
                               int64_t i, int64_t n) {
  const Vec k = LoadUpTo(args.k + row + c, n), v = LoadUpTo(args.v + row + c, n),
            y = LoadUpTo(args.y + row + c, n);
  const Vec a = Load(state->a + i), b = Load(state->b + i), p = Load(state->p + i);
  const Vec a_by_w = Load(state->a_by_w + i), b_by_w = Load(state->b_by_w + i);
  const ExpPair out = ExpBoth(p, LoadUpTo(args.u + c, n) + k);
  const Vec dnum = LoadUpTo(args.dy + row + c, n) / Fma(out.x, b, out.y);
  AddProductTo(args.dw + c, out.x * dnum, FmaNegated(y, b_by_w, a_by_w), n);
  AddProductTo(args.du + c, out.y * dnum, v - y, n);
  StoreUpTo(args.dk + row + c, out.max, n);
  StoreUpTo(args.dv + row + c, dnum, n);

  const ExpPair next = ExpBoth(p + LoadUpTo(args.w + c, n), k);
  Store(state->a + i, Fma(next.x, a, next.y * v));
  Store(state->b + i, Fma(next.x, b, next.y));
  Store(state->p + i, next.max);
  Store(state->a_by_w + i, next.x * (a + a_by_w));
  Store(state->b_by_w + i, next.x * (b + b_by_w));
}

/// Back through one token: see ref/training_wkv.h for why no exponent is above 0.
TERN_INLINE void Wkv4Back(const Wkv4BackwardArgs<float>& args, Wkv4State* state, int64_t row, int64_t c,
                          int64_t i, int64_t n) {
  const Vec k = LoadUpTo(args.k + row + c, n), v = LoadUpTo(args.v + row + c, n),
            y = LoadUpTo(args.y + row + c, n);
  const Vec q = LoadUpTo(args.dk + row + c, n), dnum = LoadUpTo(args.dv + row + c, n);
  const Vec ga = Load(state->a + i), gb = Load(state->b + i), m = Load(state->p + i);
  const Vec now = Exp(LoadUpTo(args.u + c, n) + k - q) * dnum, take = Exp(k + m);
  StoreUpTo(args.dk + row + c, Fma(take, Fma(ga, v, gb), now * (v - y)), n);
  StoreUpTo(args.dv + row + c, Fma(take, ga, now), n);
  const ExpPair sum = ExpBoth(m + LoadUpTo(args.w + c, n), Zero() - q);
  const Vec newer = sum.y * dnum;
  Store(state->a + i, Fma(sum.x, ga, newer));
  Store(state->b + i, FmaNegated(newer, y, sum.x * gb));
  Store(state->p + i, sum.max);
}

void Wkv4Backward(const Wkv4BackwardArgs<float>& args) {
  Wkv4State state;
  for (int64_t c0 = args.c0; c0 < args.c1; c0 += kWkv4Block) {
    const int64_t n = args.c1 - c0 < kWkv4Block ? args.c1 - c0 : kWkv4Block;
    ForEachVec(
        n, TERN_BODY(i, m) {
          Store(state.a + i, LoadUpTo(args.a + c0 + i, m));
          Store(state.b + i, LoadUpTo(args.b + c0 + i, m));
          Store(state.p + i, LoadUpTo(args.p + c0 + i, m));
          Store(state.a_by_w + i, Zero());
          Store(state.b_by_w + i, Zero());
        });
    for (int64_t t = 0; t < args.T; ++t)
      ForEachVec(
          n, TERN_BODY(i, m) { Wkv4Recompute(args, &state, t * args.stride, c0 + i, i, m); });
    for (int64_t i = 0; i < n; i += kLanes) {
      Store(state.a + i, Zero());
      Store(state.b + i, Zero());
      Store(state.p + i, Set(-1e38f));
    }
    for (int64_t t = args.T - 1; t >= 0; --t)
      ForEachVec(
          n, TERN_BODY(i, m) { Wkv4Back(args, &state, t * args.stride, c0 + i, i, m); });
  }
}

// --- RWKV-7 ---
//
// Tokens are staged in chunks (between two checkpoints), padded with zeros to V whole vectors. A block of R
// rows of the state (or of its gradient) then walks through the chunk's tokens in registers. Rows don't look
// at each other; sums over rows (gradients of r, w, k, kk, a) are added up in memory, block by block.

/// Rows in a block: their sums over lanes are made four at once. With AVX-512 and N = 64 their state is 16 of
/// the 32 registers. Where they don't fit (AVX2), the stack takes some, which costs less than the waits of
/// fewer rows.
constexpr int kBlockRows = 4;

/// Heads wider than this (none is known) take the reference kernels: a chunk and the state's gradient lie on
/// the stack.
constexpr int64_t kMaxTrainHead = 128;

/// One token's vectors and gradients, `width` (a multiple of kLanes) floats each, one after the other.
struct Wkv7Layout {
  enum Place { kK, kKk, kB, kW, kV, kR, kDy, kDr, kDk, kDb, kDw, kDkk, kDv, kPlaces };
};
template <int V>
struct alignas(64) Wkv7Chunk {
  static constexpr int64_t kWidth = V * kLanes;
  float at[kWkv7CheckpointTokens][Wkv7Layout::kPlaces][kWidth];
};

template <int V>
TERN_INLINE void Stage(float (&to)[V * kLanes], const float* from, int64_t N) {
  for (int64_t j = 0; j < V * kLanes; j += kLanes) Store(to + j, j < N ? LoadUpTo(from + j, N - j) : Zero());
}
template <int V>
TERN_INLINE void Unstage(float* to, const float (&from)[V * kLanes], int64_t N) {
  for (int64_t j = 0; j < N; j += kLanes) StoreUpTo(to + j, Load(from + j), N - j);
}

/// The inputs that forward and backward share; b = kk⊙a.
template <int V, typename Args>
void StageTokens(Wkv7Chunk<V>* chunk, const Args& args, int64_t first, int64_t tokens) {
  using L = Wkv7Layout;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t row = (first + t) * args.stride;
    auto& at = chunk->at[t];
    Stage<V>(at[L::kR], args.r + row, args.N);
    Stage<V>(at[L::kW], args.w + row, args.N);
    Stage<V>(at[L::kK], args.k + row, args.N);
    Stage<V>(at[L::kV], args.v + row, args.N);
    Stage<V>(at[L::kKk], args.kk + row, args.N);
    Stage<V>(at[L::kB], args.a + row, args.N);
    for (int64_t j = 0; j < V * kLanes; j += kLanes)
      Store(at[L::kB] + j, Load(at[L::kB] + j) * Load(at[L::kKk] + j));
  }
}

/// R rows of V vectors from a matrix of N columns, of which `rows` rows are left (the others are zeros); and
/// back.
template <int R, int V>
TERN_INLINE void LoadRows(Vec (&s)[R][V], const float* from, int64_t rows, int64_t N) {
  TERN_UNROLL
  for (int g = 0; g < R; ++g) {
    TERN_UNROLL
    for (int j = 0; j < V; ++j) {
      const int64_t rest = g < rows ? N - j * kLanes : 0;
      s[g][j] = rest > 0 ? LoadUpTo(from + g * N + j * kLanes, rest) : Zero();
    }
  }
}
template <int R, int V>
TERN_INLINE void StoreRows(float* to, const Vec (&s)[R][V], int64_t rows, int64_t N) {
  TERN_UNROLL
  for (int g = 0; g < R; ++g) {
    TERN_UNROLL
    for (int j = 0; j < V; ++j) {
      const int64_t rest = g < rows ? N - j * kLanes : 0;
      if (rest > 0) StoreUpTo(to + g * N + j * kLanes, s[g][j], rest);
    }
  }
}

/// S·x for R rows.
template <int R, int V>
TERN_INLINE void RowProducts(const Vec (&s)[R][V], const float* x, float* to) {
  Vec dot[R];
  TERN_UNROLL
  for (int g = 0; g < R; ++g) dot[g] = s[g][0] * Load(x);
  TERN_UNROLL
  for (int j = 1; j < V; ++j) {
    const Vec xj = Load(x + j * kLanes);
    TERN_UNROLL
    for (int g = 0; g < R; ++g) dot[g] = Fma(s[g][j], xj, dot[g]);
  }
  SumEach<R>(dot, to);
}

/// S ← S·diag(w) − removed·bᵀ + v·kᵀ for R rows, and each new vector to `then(g, j, s)`.
template <int R, int V, typename Then>
TERN_INLINE void UpdateRows(Vec (&s)[R][V], const float (&at)[Wkv7Layout::kPlaces][V * kLanes], int64_t i,
                            const float* removed, const Then& then) {
  using L = Wkv7Layout;
  TERN_UNROLL
  for (int j = 0; j < V; ++j) {
    const Vec w = Load(at[L::kW] + j * kLanes), k = Load(at[L::kK] + j * kLanes),
              b = Load(at[L::kB] + j * kLanes);
    TERN_UNROLL
    for (int g = 0; g < R; ++g)
      s[g][j] = Fma(s[g][j], w, FmaNegated(Set(removed[g]), b, Set(at[L::kV][i + g]) * k));
    then(j);
  }
}

/// Rows [i, i + R) through a chunk. y is left where dv will be.
template <int R, int V>
void Wkv7ForwardRows(Wkv7Chunk<V>* chunk, const TrainWkv7Args<float>& args, int64_t i, int64_t tokens,
                     float* checkpoint) {
  using L = Wkv7Layout;
  Vec s[R][V];
  LoadRows<R, V>(s, args.S + i * args.N, args.N - i, args.N);
  if (checkpoint != nullptr) StoreRows<R, V>(checkpoint + i * args.N, s, args.N - i, args.N);
  for (int64_t t = 0; t < tokens; ++t) {
    auto& at = chunk->at[t];
    float removed[R];
    RowProducts<R, V>(s, at[L::kKk], removed);
    UpdateRows<R, V>(s, at, i, removed, [](int) __attribute__((always_inline)){});
    RowProducts<R, V>(s, at[L::kR], at[L::kDv] + i);
  }
  StoreRows<R, V>(args.S + i * args.N, s, args.N - i, args.N);
}

template <int V>
void Wkv7ForwardOf(const TrainWkv7Args<float>& args) {
  constexpr int R = kBlockRows;
  Wkv7Chunk<V> chunk;
  const int64_t N = args.N;
  for (int64_t first = 0; first < args.T; first += kWkv7CheckpointTokens) {
    const int64_t left = args.T - first,
                  tokens = left < kWkv7CheckpointTokens ? left : kWkv7CheckpointTokens;
    float* checkpoint =
        args.checkpoints != nullptr ? args.checkpoints + first / kWkv7CheckpointTokens * N * N : nullptr;
    StageTokens<V>(&chunk, args, first, tokens);
    for (int64_t i = 0; i < N; i += R) Wkv7ForwardRows<R, V>(&chunk, args, i, tokens, checkpoint);
    for (int64_t t = 0; t < tokens; ++t)
      Unstage<V>(args.y + (first + t) * args.stride, chunk.at[t][Wkv7Layout::kDv], N);
  }
}

/// What a block of rows keeps of the way forward through a chunk: the state before each token, and S·kk.
template <int R, int V>
struct alignas(64) Wkv7Path {
  float before[kWkv7CheckpointTokens][R][V * kLanes];
  float removed[kWkv7CheckpointTokens][R];
};

/// Rows [i, i + R) forward from the checkpoint. dr += Sᵀ·dy on the way.
template <int R, int V>
void Wkv7Recompute(Wkv7Chunk<V>* chunk, Wkv7Path<R, V>* path, const float* checkpoint, int64_t N, int64_t i,
                   int64_t tokens) {
  using L = Wkv7Layout;
  Vec s[R][V];
  LoadRows<R, V>(s, checkpoint + i * N, N - i, N);
  for (int64_t t = 0; t < tokens; ++t) {
    auto& at = chunk->at[t];
    TERN_UNROLL
    for (int g = 0; g < R; ++g) {
      TERN_UNROLL
      for (int j = 0; j < V; ++j) Store(path->before[t][g] + j * kLanes, s[g][j]);
    }
    RowProducts<R, V>(s, at[L::kKk], path->removed[t]);
    UpdateRows<R, V>(
        s, at, i, path->removed[t], [&](int j) __attribute__((always_inline)) {
          float* dr = at[L::kDr] + j * kLanes;
          Vec sum = Load(dr);
          TERN_UNROLL
          for (int g = 0; g < R; ++g) sum = Fma(s[g][j], Set(at[L::kDy][i + g]), sum);
          Store(dr, sum);
        });
  }
}

/// Rows [i, i + R) of the state's gradient G back through a chunk. For each token, with G after it:
///   G += dy·rᵀ;  dv = G·k;  d(removed) = −G·b;  dk += Gᵀ·v;  db −= Gᵀ·removed;  dw += Σ G⊙S;  dkk +=
///   Sᵀ·d(removed) G ← G·diag(w) + d(removed)·kkᵀ
template <int R, int V>
void Wkv7BackRows(Wkv7Chunk<V>* chunk, const Wkv7Path<R, V>& path, float* gradient, int64_t N, int64_t i,
                  int64_t tokens) {
  using L = Wkv7Layout;
  Vec G[R][V];
  LoadRows<R, V>(G, gradient + i * N, N - i, N);
  for (int64_t t = tokens - 1; t >= 0; --t) {
    auto& at = chunk->at[t];
    TERN_UNROLL
    for (int j = 0; j < V; ++j) {
      const Vec r = Load(at[L::kR] + j * kLanes);
      TERN_UNROLL
      for (int g = 0; g < R; ++g) G[g][j] = Fma(Set(at[L::kDy][i + g]), r, G[g][j]);
    }
    float through_b[R];
    RowProducts<R, V>(G, at[L::kB], through_b);
    RowProducts<R, V>(G, at[L::kK], at[L::kDv] + i);
    TERN_UNROLL
    for (int j = 0; j < V; ++j) {
      const auto place = [&](int p) __attribute__((always_inline)) { return at[p] + j * kLanes; };
      Vec dk = Load(place(L::kDk)), db = Load(place(L::kDb)), dw = Load(place(L::kDw)),
          dkk = Load(place(L::kDkk));
      const Vec w = Load(place(L::kW)), kk = Load(place(L::kKk));
      TERN_UNROLL
      for (int g = 0; g < R; ++g) {
        const Vec before = Load(path.before[t][g] + j * kLanes), through = Set(through_b[g]);
        dk = Fma(G[g][j], Set(at[L::kV][i + g]), dk);
        db = FmaNegated(G[g][j], Set(path.removed[t][g]), db);
        dw = Fma(G[g][j], before, dw);
        dkk = FmaNegated(before, through, dkk);
        G[g][j] = FmaNegated(through, kk, G[g][j] * w);
      }
      Store(place(L::kDk), dk);
      Store(place(L::kDb), db);
      Store(place(L::kDw), dw);
      Store(place(L::kDkk), dkk);
    }
  }
  StoreRows<R, V>(gradient + i * N, G, N - i, N);
}

/// A chunk's gradients to their places: b = kk⊙a gives da = db⊙kk and dkk += db⊙a.
template <int V>
void UnstageGradients(const Wkv7Chunk<V>& chunk, const Wkv7BackwardArgs<float>& args, int64_t first,
                      int64_t tokens) {
  using L = Wkv7Layout;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t row = (first + t) * args.stride, N = args.N;
    const auto& at = chunk.at[t];
    Unstage<V>(args.dr + row, at[L::kDr], N);
    Unstage<V>(args.dw + row, at[L::kDw], N);
    Unstage<V>(args.dk + row, at[L::kDk], N);
    Unstage<V>(args.dv + row, at[L::kDv], N);
    ForEachVec(
        N, TERN_BODY(j, n) {
          const Vec db = Load(at[L::kDb] + j);
          StoreUpTo(args.da + row + j, db * Load(at[L::kKk] + j), n);
          StoreUpTo(args.dkk + row + j, Fma(db, LoadUpTo(args.a + row + j, n), Load(at[L::kDkk] + j)), n);
        });
  }
}

template <int V>
void Wkv7BackwardOf(const Wkv7BackwardArgs<float>& args) {
  using L = Wkv7Layout;
  constexpr int R = kBlockRows;
  Wkv7Chunk<V> chunk;
  Wkv7Path<R, V> path;
  const int64_t N = args.N;
  float gradient[V * kLanes * V * kLanes];
  for (int64_t i = 0; i < N * N; ++i) gradient[i] = 0;
  for (int64_t c = Wkv7Checkpoints(args.T) - 1; c >= 0; --c) {
    const int64_t first = c * kWkv7CheckpointTokens, left = args.T - first;
    const int64_t tokens = left < kWkv7CheckpointTokens ? left : kWkv7CheckpointTokens;
    StageTokens<V>(&chunk, args, first, tokens);
    for (int64_t t = 0; t < tokens; ++t) {
      Stage<V>(chunk.at[t][L::kDy], args.dy + (first + t) * args.stride, N);
      for (int place : {L::kDr, L::kDk, L::kDb, L::kDw, L::kDkk})
        for (int64_t j = 0; j < V * kLanes; j += kLanes) Store(chunk.at[t][place] + j, Zero());
    }
    for (int64_t i = 0; i < N; i += R) {
      Wkv7Recompute<R, V>(&chunk, &path, args.checkpoints + c * N * N, N, i, tokens);
      Wkv7BackRows<R, V>(&chunk, path, gradient, N, i, tokens);
    }
    UnstageGradients<V>(chunk, args, first, tokens);
  }
}

void TrainWkv7(const TrainWkv7Args<float>& args) {
  if (args.N > kMaxTrainHead) return RefTraining().wkv7(args);
  if (args.N <= 16) return Wkv7ForwardOf<16 / kLanes>(args);
  if (args.N <= 32) return Wkv7ForwardOf<32 / kLanes>(args);
  if (args.N <= 64) return Wkv7ForwardOf<64 / kLanes>(args);
  Wkv7ForwardOf<128 / kLanes>(args);
}

void Wkv7Backward(const Wkv7BackwardArgs<float>& args) {
  if (args.N > kMaxTrainHead) return RefTraining().wkv7_backward(args);
  if (args.N <= 16) return Wkv7BackwardOf<16 / kLanes>(args);
  if (args.N <= 32) return Wkv7BackwardOf<32 / kLanes>(args);
  if (args.N <= 64) return Wkv7BackwardOf<64 / kLanes>(args);
  Wkv7BackwardOf<128 / kLanes>(args);
}

}  // namespace
}  // namespace tern::kernels
