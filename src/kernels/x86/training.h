// Training's row functions, for whichever Vec was included before. See kernels/training.h for what each
// computes, and ref/training.h for the derivations.
#pragma once

namespace tern::kernels {
namespace {

/// body(i, n): the elements [i, i + min(n, kLanes)), by LoadUpTo and StoreUpTo. Whole vectors get the
/// constant kLanes, so that their branches fold.
template <typename Body>
TERN_INLINE void ForEachVec(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}
#define TERN_BODY(i, n) [&](int64_t i, int64_t n) __attribute__((always_inline))

TERN_INLINE void AddTo(float* p, Vec a, int64_t n) { StoreUpTo(p, LoadUpTo(p, n) + a, n); }
/// p += a·b.
TERN_INLINE void AddProductTo(float* p, Vec a, Vec b, int64_t n) {
  StoreUpTo(p, Fma(a, b, LoadUpTo(p, n)), n);
}

// --- norms ---

void TrainLayerNorm(float* y, const float* x, const float* weight, const float* bias, int64_t n, double eps) {
  LayerNorm(y, x, weight, bias, n, static_cast<float>(eps));
}
void TrainGroupNorm(float* y, const float* x, const float* weight, const float* bias, int64_t n,
                    int64_t groups, double eps) {
  GroupNorm(y, x, weight, bias, n, groups, static_cast<float>(eps));
}

template <bool kAdd>
void NormBackward(float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                  const float* weight, int64_t n, double eps) {
  if (n <= 0) return;
  const Normal normal = NormalOf(x, n, static_cast<float>(eps));
  const Vec c = Set(normal.center), o = Set(normal.offset), s = Set(normal.scale);
  Vec sum_g = Zero(), sum_gx = Zero();
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec g = LoadUpTo(dy + i, m) * LoadUpTo(weight + i, m);  // 0 where there is no element
        sum_g = sum_g + g;
        sum_gx = Fma(g, (LoadUpTo(x + i, m) - c) - o, sum_gx);
      });
  const float count = static_cast<float>(n);
  const Vec mean_g = Set(Sum(sum_g) / count), mean_gx = Set(Sum(sum_gx) * normal.scale / count);
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec up = LoadUpTo(dy + i, m);  // dx may be dy
        const Vec hat = ((LoadUpTo(x + i, m) - c) - o) * s;
        AddProductTo(dweight + i, up, hat, m);
        AddTo(dbias + i, up, m);
        const Vec d = FmaNegated(hat, mean_gx, Fma(up, LoadUpTo(weight + i, m), Zero() - mean_g)) * s;
        StoreUpTo(dx + i, kAdd ? LoadUpTo(dx + i, m) + d : d, m);
      });
}

void GroupNormBackward(float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                       const float* weight, int64_t n, int64_t groups, double eps) {
  const int64_t size = n / groups;
  for (int64_t c = 0; c < n; c += size)
    NormBackward<false>(dx + c, dweight + c, dbias + c, dy + c, x + c, weight + c, size, eps);
}

// --- one element at a time ---

void ShiftMixBackward(float* dx, float* dx_prev, float* dmu, const float* dy, const float* x,
                      const float* x_prev, const float* mu, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec up = LoadUpTo(dy + i, m), share = LoadUpTo(mu + i, m);
        AddProductTo(dx + i, up, Set(1.0f) - share, m);
        AddProductTo(dx_prev + i, up, share, m);
        AddProductTo(dmu + i, up, LoadUpTo(x_prev + i, m) - LoadUpTo(x + i, m), m);
      });
}

void BiasedSigmoid(float* y, const float* x, const float* bias, int64_t n) {
  if (bias == nullptr) return Map<Sigmoid>(y, x, n);
  ForEachVec(
      n, TERN_BODY(i, m) { StoreUpTo(y + i, Sigmoid(LoadUpTo(x + i, m) + LoadUpTo(bias + i, m)), m); });
}
void SigmoidBackward(float* dx, const float* dy, const float* y, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec value = LoadUpTo(y + i, m);
        StoreUpTo(dx + i, LoadUpTo(dy + i, m) * value * (Set(1.0f) - value), m);
      });
}

void TanhBackward(float* dx, const float* dy, const float* y, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec value = LoadUpTo(y + i, m);
        StoreUpTo(dx + i, LoadUpTo(dy + i, m) * FmaNegated(value, value, Set(1.0f)), m);
      });
}

void ReluSquaredBackward(float* dx, const float* dy, const float* x, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec positive = Max(Zero(), LoadUpTo(x + i, m));  // NaN stays NaN
        StoreUpTo(dx + i, LoadUpTo(dy + i, m) * (positive + positive), m);
      });
}

constexpr float kDecayRate = 0.60653065971263342360f;  ///< e^{−1/2}

TERN_INLINE Vec DecayOfGate(Vec s) { return Exp(Set(-kDecayRate) * s); }
void DecayOfGateBackward(float* ds, const float* dy, const float* y, int64_t n) {
  ForEachVec(
      n,
      TERN_BODY(i, m) { StoreUpTo(ds + i, Set(-kDecayRate) * LoadUpTo(dy + i, m) * LoadUpTo(y + i, m), m); });
}

void Product(float* y, const float* x, const float* z, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) { StoreUpTo(y + i, LoadUpTo(x + i, m) * LoadUpTo(z + i, m), m); });
}
void ProductBackward(float* dx, float* dz, const float* dy, const float* x, const float* z, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec up = LoadUpTo(dy + i, m);  // dx may be dy
        StoreUpTo(dx + i, up * LoadUpTo(z + i, m), m);
        StoreUpTo(dz + i, up * LoadUpTo(x + i, m), m);
      });
}

