// Choosing a block's scale by the squared error that it causes. Internal to this room.
//
// A block of weights x is stored as integers q with x ≈ d·q (+ m). For given d and m the best integers are
// the nearest ones; for given integers the best d and m follow from least squares. Neither step finds the
// best pair by itself, so the fits below try many starting points, take the least-squares solution of each,
// round it as it will be stored, and then alternate both steps from the best one until the error no longer
// falls.
//
// All of it is four-lane vector code in a fixed order: the same bytes with every compiler.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <cstdint>

#include "tensor/dtype.h"

namespace tern::quant {

/// Four floats; the compiler knows their arithmetic (GCC and Clang).
typedef float Float4 __attribute__((vector_size(16)));

inline Float4 Splat(float v) { return Float4{v, v, v, v}; }
inline Float4 Load4(const float* p) {
  typedef float Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
  return *reinterpret_cast<const Unaligned*>(p);
}
// a when it is the greater (the lesser), else b: b, too, when a is NaN. GCC makes five instructions of the
// plain forms.
#ifdef __SSE2__
inline Float4 Max(Float4 a, Float4 b) { return _mm_max_ps(a, b); }
inline Float4 Min(Float4 a, Float4 b) { return _mm_min_ps(a, b); }
#else
inline Float4 Max(Float4 a, Float4 b) { return a > b ? a : b; }
inline Float4 Min(Float4 a, Float4 b) { return a < b ? a : b; }
#endif
inline float Sum(Float4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

/// The integers that q may be.
struct Levels {
  float low, high;
};

/// The level nearest to v (ties to even). NaN gives the lowest one.
inline Float4 NearestLevel(Float4 v, Levels levels) {
  const Float4 low = Splat(levels.low);
  const Float4 high = Splat(levels.high);
  v = Min(Max(v, low), high);
  // At 1.5·2^23 a float's unit is 1: adding it rounds, subtracting it brings the integer back.
  const Float4 unit = Splat(12582912.0f);
  return (v + unit) - unit;
}

inline float Inverse(float d) { return d != 0 ? 1 / d : 0; }

/// The nearest integers of a block for a given scale and offset.
template <int N, typename Integer>
void RoundToLevels(const float* x, float d, float m, Levels levels, Integer* q) {
  const Float4 inverse = Splat(Inverse(d));
  const Float4 offset = Splat(m);
  for (int i = 0; i < N; i += 4) {
    const Float4 level = NearestLevel((Load4(x + i) - offset) * inverse, levels);
    for (int k = 0; k < 4; ++k) q[i + k] = static_cast<Integer>(static_cast<int>(level[k]));
  }
}

/// A block that is safe to compute with, and its extremes. NaN becomes 0; beyond ±1e9, more than any type can
/// hold, values are cut so that no square overflows.
template <int N>
struct Samples {
  explicit Samples(const float* source) {
    for (int i = 0; i < N; ++i) {
      float v = source[i];
      v = v == v ? v : 0.0f;
      v = v > -1e9f ? v : -1e9f;
      x[i] = v < 1e9f ? v : 1e9f;
    }
    min = max = x[0];
    for (int i = 1; i < N; ++i) {
      min = x[i] < min ? x[i] : min;
      max = x[i] > max ? x[i] : max;
    }
  }
  /// The value of largest magnitude, with its sign.
  float Extreme() const { return -min > max ? min : max; }
  /// Nothing here differs from 0 once stored: the smallest positive fp16 is 2^-24.
  bool Vanishes() const { return max < 0x1p-26f && min > -0x1p-26f; }

  alignas(16) float x[N];
  float min, max;
};

inline constexpr float kFp16Max = 65504.0f;
inline constexpr float kFp16Smallest = 0x1p-24f;

/// The nearest finite fp16 number.
inline float RoundToFp16(float v) {
  v = v > -kFp16Max ? v : -kFp16Max;
  v = v < kFp16Max ? v : kFp16Max;
  return Fp16ToFloat(FloatToFp16(v));
}

/// The nearest fp16 number that is not 0, with the sign of v.
inline float RoundToNonzeroFp16(float v) {
  const float rounded = RoundToFp16(v);
  if (rounded != 0) return rounded;
  return v < 0 ? -kFp16Smallest : kFp16Smallest;
}

/// An fp16 number other than 0 for the unit of a super-block's scales: never so much below v that the largest
/// scale would need a much larger multiple, as could happen among the subnormals.
inline float RoundUnitToFp16(float v) {
  const float rounded = RoundToNonzeroFp16(v);
  const float magnitude = v < 0 ? -v : v;
  if (magnitude >= 0x1p-14f || rounded * rounded >= v * v) return rounded;
  return rounded + (v < 0 ? -kFp16Smallest : kFp16Smallest);
}

/// How d and m are kept: as fp16 (a block's own), or as floats for now (a sub-block's, which are rounded
/// later).
enum class Kept { kFp16, kFloat };
template <Kept kept>
float Keep(float v) {
  return kept == Kept::kFp16 ? RoundToFp16(v) : v;
}
/// A starting point for d. Among the subnormals fp16 is coarse, and integers chosen for a number between two
/// of them would be wrong for both.
template <Kept kept>
float StartingScale(float d) {
  const bool coarse = kept == Kept::kFp16 && d < 0x1p-14f && d > -0x1p-14f;
  return coarse ? RoundToNonzeroFp16(d) : d;
}

// --- x ≈ d·q
// -------------------------------------------------------------------------------------------------------

/// Sums over a block with r = x - d·q, from which the error at any other d with the same integers follows.
struct ScaleMoments {
  float rr, rq, qq;
  /// The change of d that least squares asks for.
  float BestChange() const { return qq > 0 ? rq / qq : 0; }
  float ErrorAt(float change) const { return rr - change * (2 * rq - change * qq); }
};

template <int N>
ScaleMoments MeasureScale(const float* x, float d, Levels levels) {
  const Float4 inverse = Splat(Inverse(d));
  const Float4 scale = Splat(d);
  Float4 rr{}, rq{}, qq{};
  for (int i = 0; i < N; i += 4) {
    const Float4 v = Load4(x + i);
    const Float4 q = NearestLevel(v * inverse, levels);
    const Float4 r = v - scale * q;
    rr += r * r;
    rq += r * q;
    qq += q * q;
  }
  return {Sum(rr), Sum(rq), Sum(qq)};
}

struct ScaleFit {
  float d, error;
};

/// Starts from each d that takes the extreme value to one of `targets` (levels, not necessarily whole).
template <int N, Kept kept, size_t kTargets>
ScaleFit FitScale(const Samples<N>& s, Levels levels, const std::array<float, kTargets>& targets) {
  ScaleFit best{0, MeasureScale<N>(s.x, 0, levels).rr};
  const float extreme = s.Extreme();
  for (const float target : targets) {
    const float start = StartingScale<kept>(extreme / target);
    const ScaleMoments moments = MeasureScale<N>(s.x, start, levels);
    const float change = moments.BestChange();
    if (!(moments.ErrorAt(change) < best.error)) continue;  // rounding d can only make it worse
    const float d = Keep<kept>(start + change);
    const float error = moments.ErrorAt(d - start);
    if (error < best.error) best = {d, error};
  }
  constexpr int kMaxRounds = 8;  // it settles after two or three
  for (int round = 0; round < kMaxRounds; ++round) {
    const ScaleMoments moments = MeasureScale<N>(s.x, best.d, levels);
    best.error = moments.rr;
    const float d = Keep<kept>(best.d + moments.BestChange());
    const float error = moments.ErrorAt(d - best.d);
    if (d == best.d || !(error < best.error)) break;
    best = {d, error};
  }
  return best;
}

// --- x ≈ d·q + m
// ---------------------------------------------------------------------------------------------------

/// Sums over a block of n weights with r = x - d·q - m.
struct AffineMoments {
  float n, rr, r, rq, q, qq;
  float ErrorAt(float change_d, float change_m) const {
    return rr - change_d * (2 * rq - change_d * qq) - change_m * (2 * r - change_m * n) +
           2 * change_d * change_m * q;
  }
};

template <int N>
AffineMoments MeasureAffine(const float* x, float d, float m, Levels levels) {
  const Float4 inverse = Splat(Inverse(d));
  const Float4 scale = Splat(d);
  const Float4 offset = Splat(m);
  Float4 sum_rr{}, sum_r{}, sum_rq{}, sum_q{}, sum_qq{};
  for (int i = 0; i < N; i += 4) {
    const Float4 v = Load4(x + i) - offset;
    const Float4 q = NearestLevel(v * inverse, levels);
    const Float4 r = v - scale * q;
    sum_rr += r * r;
    sum_r += r;
    sum_rq += r * q;
    sum_q += q;
    sum_qq += q * q;
  }
  return {N, Sum(sum_rr), Sum(sum_r), Sum(sum_rq), Sum(sum_q), Sum(sum_qq)};
}

struct AffineFit {
  float d, m, error;
};

/// Which m are allowed.
struct OffsetRange {
  float low, high;
  float Clamp(float m) const {
    m = m > low ? m : low;
    return m < high ? m : high;
  }
};

/// The least-squares d and m for the integers that (d, m) led to, as they will be kept, with the error there.
template <Kept kept>
AffineFit SolveAffine(const AffineMoments& s, float d, float m, OffsetRange range) {
  const float determinant = s.n * s.qq - s.q * s.q;
  // With all integers equal the determinant is 0 up to rounding: then only m can be improved.
  const bool regular = determinant > 1e-5f * s.n * s.qq;
  float change_d = regular ? (s.n * s.rq - s.q * s.r) / determinant : 0;
  float new_d = Keep<kept>(d + change_d);
  change_d = new_d - d;
  const float wanted = m + (s.r - change_d * s.q) / s.n;
  const float new_m = Keep<kept>(range.Clamp(wanted));
  const float change_m = new_m - m;
  if (new_m != wanted && s.qq > 0) {  // m is not where it should be: let d make the best of it
    new_d = Keep<kept>(d + (s.rq - change_m * s.q) / s.qq);
    change_d = new_d - d;
  }
  return {new_d, new_m, s.ErrorAt(change_d, change_m)};
}

/// A starting point: the block's range covers `span` levels, and its least value lies on level `first`.
struct AffineStart {
  float span, first;
};

template <int N, Kept kept>
void ImproveAffine(const Samples<N>& s, Levels levels, OffsetRange range, float d, float m, AffineFit* best) {
  constexpr int kMaxRounds = 8;
  for (int round = 0; round < kMaxRounds; ++round) {
    const AffineMoments moments = MeasureAffine<N>(s.x, d, m, levels);
    if (moments.rr < best->error) *best = {d, m, moments.rr};
    const AffineFit next = SolveAffine<kept>(moments, d, m, range);
    if ((next.d == d && next.m == m) || !(next.error < best->error)) break;
    d = next.d;
    m = next.m;
  }
}

template <int N, Kept kept, size_t kStarts>
AffineFit FitAffine(const Samples<N>& s, Levels levels, OffsetRange range,
                    const std::array<AffineStart, kStarts>& starts) {
  const float only_m = Keep<kept>(range.Clamp(0.5f * (s.min + s.max)));
  AffineFit best{0, only_m, MeasureAffine<N>(s.x, 0, only_m, levels).rr};
  const float low = range.Clamp(s.min);
  const float high = s.max > low ? s.max : low;
  AffineFit promising = best;
  for (const AffineStart& start : starts) {
    const float d = StartingScale<kept>((high - low) / start.span);
    const float m = range.Clamp(low - start.first * d);
    const AffineFit fit = SolveAffine<kept>(MeasureAffine<N>(s.x, d, m, levels), d, m, range);
    if (fit.error < promising.error) promising = fit;
  }
  ImproveAffine<N, kept>(s, levels, range, promising.d, promising.m, &best);
  return best;
}

/// count numbers: from, from + step, …
template <size_t kCount>
constexpr std::array<float, kCount> Steps(float from, float step) {
  std::array<float, kCount> steps{};
  for (size_t i = 0; i < kCount; ++i) steps[i] = from + step * static_cast<float>(i);
  return steps;
}

template <size_t kA, size_t kB>
constexpr std::array<float, kA + kB> Joined(const std::array<float, kA>& a, const std::array<float, kB>& b) {
  std::array<float, kA + kB> joined{};
  for (size_t i = 0; i < kA; ++i) joined[i] = a[i];
  for (size_t i = 0; i < kB; ++i) joined[kA + i] = b[i];
  return joined;
}

/// How far the middle of the range may be from the middle of the levels.
inline constexpr std::array<float, 2> kMiddleShifts = {-0.25f, 0.25f};

/// Every span with every shift of the middle of the range away from the middle of the levels.
template <size_t kSpans, size_t kShifts>
constexpr std::array<AffineStart, kSpans * kShifts> Starts(float highest,
                                                           const std::array<float, kSpans>& spans,
                                                           const std::array<float, kShifts>& shifts) {
  std::array<AffineStart, kSpans * kShifts> starts{};
  for (size_t i = 0; i < kSpans; ++i) {
    for (size_t j = 0; j < kShifts; ++j) {
      starts[i * kShifts + j] = {spans[i], 0.5f * (highest - spans[i]) + shifts[j]};
    }
  }
  return starts;
}

}  // namespace tern::quant
