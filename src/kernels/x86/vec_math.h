// Exponentials and what is made of them, for whichever Vec was included before. No lane looks at another, so
// an element's result does not depend on its place. Fused multiply-adds and divisions round alike at every
// width: the AVX2 and AVX-512 results are the same bits. Coefficients: minimax fits of relative error.
#pragma once

namespace tern::kernels {
namespace {

/// e^x within 1 ulp, subnormal results included. −inf → 0, above 88.72 → inf, NaN → NaN.
TERN_INLINE Vec Exp(Vec x) {
  x = Max(Set(-104.0f), Min(Set(89.0f), x));  // NaN passes both; e^−104 rounds to 0 and e^89 to inf
  const Vec n = RoundToNearest(x * Set(0x1.715476p+0f));
  Vec r = FmaNegated(n, Set(0x1.62e400p-1f), x);  // ln 2 in two parts, n times the first is exact
  r = FmaNegated(n, Set(0x1.7f7d1cp-20f), r);
  Vec q = Set(0x1.6a2256p-10f);  // e^r = 1 + r + r²·q(r) for |r| ≤ ln 2 / 2
  q = Fma(q, r, Set(0x1.123b02p-7f));
  q = Fma(q, r, Set(0x1.5558f8p-5f));
  q = Fma(q, r, Set(0x1.555490p-3f));
  q = Fma(q, r, Set(0x1.fffffcp-2f));
  return ScaleByPowerOf2(Fma(q, r * r, r) + Set(1.0f), n);
}

/// 1 / (1 + e^−x). Below −88.72 the result is 0 (the true one is subnormal).
TERN_INLINE Vec Sigmoid(Vec x) { return Set(1.0f) / (Set(1.0f) + Exp(Zero() - x)); }

/// tanh x: an odd polynomial near 0, where 1 − 2/(e^2|x| + 1) would cancel.
TERN_INLINE Vec Tanh(Vec x) {
  const Vec size = Abs(x);
  const Vec square = x * x;
  Vec q = Set(-0.005700235f);
  q = Fma(q, square, Set(0.020635001f));
  q = Fma(q, square, Set(-0.05373852f));
  q = Fma(q, square, Set(0.13331428f));
  q = Fma(q, square, Set(-0.3333328f));
  const Vec near = Fma(q * square, x, x);
  const Vec far = Set(1.0f) - Set(2.0f) / (Exp(size + size) + Set(1.0f));
  return CopySign(IfLess(size, Set(0.625f), near, far), x);  // keeps −0 as well
}

TERN_INLINE Vec Silu(Vec x) { return x * Sigmoid(x); }

TERN_INLINE Vec ReluSquared(Vec x) {
  const Vec positive = Max(Zero(), x);  // NaN stays NaN
  return positive * positive;
}

TERN_INLINE Vec ExpNegExp(Vec x) { return Exp(Zero() - Exp(x)); }
TERN_INLINE Vec Decay7(Vec x) { return Exp(Set(-0.60653066f) * Sigmoid(x)); }

}  // namespace
}  // namespace tern::kernels