void LerpBackward(float* dx, float* dz, float* dm, const float* dy, const float* x, const float* z,
                  const float* mix, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec up = LoadUpTo(dy + i, m), share = LoadUpTo(mix + i, m);
        StoreUpTo(dx + i, up * (Set(1.0f) - share), m);  // dx may be dy
        AddProductTo(dz + i, up, share, m);
        StoreUpTo(dm + i, up * (LoadUpTo(z + i, m) - LoadUpTo(x + i, m)), m);
      });
}

// --- RWKV-7's keys and bonus ---

/// max(‖k⊙k_k‖, 1e-12) of one head, and whether the norm was the larger.
struct KeyLength {
  float length;
  bool is_norm;
};

KeyLength KeyLengthOf(const float* k, const float* k_k, int64_t N) {
  Vec sum = Zero();
  ForEachVec(
      N, TERN_BODY(j, m) {
        const Vec z = LoadUpTo(k + j, m) * LoadUpTo(k_k + j, m);
        sum = Fma(z, z, sum);
      });
  const float square = Sum(sum);
  return square <= 1e-24f ? KeyLength{1e-12f, false} : KeyLength{__builtin_sqrtf(square), true};
}

void RemovalKey(float* kk, const float* k, const float* k_k, int64_t n, int64_t N) {
  for (int64_t c = 0; c < n; c += N) {
    const Vec scale = Set(1.0f / KeyLengthOf(k + c, k_k + c, N).length);
    ForEachVec(
        N, TERN_BODY(j, m) {
          StoreUpTo(kk + c + j, LoadUpTo(k + c + j, m) * LoadUpTo(k_k + c + j, m) * scale, m);
        });
  }
}

void RemovalKeyBackward(float* dk, float* dk_k, const float* dkk, const float* k, const float* k_k, int64_t n,
                        int64_t N) {
  for (int64_t c = 0; c < n; c += N) {
    const KeyLength z = KeyLengthOf(k + c, k_k + c, N);
    const float inverse = 1.0f / z.length;
    Vec sum = Zero();
    ForEachVec(
        N, TERN_BODY(j, m) {
          const Vec hat = LoadUpTo(k + c + j, m) * LoadUpTo(k_k + c + j, m) * Set(inverse);
          sum = Fma(hat, LoadUpTo(dkk + c + j, m), sum);
        });
    const Vec along = Set(z.is_norm ? Sum(sum) : 0.0f), scale = Set(inverse);
    ForEachVec(
        N, TERN_BODY(j, m) {
          const Vec key = LoadUpTo(k + c + j, m), weight = LoadUpTo(k_k + c + j, m);
          const Vec dz = FmaNegated(key * weight * scale, along, LoadUpTo(dkk + c + j, m)) * scale;
          AddProductTo(dk + c + j, dz, weight, m);
          AddProductTo(dk_k + c + j, dz, key, m);
        });
  }
}

void ReplacementKey(float* y, const float* k, const float* a, const float* k_a, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec factor = Fma(LoadUpTo(a + i, m) - Set(1.0f), LoadUpTo(k_a + i, m), Set(1.0f));
        StoreUpTo(y + i, LoadUpTo(k + i, m) * factor, m);
      });
}

void ReplacementKeyBackward(float* dk, float* da, float* dk_a, const float* dy, const float* k,
                            const float* a, const float* k_a, int64_t n) {
  ForEachVec(
      n, TERN_BODY(i, m) {
        const Vec up = LoadUpTo(dy + i, m), rate = LoadUpTo(a + i, m) - Set(1.0f),
                  weight = LoadUpTo(k_a + i, m);
        const Vec through = up * LoadUpTo(k + i, m);
        AddProductTo(da + i, through, weight, m);
        AddProductTo(dk_a + i, through, rate, m);
        StoreUpTo(dk + i, up * Fma(rate, weight, Set(1.0f)), m);  // dk may be dy
      });
}

void Bonus(float* y, const float* r, const float* k, const float* v, const float* r_k, int64_t n, int64_t N) {
  for (int64_t c = 0; c < n; c += N) {
    Vec sum = Zero();
    ForEachVec(
        N, TERN_BODY(j, m) {
          sum = Fma(LoadUpTo(r + c + j, m) * LoadUpTo(k + c + j, m), LoadUpTo(r_k + c + j, m), sum);
        });
    const Vec s = Set(Sum(sum));
    ForEachVec(
        N, TERN_BODY(j, m) { AddProductTo(y + c + j, s, LoadUpTo(v + c + j, m), m); });
  }
}

void BonusBackward(float* dr, float* dk, float* dv, float* dr_k, const float* dy, const float* r,
                   const float* k, const float* v, const float* r_k, int64_t n, int64_t N) {
  for (int64_t c = 0; c < n; c += N) {
    Vec sum = Zero(), dsum = Zero();
    ForEachVec(
        N, TERN_BODY(j, m) {
          sum = Fma(LoadUpTo(r + c + j, m) * LoadUpTo(k + c + j, m), LoadUpTo(r_k + c + j, m), sum);
          dsum = Fma(LoadUpTo(dy + c + j, m), LoadUpTo(v + c + j, m), dsum);
        });
    const Vec s = Set(Sum(sum)), ds = Set(Sum(dsum));
    ForEachVec(
        N, TERN_BODY(j, m) {
          const Vec rj = LoadUpTo(r + c + j, m), kj = LoadUpTo(k + c + j, m),
                    weight = LoadUpTo(r_k + c + j, m);
          AddProductTo(dr + c + j, ds, kj * weight, m);
          AddProductTo(dk + c + j, ds, rj * weight, m);
          AddProductTo(dr_k + c + j, ds, rj * kj, m);
          AddProductTo(dv + c + j, s, LoadUpTo(dy + c + j, m), m);
        });
  }
}

}  // namespace
}  // namespace tern::kernels
