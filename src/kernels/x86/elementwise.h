// The kernels that walk over elements, and the norms, for whichever Vec was included before.
#pragma once

namespace tern::kernels {
namespace {

/// y[i] = Function(x[i]); the tail runs the same instructions on padded lanes.
template <Vec (*Function)(Vec)>
void Map(float* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Function(Load(x + i)));
  if (i < n) Store(y + i, Function(Load(x + i, n - i)), n - i);
}

void Add(float* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Load(y + i) + Load(x + i));
  if (i < n) Store(y + i, Load(y + i, n - i) + Load(x + i, n - i), n - i);
}

void Mul(float* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Load(y + i) * Load(x + i));
  if (i < n) Store(y + i, Load(y + i, n - i) * Load(x + i, n - i), n - i);
}

void ShiftMix(float* y, const float* x, const float* x_prev, const float* mu, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec now = Load(x + i);
    Store(y + i, Fma(Load(x_prev + i) - now, Load(mu + i), now));
  }
  if (i < n) {
    const int64_t rest = n - i;
    const Vec now = Load(x + i, rest);
    Store(y + i, Fma(Load(x_prev + i, rest) - now, Load(mu + i, rest), now), rest);
  }
}

void ShiftMixDynamic(float* y, const float* x, const float* x_prev, const float* mu, const float* d,
                     int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec now = Load(x + i);
    Store(y + i, Fma(Load(x_prev + i) - now, Load(mu + i) + Load(d + i), now));
  }
  if (i < n) {
    const int64_t rest = n - i;
    const Vec now = Load(x + i, rest);
    Store(y + i, Fma(Load(x_prev + i, rest) - now, Load(mu + i, rest) + Load(d + i, rest), now), rest);
  }
}

/// Σ x over n elements, in four chains.
float SumOf(const float* x, int64_t n) {
  Vec s0 = Zero(), s1 = Zero(), s2 = Zero(), s3 = Zero();
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = s0 + Load(x + i);
    s1 = s1 + Load(x + i + kLanes);
    s2 = s2 + Load(x + i + 2 * kLanes);
    s3 = s3 + Load(x + i + 3 * kLanes);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = s0 + Load(x + i);
  if (i < n) s1 = s1 + Load(x + i, n - i);
  return Sum((s0 + s1) + (s2 + s3));
}

struct Moments {
  float sum;     ///< Σ d
  float square;  ///< Σ d²
};

/// Of d = x − center.
Moments MomentsAround(const float* x, int64_t n, float center) {
  const Vec c = Set(center);
  Vec s0 = Zero(), s1 = Zero(), q0 = Zero(), q1 = Zero();
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vec d0 = Load(x + i) - c, d1 = Load(x + i + kLanes) - c;
    s0 = s0 + d0;
    s1 = s1 + d1;
    q0 = Fma(d0, d0, q0);
    q1 = Fma(d1, d1, q1);
  }
  for (; i < n; i += kLanes) {
    const int64_t rest = n - i;
    // Padded lanes must give d = 0, so the center is taken from the lanes in use alone: pad with it.
    Vec d = Zero();
    if (rest >= kLanes) {
      d = Load(x + i) - c;
    } else {
      float padded[kLanes];
      Store(padded, c);
      Store(padded, Load(x + i, rest), rest);
      d = Load(padded) - c;
    }
    s0 = s0 + d;
    q0 = Fma(d, d, q0);
  }
  return {Sum(s0 + s1), Sum(q0 + q1)};
}

/// x̂ = ((x − center) − offset)·scale.
struct Normal {
  float center, offset, scale;
};

/// Two passes: a mean first, then deviations from it, whose own mean corrects what the first pass rounded
/// off.
Normal NormalOf(const float* x, int64_t n, float eps) {
  const float count = static_cast<float>(n);
  const float center = SumOf(x, n) / count;
  const Moments m = MomentsAround(x, n, center);
  const float offset = m.sum / count;
  const float variance = m.square / count - offset * offset;
  const float scale = 1.0f / __builtin_sqrtf((variance > 0 || variance != variance ? variance : 0.0f) + eps);
  return {center, offset, scale};
}

void LayerNorm(float* y, const float* x, const float* weight, const float* bias, int64_t n, float eps) {
  if (n <= 0) return;
  const Normal normal = NormalOf(x, n, eps);
  const Vec c = Set(normal.center), o = Set(normal.offset), s = Set(normal.scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec d = (Load(x + i) - c) - o;
    Store(y + i, Fma(d * s, Load(weight + i), Load(bias + i)));
  }
  if (i < n) {
    const int64_t rest = n - i;
    const Vec d = (Load(x + i, rest) - c) - o;
    Store(y + i, Fma(d * s, Load(weight + i, rest), Load(bias + i, rest)), rest);
  }
}

void GroupNorm(float* y, const float* x, const float* weight, const float* bias, int64_t n, int64_t groups,
               float eps) {
  const int64_t size = n / groups;
  for (int64_t c = 0; c < n; c += size) LayerNorm(y + c, x + c, weight + c, bias + c, size, eps);
}

}  // namespace
}  // namespace tern::kernels
