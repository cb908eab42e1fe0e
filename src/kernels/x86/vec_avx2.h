// Eight floats in one AVX2 register, under the names that the shared kernels use. Included by avx2.cc alone.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace tern::kernels {
namespace {

#define TERN_INLINE inline __attribute__((always_inline))

constexpr int kLanes = 8;
constexpr int kTileT = 3;  ///< tokens per register tile: 4 rows × 3 tokens are 12 of the 16 registers

struct Vec {
  __m256 v;
};

TERN_INLINE Vec Zero() { return {_mm256_setzero_ps()}; }
TERN_INLINE Vec Set(float x) { return {_mm256_set1_ps(x)}; }
TERN_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
TERN_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
TERN_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
TERN_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
/// a·b + c and c − a·b, rounded once.
TERN_INLINE Vec Fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
TERN_INLINE Vec FmaNegated(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
/// The second argument where either is NaN.
TERN_INLINE Vec Max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
TERN_INLINE Vec Min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
TERN_INLINE Vec Sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
TERN_INLINE Vec Abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
TERN_INLINE Vec CopySign(Vec magnitude, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
}
/// a < b ? yes : no; `no` where either is NaN.
TERN_INLINE Vec IfLess(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
TERN_INLINE Vec RoundToNearest(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
TERN_INLINE __m256 PowerOf2(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
/// a·2^n for whole n in [−200, 200], rounded once (subnormal results are right): in two steps, the first
/// exact for the a near 1 that exponentials have.
TERN_INLINE Vec ScaleByPowerOf2(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, PowerOf2(half)), PowerOf2(_mm256_sub_epi32(whole, half)))};
}

// --- memory: any alignment; the forms with n touch the first n (0 < n < kLanes) elements alone and read 0
// elsewhere ---

TERN_INLINE __m256i FirstLanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
TERN_INLINE Vec Load(const void* p) { return {_mm256_loadu_ps(static_cast<const float*>(p))}; }
TERN_INLINE Vec Load(const void* p, int64_t n) {
  return {_mm256_maskload_ps(static_cast<const float*>(p), FirstLanes(n))};
}
TERN_INLINE void Store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
TERN_INLINE void Store(float* p, Vec a, int64_t n) { _mm256_maskstore_ps(p, FirstLanes(n), a.v); }

TERN_INLINE __m128i LoadHalfwords(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
TERN_INLINE __m128i LoadHalfwords(const void* p, int64_t n) {
  uint16_t padded[8] = {};
  std::memcpy(padded, p, static_cast<size_t>(n) * 2);
  return LoadHalfwords(padded);
}
TERN_INLINE Vec LoadF16(const void* p) { return {_mm256_cvtph_ps(LoadHalfwords(p))}; }
TERN_INLINE Vec LoadF16(const void* p, int64_t n) { return {_mm256_cvtph_ps(LoadHalfwords(p, n))}; }
TERN_INLINE Vec WidenBf16(__m128i bits) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
}
TERN_INLINE Vec LoadBf16(const void* p) { return WidenBf16(LoadHalfwords(p)); }
TERN_INLINE Vec LoadBf16(const void* p, int64_t n) { return WidenBf16(LoadHalfwords(p, n)); }

/// Rounded to nearest even; a NaN stays one by its quiet bit.
TERN_INLINE __m128i NarrowBf16(Vec a) {
  const __m256i bits = _mm256_castps_si256(a.v), high = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  const __m256i nan = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i kept = _mm256_blendv_epi8(rounded, nan, is_nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(kept), _mm256_extracti128_si256(kept, 1));
}
TERN_INLINE void StoreBf16(uint16_t* p, Vec a) {
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), NarrowBf16(a));
}
TERN_INLINE void StoreBf16(uint16_t* p, Vec a, int64_t n) {
  uint16_t padded[kLanes];
  StoreBf16(padded, a);
  std::memcpy(p, padded, static_cast<size_t>(n) * 2);
}

/// kLanes whole numbers from as many bytes: signed, or the low or high four bits of each.
TERN_INLINE __m128i LoadBytes(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
TERN_INLINE Vec SignedBytes(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(LoadBytes(p)))};
}
TERN_INLINE Vec LowNibbles(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_cvtepu8_epi32(LoadBytes(p)), _mm256_set1_epi32(15)))};
}
TERN_INLINE Vec HighNibbles(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_srli_epi32(_mm256_cvtepu8_epi32(LoadBytes(p)), 4))};
}

// --- sums over the lanes; one fixed tree, the same in Sum and in each place of Sum4
// ------------------------------------

TERN_INLINE __m128 AddHalves(__m256 a) {
  return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}
TERN_INLINE float Sum(Vec a) {
  const __m256 pairs = _mm256_hadd_ps(a.v, a.v);
  return _mm_cvtss_f32(AddHalves(_mm256_hadd_ps(pairs, pairs)));
}
TERN_INLINE __m128 Sum4(Vec a, Vec b, Vec c, Vec d) {
  return AddHalves(_mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v)));
}

/// Σ x² in double, in which a float's square is exact.
struct SquareSum {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
};
TERN_INLINE void AddSquares(SquareSum* sum, Vec a) {
  const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a.v));
  const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1));
  sum->low = _mm256_fmadd_pd(low, low, sum->low);
  sum->high = _mm256_fmadd_pd(high, high, sum->high);
}
TERN_INLINE double Total(const SquareSum& sum) {
  double lanes[4];
  _mm256_storeu_pd(lanes, _mm256_add_pd(sum.low, sum.high));
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace
}  // namespace tern::kernels
