// Quads of packed weights (kernels/packing.h) in AVX-512 registers, sixteen rows at a time, multiplied by VNNI.
#pragma once

namespace tern::kernels {
namespace {

using Quad = __m512i;   ///< four columns of kLanes rows, a byte each
using Whole = __m512i;  ///< kLanes int32

TERN_INLINE Quad LoadQuad(const std::byte* p) { return _mm512_loadu_si512(p); }
TERN_INLINE Quad LowHalves(Quad v) { return _mm512_and_si512(v, _mm512_set1_epi8(0x0f)); }
TERN_INLINE Quad HighHalves(Quad v) {
  return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(0x0f));
}
/// q | (bits [from, from + kCount) of each byte of `high`, put at bit 4).
template <int kFrom, int kCount>
TERN_INLINE Quad WithHighBits(Quad q, Quad high) {
  const Quad mask = _mm512_set1_epi8(static_cast<char>(((1 << kCount) - 1) << 4));
  const Quad moved = kFrom <= 4 ? _mm512_slli_epi16(high, kFrom <= 4 ? 4 - kFrom : 0)
                                : _mm512_srli_epi16(high, kFrom > 4 ? kFrom - 4 : 0);
  return _mm512_ternarylogic_epi32(q, moved, mask, 0xf8);  // q | (moved & mask)
}

TERN_INLINE Vec ToFloats(Whole n) { return {_mm512_cvtepi32_ps(n)}; }
TERN_INLINE Vec UnsignedBytes(const void* p) { return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(LoadBytes(p)))}; }

/// Σ (q − zero)·x over n quads; x: 4n signed bytes, x_sum their sum.
template <int kBits, int n>
TERN_INLINE Whole DotQuads(const Quad* q, const std::byte* x, int32_t x_sum, int zero) {
  Whole sum = _mm512_set1_epi32(-zero * x_sum);
  TERN_UNROLL for (int i = 0; i < n; ++i) {
    int32_t four;
    __builtin_memcpy(&four, x + 4 * i, sizeof four);
    sum = _mm512_dpbusd_epi32(sum, q[i], _mm512_set1_epi32(four));
  }
  return sum;
}

// --- for quantising activations ---

TERN_INLINE float Most(Vec a) { return _mm512_reduce_max_ps(a.v); }
/// kLanes floats in [−127, 127], rounded to nearest even, as bytes; returns their sum.
TERN_INLINE int32_t StoreSignedBytes(std::byte* p, Vec a) {
  const __m512i n = _mm512_cvtps_epi32(a.v);
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), _mm512_cvtepi32_epi8(n));
  return _mm512_reduce_add_epi32(n);
}

}  // namespace
}  // namespace tern::kernels
