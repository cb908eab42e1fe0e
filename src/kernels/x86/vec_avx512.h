// Sixteen floats in one AVX-512 register, under the names that the shared kernels use (see vec_avx2.h for the
// same over AVX2). Included by avx512.cc alone.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace tern::kernels {
namespace {

#define TERN_INLINE inline __attribute__((always_inline))

constexpr int kLanes = 16;
constexpr int kTileT = 6;  ///< tokens per register tile: 4 rows × 6 tokens are 24 of the 32 registers

struct Vec {
  __m512 v;
};

TERN_INLINE Vec Zero() { return {_mm512_setzero_ps()}; }
TERN_INLINE Vec Set(float x) { return {_mm512_set1_ps(x)}; }
TERN_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
TERN_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
TERN_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
TERN_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
/// a·b + c and c − a·b, rounded once.
TERN_INLINE Vec Fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
TERN_INLINE Vec FmaNegated(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
/// The second argument where either is NaN.
TERN_INLINE Vec Max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
TERN_INLINE Vec Min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
TERN_INLINE Vec Sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
TERN_INLINE Vec Abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
TERN_INLINE Vec CopySign(Vec magnitude, Vec sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}
/// a < b ? yes : no; `no` where either is NaN.
TERN_INLINE Vec IfLess(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
TERN_INLINE Vec RoundToNearest(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a·2^n for whole n in [−200, 200], rounded once (subnormal results are right).
TERN_INLINE Vec ScaleByPowerOf2(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

// --- memory: any alignment; the forms with n touch the first n (0 < n < kLanes) elements alone and read 0
// elsewhere ---

TERN_INLINE __mmask16 FirstLanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
TERN_INLINE Vec Load(const void* p) { return {_mm512_loadu_ps(p)}; }
TERN_INLINE Vec Load(const void* p, int64_t n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
TERN_INLINE void Store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
TERN_INLINE void Store(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), a.v); }

TERN_INLINE Vec LoadF16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
TERN_INLINE Vec LoadF16(const void* p, int64_t n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p))};
}
TERN_INLINE Vec WidenBf16(__m256i bits) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
TERN_INLINE Vec LoadBf16(const void* p) {
  return WidenBf16(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
TERN_INLINE Vec LoadBf16(const void* p, int64_t n) {
  return WidenBf16(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
}

/// Rounded to nearest even; a NaN stays one by its quiet bit.
TERN_INLINE __m256i NarrowBf16(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v), high = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  const __m512i nan = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  return _mm512_cvtepi32_epi16(
      _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), rounded, nan));
}
TERN_INLINE void StoreBf16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)), NarrowBf16(a));
}
TERN_INLINE void StoreBf16(uint16_t* p, Vec a, int64_t n) {
  _mm256_mask_storeu_epi16(p, FirstLanes(n), NarrowBf16(a));
}

/// kLanes whole numbers from as many bytes: signed, or the low or high four bits of each.
TERN_INLINE __m128i LoadBytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
TERN_INLINE Vec SignedBytes(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(LoadBytes(p)))};
}
TERN_INLINE Vec LowNibbles(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_cvtepu8_epi32(LoadBytes(p)), _mm512_set1_epi32(15)))};
}
TERN_INLINE Vec HighNibbles(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(LoadBytes(p)), 4))};
}

// --- sums over the lanes; one fixed tree, the same in Sum and in each place of Sum4
// ------------------------------------

TERN_INLINE __m256 AddHalves(Vec a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
}
TERN_INLINE __m128 AddHalves(__m256 a) {
  return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}
TERN_INLINE float Sum(Vec a) {
  const __m256 half = AddHalves(a);
  const __m256 pairs = _mm256_hadd_ps(half, half);
  return _mm_cvtss_f32(AddHalves(_mm256_hadd_ps(pairs, pairs)));
}
TERN_INLINE __m128 Sum4(Vec a, Vec b, Vec c, Vec d) {
  const __m256 ab = _mm256_hadd_ps(AddHalves(a), AddHalves(b));
  const __m256 cd = _mm256_hadd_ps(AddHalves(c), AddHalves(d));
  return AddHalves(_mm256_hadd_ps(ab, cd));
}

/// Σ x² in double, in which a float's square is exact.
struct SquareSum {
  __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
};
TERN_INLINE void AddSquares(SquareSum* sum, Vec a) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a.v));
  const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1));
  sum->low = _mm512_fmadd_pd(low, low, sum->low);
  sum->high = _mm512_fmadd_pd(high, high, sum->high);
}
TERN_INLINE double Total(const SquareSum& sum) {
  double lanes[8];
  _mm512_storeu_pd(lanes, _mm512_add_pd(sum.low, sum.high));
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace
}  // namespace tern::kernels
