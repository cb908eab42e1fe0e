// Quads of packed weights (kernels/packing.h) in AVX-512 registers, sixteen rows at a time, multiplied by VNNI.
#pragma once

namespace tern::kernels {
namespace {

/// Loops over the tokens of a tile: their sums fit into registers.
#define TERN_UNROLL_TOKENS TERN_UNROLL_ALL

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

/// How far a tile's `start` (kernels/packing.h) is shifted for a type whose integer kZero stands for 0.
template <int kZero>
constexpr int kStartShift = kZero == 8 ? 4 : kZero == 16 ? 3 : kZero == 32 ? 2 : 0;

TERN_INLINE Whole Minus(Whole a, Whole b) { return _mm512_sub_epi32(a, b); }
/// What Σ (q − kZero)·x begins with; p: an entry of a tile's `start`.
template <int kBits, int kZero>
TERN_INLINE Whole StartOfSum(const std::byte* p) {
  if constexpr (kZero == 0) return _mm512_setzero_si512();
  int32_t start;
  __builtin_memcpy(&start, p, sizeof start);
  return _mm512_srai_epi32(_mm512_set1_epi32(start), kStartShift<kZero>);
}

/// sum + Σ q·x over n quads; x: 4n signed bytes.
template <int kBits, int n>
TERN_INLINE Whole DotQuads(const Quad* q, const std::byte* x, Whole sum) {
  TERN_UNROLL for (int i = 0; i < n; ++i) {
    int32_t four;
    __builtin_memcpy(&four, x + 4 * i, sizeof four);
    sum = _mm512_dpbusd_epi32(sum, q[i], _mm512_set1_epi32(four));
  }
  return sum;
}

// --- for columns (layout kColumns) ---

/// Bytes of four columns side by side: out[j] has bytes 16L + 4j … 16L + 4j + 3 of each column's part L of 16 bytes.
TERN_INLINE void Interleave(Quad a, Quad b, Quad c, Quad d, Quad out[4]) {
  const Quad ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const Quad cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  out[0] = _mm512_unpacklo_epi16(ab_low, cd_low), out[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  out[2] = _mm512_unpacklo_epi16(ab_high, cd_high), out[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

TERN_INLINE __m128i Load16(const std::byte* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(static_cast<const void*>(p)));
}
/// kLanes bytes of each of four columns, as one quad.
TERN_INLINE Quad InterleavePlanes(const std::byte* a, const std::byte* b, const std::byte* c, const std::byte* d) {
  __m512i all = _mm512_castsi128_si512(Load16(a));
  all = _mm512_inserti32x4(all, Load16(b), 1);
  all = _mm512_inserti32x4(all, Load16(c), 2);
  all = _mm512_inserti32x4(all, Load16(d), 3);
  // Four by four dwords across the lanes, then four by four bytes in each.
  all = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), all);
  return _mm512_shuffle_epi8(
      all, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

TERN_INLINE void StoreQuad(std::byte* p, Quad q) { _mm512_storeu_si512(p, q); }
/// The low halves of a's bytes with those of b above them; and the high halves.
TERN_INLINE Quad JoinLowHalves(Quad a, Quad b) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x0f), a, _mm512_slli_epi16(b, 4), 0xca);  // mask ? a : b
}
TERN_INLINE Quad JoinHighHalves(Quad a, Quad b) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x0f), _mm512_srli_epi16(a, 4), b, 0xca);
}
/// Bits of a that are `kShift` above those of the mask change places with the latter's in b.
template <int kShift>
TERN_INLINE void ExchangeBits(Quad& a, Quad& b, int mask) {
  const Quad differing = _mm512_and_si512(_mm512_xor_si512(_mm512_srli_epi16(a, kShift), b),
                                          _mm512_set1_epi8(static_cast<char>(mask)));
  b = _mm512_xor_si512(b, differing);
  a = _mm512_xor_si512(a, _mm512_slli_epi16(differing, kShift));
}

/// Four activations, for every row.
TERN_INLINE Quad FourOf(const std::byte* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}
/// A sum with one more quad.
template <int kBits>
TERN_INLINE Whole AddQuad(Whole sum, Quad q, Quad x) {
  return _mm512_dpbusd_epi32(sum, q, x);
}

/// Bit i: lane i is not zero (a NaN is not).
TERN_INLINE uint32_t NonZeroLanes(Vec a) {
  return _mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}

// --- for quantising activations ---

TERN_INLINE float Most(Vec a) { return _mm512_reduce_max_ps(a.v); }
/// kLanes floats in [−127, 127], rounded to nearest even, as bytes; returns their sum.
TERN_INLINE int32_t StoreSignedBytes(std::byte* p, Vec a) {
  const __m512i n = _mm512_cvtps_epi32(a.v);
  const __m128i bytes = _mm512_cvtepi32_epi8(n), high = _mm_set1_epi8(static_cast<char>(0x80));
  _mm_storeu_si128(static_cast<__m128i*>(static_cast<void*>(p)), bytes);
  const __m128i eights = _mm_sad_epu8(_mm_xor_si128(bytes, high), _mm_setzero_si128());  // of each byte + 128
  return _mm_cvtsi128_si32(eights) + _mm_extract_epi32(eights, 2) - kLanes * 128;
}

}  // namespace
}  // namespace tern::kernels
