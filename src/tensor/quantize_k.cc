// Writing the super-blocks of 256: Q4_K, Q5_K, Q6_K. First every sub-block is fitted by itself (quant_fit.h);
// then the sub-blocks' scales become small integers times d (and dmin), chosen among their neighbours by the
// error that they cause; then d and dmin are refitted to those by least squares, and the last two steps
// repeat while it helps.
#include <cstring>

#include "tensor/quant_fit.h"
#include "tensor/quant_rows.h"

namespace tern::quant {
namespace {

constexpr int kRounds = 3;

int ClampInt(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

/// The integer nearest to value/unit in [low, high].
int NearestMultiple(float value, float unit, int low, int high) {
  const float ratio = value * Inverse(unit);
  if (!(ratio > static_cast<float>(low))) return low;
  if (ratio > static_cast<float>(high)) return high;
  return static_cast<int>(ratio + (ratio < 0 ? -0.5f : 0.5f));
}

// --- Q4_K and Q5_K: d·s·q - dmin·m, eight sub-blocks of 32
// ------------------------------------------------------------

constexpr int kSubs = 8;

struct AffineSuperBlock {
  float d = 0, dmin = 0;
  SixBitPairs pairs{};
  float error = 0;
  float Scale(int j) const { return d * static_cast<float>(pairs.scale[j]); }
  float Offset(int j) const { return -(dmin * static_cast<float>(pairs.min[j])); }
};

/// Takes the best pair of scale and min around the present ones of sub-block j, and returns its moments.
AffineMoments ChoosePair(const Samples<32>& s, Levels levels, int j, AffineSuperBlock* b) {
  const int scale = b->pairs.scale[j];
  const int min = b->pairs.min[j];
  AffineMoments best{};
  bool any = false;
  for (int m = ClampInt(min - 1, 0, 63); m <= ClampInt(min + 1, 0, 63); ++m) {
    for (int k = ClampInt(scale - 1, 0, 63); k <= ClampInt(scale + 1, 0, 63); ++k) {
      const float d = b->d * static_cast<float>(k);
      const AffineMoments moments = MeasureAffine<32>(s.x, d, -(b->dmin * static_cast<float>(m)), levels);
      if (any && !(moments.rr < best.rr)) continue;
      best = moments;
      any = true;
      b->pairs.scale[j] = static_cast<uint8_t>(k);
      b->pairs.min[j] = static_cast<uint8_t>(m);
    }
  }
  return best;
}

/// d and dmin that least squares asks for, with all integers as they are.
void RefitSuperScales(const AffineMoments moments[kSubs], AffineSuperBlock* b) {
  float dd = 0, dm = 0, mm = 0, rd = 0, rm = 0;  // normal equations of x ≈ d·(s·q) - dmin·m
  for (int j = 0; j < kSubs; ++j) {
    const float scale = b->pairs.scale[j];
    const float min = b->pairs.min[j];
    dd += scale * scale * moments[j].qq;
    dm -= scale * min * moments[j].q;
    mm += min * min * moments[j].n;
    rd += scale * moments[j].rq;
    rm -= min * moments[j].r;
  }
  const float determinant = dd * mm - dm * dm;
  if (determinant > 1e-5f * dd * mm) {
    b->d = RoundToFp16(b->d + (rd * mm - rm * dm) / determinant);
    b->dmin = RoundToFp16(b->dmin + (rm * dd - rd * dm) / determinant);
  } else if (dd > 0) {
    b->d = RoundToFp16(b->d + rd / dd);
  } else if (mm > 0) {
    b->dmin = RoundToFp16(b->dmin + rm / mm);
  }
}

template <size_t kStarts>
AffineSuperBlock FitAffineSuperBlock(const Samples<32> s[kSubs], Levels levels,
                                     const std::array<AffineStart, kStarts>& starts) {
  float sum_of_minima = 0;
  for (int j = 0; j < kSubs; ++j) sum_of_minima += s[j].min;
  // All offsets have the sign of -dmin: usually they are negative, but a block of positive weights wants them
  // positive.
  constexpr float kUnbounded = 2e9f;
  const OffsetRange range = sum_of_minima > 0 ? OffsetRange{0, kUnbounded} : OffsetRange{-kUnbounded, 0};

  AffineFit fits[kSubs];
  float max_d = 0, max_m = 0;
  for (int j = 0; j < kSubs; ++j) {
    fits[j] = s[j].Vanishes() ? AffineFit{0, 0, 0} : FitAffine<32, Kept::kFloat>(s[j], levels, range, starts);
    max_d = fits[j].d > max_d ? fits[j].d : max_d;
    if (fits[j].m * fits[j].m > max_m * max_m) max_m = fits[j].m;
  }
  AffineSuperBlock b;
  if (max_d > 0) b.d = RoundUnitToFp16(max_d / 63);
  if (max_m != 0) b.dmin = RoundUnitToFp16(-max_m / 63);
  for (int j = 0; j < kSubs; ++j) {
    b.pairs.scale[j] = static_cast<uint8_t>(NearestMultiple(fits[j].d, b.d, 0, 63));
    b.pairs.min[j] = static_cast<uint8_t>(NearestMultiple(-fits[j].m, b.dmin, 0, 63));
  }
  AffineSuperBlock best;
  for (int round = 0; round < kRounds; ++round) {
    AffineMoments moments[kSubs];
    b.error = 0;
    for (int j = 0; j < kSubs; ++j) {
      moments[j] = ChoosePair(s[j], levels, j, &b);
      b.error += moments[j].rr;
    }
    if (round > 0 && !(b.error < best.error)) break;
    best = b;
    RefitSuperScales(moments, &b);
  }
  return best;
}

/// Quantises one super-block: d, dmin, scales and the integers of all 256 weights.
template <typename Block, size_t kStarts>
void FillAffine(const float* src, Levels levels, const std::array<AffineStart, kStarts>& starts, Block* out,
                uint8_t q[kSuperBlock]) {
  const Samples<32> s[kSubs] = {Samples<32>(src),       Samples<32>(src + 32),  Samples<32>(src + 64),
                                Samples<32>(src + 96),  Samples<32>(src + 128), Samples<32>(src + 160),
                                Samples<32>(src + 192), Samples<32>(src + 224)};
  const AffineSuperBlock b = FitAffineSuperBlock(s, levels, starts);
  out->d.SetBits(FloatToFp16(b.d));
  out->dmin.SetBits(FloatToFp16(b.dmin));
  PackSixBitPairs(b.pairs, out->scales);
  for (int j = 0; j < kSubs; ++j) RoundToLevels<32>(s[j].x, b.Scale(j), b.Offset(j), levels, q + 32 * j);
  for (int g = 0; g < 4; ++g) {
    for (int l = 0; l < 32; ++l) {
      out->qs[32 * g + l] = static_cast<uint8_t>((q[64 * g + l] & 15) | ((q[64 * g + 32 + l] & 15) << 4));
    }
  }
}

constexpr auto kStartsQ4K = Starts(15, Steps<9>(16.0f, -0.5f), kMiddleShifts);
constexpr auto kStartsQ5K = Starts(31, Steps<9>(32.0f, -0.5f), kMiddleShifts);

// --- Q6_K: d·s·q, sixteen sub-blocks of 16
// -----------------------------------------------------------------------------

constexpr Levels kLevelsQ6{-32, 31};
// The extreme lies on the negative side, which has one level more, so the sign of every scale follows from
// its weights.
constexpr auto kTargetsQ6 = Steps<14>(-33.0f, 0.5f);
constexpr int kReachQ6 = 4;  // how far around the first guess a sub-block's integer scale is looked for

struct ScaledSuperBlock {
  float d = 0;
  int8_t scales[16] = {};
  float error = 0;
  float Scale(int j) const { return d * static_cast<float>(scales[j]); }
};

ScaleMoments ChooseScaleQ6(const Samples<16>& s, int reach, int j, ScaledSuperBlock* b) {
  const int present = b->scales[j];
  ScaleMoments best{};
  bool any = false;
  for (int k = ClampInt(present - reach, -128, 127); k <= ClampInt(present + reach, -128, 127); ++k) {
    const ScaleMoments moments = MeasureScale<16>(s.x, b->d * static_cast<float>(k), kLevelsQ6);
    if (any && !(moments.rr < best.rr)) continue;
    best = moments;
    any = true;
    b->scales[j] = static_cast<int8_t>(k);
  }
  return best;
}

/// Integer scales for sub-blocks that would like to have `fitted`, starting from the unit d.
ScaledSuperBlock ScaleInUnits(const Samples<16> s[16], const float fitted[16], float d) {
  ScaledSuperBlock b;
  b.d = d;
  for (int j = 0; j < 16; ++j) b.scales[j] = static_cast<int8_t>(NearestMultiple(fitted[j], d, -128, 127));
  ScaledSuperBlock best;
  for (int round = 0; round < kRounds; ++round) {
    b.error = 0;
    float rd = 0, dd = 0;
    for (int j = 0; j < 16; ++j) {
      const ScaleMoments moments = ChooseScaleQ6(s[j], round == 0 ? kReachQ6 : 1, j, &b);
      const float scale = b.scales[j];
      b.error += moments.rr;
      rd += scale * moments.rq;
      dd += scale * scale * moments.qq;
    }
    if (round > 0 && !(b.error < best.error)) break;
    best = b;
    if (dd > 0) b.d = RoundToFp16(b.d + rd / dd);
  }
  return best;
}

ScaledSuperBlock FitScaledSuperBlock(const Samples<16> s[16]) {
  float fitted[16];
  float largest = 0;
  for (int j = 0; j < 16; ++j) {
    fitted[j] = s[j].Vanishes() ? 0 : FitScale<16, Kept::kFloat>(s[j], kLevelsQ6, kTargetsQ6).d;
    if (fitted[j] * fitted[j] > largest * largest) largest = fitted[j];
  }
  if (largest == 0) return {};
  // Either the extreme on the last level of the last multiple, or the largest scale with a little room on
  // both sides.
  float extreme = 0;
  for (int j = 0; j < 16; ++j) {
    if (s[j].Extreme() * s[j].Extreme() > extreme * extreme) extreme = s[j].Extreme();
  }
  const ScaledSuperBlock full = ScaleInUnits(s, fitted, RoundUnitToFp16(extreme / (32 * 128)));
  const ScaledSuperBlock roomy = ScaleInUnits(s, fitted, RoundUnitToFp16(largest / -125));
  return roomy.error < full.error ? roomy : full;
}

}  // namespace

template <>
void Quantize<BlockQ4_K>(const float* src, std::byte* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, src += kSuperBlock, dst += sizeof(BlockQ4_K)) {
    BlockQ4_K b;
    uint8_t q[kSuperBlock];
    FillAffine(src, {0, 15}, kStartsQ4K, &b, q);
    std::memcpy(dst, &b, sizeof(b));
  }
}

template <>
void Quantize<BlockQ5_K>(const float* src, std::byte* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, src += kSuperBlock, dst += sizeof(BlockQ5_K)) {
    BlockQ5_K b;
    uint8_t q[kSuperBlock];
    FillAffine(src, {0, 31}, kStartsQ5K, &b, q);
    std::memset(b.qh, 0, sizeof(b.qh));
    for (int j = 0; j < kSubs; ++j) {
      for (int l = 0; l < 32; ++l) b.qh[l] = static_cast<uint8_t>(b.qh[l] | ((q[32 * j + l] >> 4) << j));
    }
    std::memcpy(dst, &b, sizeof(b));
  }
}

