// Quads of packed weights (kernels/packing.h) in AVX2 registers, eight rows at a time.
#pragma once

namespace tern::kernels {
namespace {

/// Loops over the tokens of a tile. Sixteen sums do not fit into the registers: with all of them unrolled, the weights would
/// not either, and 4-bit types lose a fifth.
#define TERN_UNROLL_TOKENS TERN_UNROLL

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

/// How far a tile's `start` (kernels/packing.h) is shifted for a type whose integer kZero stands for 0.
template <int kZero>
constexpr int kStartShift = kZero == 8 ? 4 : kZero == 16 ? 3 : kZero == 32 ? 2 : 0;

TERN_INLINE Whole Minus(Whole a, Whole b) { return _mm256_sub_epi32(a, b); }
/// What Σ (q − kZero)·x begins with; p: an entry of a tile's `start`. (8 bits are multiplied as signed integers.)
template <int kBits, int kZero>
TERN_INLINE Whole StartOfSum(const std::byte* p) {
  if constexpr (kZero == 0 || kBits == 8) return _mm256_setzero_si256();
  int32_t start;
  __builtin_memcpy(&start, p, sizeof start);
  return _mm256_srai_epi32(_mm256_set1_epi32(start), kStartShift<kZero>);
}

/// sum + Σ q·x over n quads; x: 4n signed bytes. vpmaddubsw adds pairs of products in 16 bits: as
/// many of its results are added up in 16 bits as cannot overflow (2·127·(2^bits − 1) each).
template <int kBits, int n>
TERN_INLINE Whole DotQuads(const Quad* q, const std::byte* x, Whole sum) {
  constexpr int kSafe = kBits == 4 ? 8 : kBits == 5 ? 4 : 2;
  const __m256i ones = _mm256_set1_epi16(1);
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

// --- for columns (layout kColumns) ---

/// Bytes of four columns side by side: out[j] has bytes 16L + 4j … 16L + 4j + 3 of each column's part L of 16 bytes.
TERN_INLINE void Interleave(Quad a, Quad b, Quad c, Quad d, Quad out[4]) {
  const Quad ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
  const Quad cd_low = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
  out[0] = _mm256_unpacklo_epi16(ab_low, cd_low), out[1] = _mm256_unpackhi_epi16(ab_low, cd_low);
  out[2] = _mm256_unpacklo_epi16(ab_high, cd_high), out[3] = _mm256_unpackhi_epi16(ab_high, cd_high);
}

TERN_INLINE long long Load8(const std::byte* p) {
  long long eight;
  __builtin_memcpy(&eight, p, sizeof eight);
  return eight;
}
/// kLanes bytes of each of four columns, as one quad.
TERN_INLINE Quad InterleavePlanes(const std::byte* a, const std::byte* b, const std::byte* c, const std::byte* d) {
  __m256i all = _mm256_setr_epi64x(Load8(a), Load8(b), Load8(c), Load8(d));
  // The dwords of each half of the columns together, then four by four bytes in each.
  all = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  return _mm256_shuffle_epi8(all, _mm256_broadcastsi128_si256(
                                      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

TERN_INLINE void StoreQuad(std::byte* p, Quad q) {
  _mm256_storeu_si256(static_cast<__m256i*>(static_cast<void*>(p)), q);
}
/// The low halves of a's bytes with those of b above them; and the high halves.
TERN_INLINE Quad JoinLowHalves(Quad a, Quad b) {
  const Quad mask = _mm256_set1_epi8(0x0f);
  return _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, _mm256_slli_epi16(b, 4)));
}
TERN_INLINE Quad JoinHighHalves(Quad a, Quad b) {
  const Quad mask = _mm256_set1_epi8(0x0f);
  return _mm256_or_si256(_mm256_and_si256(mask, _mm256_srli_epi16(a, 4)), _mm256_andnot_si256(mask, b));
}
/// Bits of a that are `kShift` above those of the mask change places with the latter's in b.
template <int kShift>
TERN_INLINE void ExchangeBits(Quad& a, Quad& b, int mask) {
  const Quad differing = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi16(a, kShift), b),
                                          _mm256_set1_epi8(static_cast<char>(mask)));
  b = _mm256_xor_si256(b, differing);
  a = _mm256_xor_si256(a, _mm256_slli_epi16(differing, kShift));
}

/// A sum with one more quad (see DotQuads for 8 bits).
template <int kBits>
TERN_INLINE Whole AddQuad(Whole sum, Quad q, Quad x) {
  __m256i pairs;
  if constexpr (kBits == 8) {
    const __m256i w = _mm256_xor_si256(q, _mm256_set1_epi8(static_cast<char>(0x80)));
    pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  } else {
    pairs = _mm256_maddubs_epi16(q, x);
  }
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// Bit i: lane i is not zero (a NaN is not).
TERN_INLINE uint32_t NonZeroLanes(Vec a) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
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
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
  const __m128i bytes = _mm_packs_epi16(words, words), high = _mm_set1_epi8(static_cast<char>(0x80));
  _mm_storel_epi64(static_cast<__m128i*>(static_cast<void*>(p)), bytes);
  // Of each byte + 128.
  return _mm_cvtsi128_si32(_mm_sad_epu8(_mm_xor_si128(bytes, high), _mm_setzero_si128())) - kLanes * 128;
}

}  // namespace
}  // namespace tern::kernels
