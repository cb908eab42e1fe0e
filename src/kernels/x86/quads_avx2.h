// Quads of packed weights (kernels/packing.h) in AVX2 registers, eight rows at a time.
#pragma once

namespace tern::kernels {
namespace {

using Quad = __m256i;   ///< four columns of kLanes rows, a byte each
using Whole = __m256i;  ///< kLanes int32

TERN_INLINE Quad LoadQuad(const std::byte* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(static_cast<const void*>(p)));
}
TERN_INLINE Quad LowHalves(Quad v) { return _mm256_and_si256(v, _mm256_set1_epi8(0x0f)); }
TERN_INLINE Quad HighHalves(Quad v) {
  return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
}
/// q | (bits [from, from + kCount) of each byte of `high`, put at bit 4).
template <int kFrom, int kCount>
TERN_INLINE Quad WithHighBits(Quad q, Quad high) {
  const Quad mask = _mm256_set1_epi8(static_cast<char>(((1 << kCount) - 1) << 4));
  const Quad moved = kFrom <= 4 ? _mm256_slli_epi16(high, kFrom <= 4 ? 4 - kFrom : 0)
                                : _mm256_srli_epi16(high, kFrom > 4 ? kFrom - 4 : 0);
  return _mm256_or_si256(q, _mm256_and_si256(moved, mask));
}

TERN_INLINE Vec ToFloats(Whole n) { return {_mm256_cvtepi32_ps(n)}; }
TERN_INLINE Vec UnsignedBytes(const void* p) { return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(LoadBytes(p)))}; }

TERN_INLINE __m256i FourOf(const std::byte* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}

/// Σ (q − zero)·x over n quads; x: 4n signed bytes, x_sum their sum. vpmaddubsw adds pairs of products in 16 bits: as
/// many of its results are added up in 16 bits as cannot overflow (2·127·(2^bits − 1) each).
template <int kBits, int n>
TERN_INLINE Whole DotQuads(const Quad* q, const std::byte* x, int32_t x_sum, int zero) {
  constexpr int kSafe = kBits == 4 ? 8 : kBits == 5 ? 4 : 2;
  const __m256i ones = _mm256_set1_epi16(1);
  Whole sum = _mm256_set1_epi32(kBits == 8 ? 0 : -zero * x_sum);
  if constexpr (kBits == 8) {
    // 255·127·2 would not fit: |q − 128| times x with the sign of q − 128 does.
    TERN_UNROLL for (int i = 0; i < n; ++i) {
      const __m256i w = _mm256_xor_si256(q[i], _mm256_set1_epi8(static_cast<char>(0x80)));
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(FourOf(x + 4 * i), w));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
  } else {
    TERN_UNROLL for (int i = 0; i < n; i += kSafe) {
      __m256i pairs = _mm256_maddubs_epi16(q[i], FourOf(x + 4 * i));
      for (int j = 1; j < kSafe && i + j < n; ++j) {
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(q[i + j], FourOf(x + 4 * (i + j))));
      }
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
  }
  return sum;
}

// --- for quantising activations ---

TERN_INLINE float Most(Vec a) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
/// kLanes floats in [−127, 127], rounded to nearest even, as bytes; returns their sum.
TERN_INLINE int32_t StoreSignedBytes(std::byte* p, Vec a) {
  const __m256i n = _mm256_cvtps_epi32(a.v);
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
  _mm_storel_epi64(static_cast<__m128i*>(static_cast<void*>(p)), _mm_packs_epi16(words, words));
  return _mm_cvtsi128_si32(sum);
}

}  // namespace
}  // namespace tern::kernels