template <>
void Quantize<BlockQ6_K>(const float* src, std::byte* dst, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, src += kSuperBlock, dst += sizeof(BlockQ6_K)) {
    const Samples<16> s[16] = {
        Samples<16>(src),       Samples<16>(src + 16),  Samples<16>(src + 32),  Samples<16>(src + 48),
        Samples<16>(src + 64),  Samples<16>(src + 80),  Samples<16>(src + 96),  Samples<16>(src + 112),
        Samples<16>(src + 128), Samples<16>(src + 144), Samples<16>(src + 160), Samples<16>(src + 176),
        Samples<16>(src + 192), Samples<16>(src + 208), Samples<16>(src + 224), Samples<16>(src + 240)};
    const ScaledSuperBlock fit = FitScaledSuperBlock(s);
    BlockQ6_K b;
    std::memset(&b, 0, sizeof(b));
    b.d.SetBits(FloatToFp16(fit.d));
    std::memcpy(b.scales, fit.scales, sizeof(b.scales));
    for (int j = 0; j < 16; ++j) {
      uint8_t q[16];
      RoundToLevels<16>(s[j].x, fit.Scale(j), 0, kLevelsQ6, q);
      uint8_t* low = b.ql + 64 * (j / 8) + 16 * (j % 4);
      uint8_t* high = b.qh + 32 * (j / 8) + 16 * (j % 2);
      for (int l = 0; l < 16; ++l) {
        const int v = (q[l] + 32) & 63;
        low[l] = static_cast<uint8_t>(low[l] | ((v & 15) << (j % 8 / 4 * 4)));
        high[l] = static_cast<uint8_t>(high[l] | ((v >> 4) << (2 * (j % 8 / 2))));
      }
    }
    std::memcpy(dst, &b, sizeof(b));
  }
}

}  // namespace tern::quant
