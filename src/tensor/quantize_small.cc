// Writing the blocks of 32: Q8_0, Q5_1, Q5_0, Q4_1, Q4_0. How scales are chosen: quant_fit.h.
#include <cmath>
#include <cstring>

#include "tensor/quant_fit.h"
#include "tensor/quant_rows.h"

namespace tern::quant {
namespace {

// Where the search starts: the levels that the value of largest magnitude is tried on. Whole numbers are
// among them, so that a block that was quantised before is found again exactly.
constexpr auto kTargetsQ8 = Joined(Steps<32>(-129.0f, 0.5f), Steps<16>(127.5f, -0.5f));
constexpr auto kTargetsQ5 = Joined(Steps<24>(-17.5f, 0.25f), Steps<16>(16.0f, -0.25f));
constexpr auto kTargetsQ4 = Joined(Steps<20>(-9.5f, 0.25f), Steps<16>(8.5f, -0.25f));

constexpr auto kStartsQ5 = Starts(31, Steps<12>(32.0f, -0.5f), kMiddleShifts);
constexpr auto kStartsQ4 = Starts(15, Steps<10>(16.0f, -0.5f), kMiddleShifts);

void Store(float value, StoredFp16* stored) { stored->SetBits(FloatToFp16(value)); }

template <typename Block>
void Append(const Block& b, int64_t index, std::byte* dst) {
  std::memcpy(dst + static_cast<size_t>(index) * sizeof(Block), &b, sizeof(Block));
}

void PackNibbles(const uint8_t q[32], uint8_t qs[16]) {
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>((q[j] & 15) | ((q[16 + j] & 15) << 4));
}

void PackFifthBits(const uint8_t q[32], uint8_t qh[4]) {
  std::memset(qh, 0, 4);
  for (int j = 0; j < 32; ++j) qh[j / 8] = static_cast<uint8_t>(qh[j / 8] | ((q[j] >> 4) << (j % 8)));
}

/// d of a block without offset.
template <size_t kTargets>
float ChooseScale(const Samples<32>& s, Levels levels, const std::array<float, kTargets>& targets) {
  return s.Vanishes() ? 0 : FitScale<32, Kept::kFp16>(s, levels, targets).d;
}

/// d and m of a block with offset.
template <size_t kStarts>
AffineFit ChooseScaleAndOffset(const Samples<32>& s, Levels levels,
                               const std::array<AffineStart, kStarts>& starts) {
  constexpr OffsetRange kAny{-kFp16Max, kFp16Max};
  if (s.Vanishes()) return {0, 0, 0};
  AffineFit best = FitAffine<32, Kept::kFp16>(s, levels, kAny, starts);
  // Where the values are large beside their spread, fp16 cannot hold the m that they need. Start from an m
  // that it can hold, below all values, and let d span the gap in one step or in all of them.
  float below = RoundToFp16(s.min);
  if (below > s.min) below = RoundToFp16(below - std::fabs(below) * 0x1p-10f);
  const float gap = s.max - below;
  if (gap > 0) {
    ImproveAffine<32, Kept::kFp16>(s, levels, kAny, RoundToNonzeroFp16(gap), below, &best);
    ImproveAffine<32, Kept::kFp16>(s, levels, kAny, RoundToNonzeroFp16(gap / levels.high), below, &best);
  }
  return best;
}

}  // namespace

template <>
void Quantize<BlockQ8_0>(const float* src, std::byte* dst, int64_t blocks) {
  constexpr Levels kLevels{-128, 127};
  for (int64_t i = 0; i < blocks; ++i) {
    const Samples<32> s(src + 32 * i);
    const float d = ChooseScale(s, kLevels, kTargetsQ8);
    BlockQ8_0 b;
    Store(d, &b.d);
    RoundToLevels<32>(s.x, d, 0, kLevels, b.qs);
    Append(b, i, dst);
  }
}

template <>
void Quantize<BlockQ5_0>(const float* src, std::byte* dst, int64_t blocks) {
  constexpr Levels kLevels{-16, 15};
  for (int64_t i = 0; i < blocks; ++i) {
    const Samples<32> s(src + 32 * i);
    const float d = ChooseScale(s, kLevels, kTargetsQ5);
    uint8_t q[32];
    RoundToLevels<32>(s.x, d, 0, kLevels, q);
    for (uint8_t& v : q) v = static_cast<uint8_t>(v + 16);
    BlockQ5_0 b;
    Store(d, &b.d);
    PackFifthBits(q, b.qh);
    PackNibbles(q, b.qs);
    Append(b, i, dst);
  }
}

template <>
void Quantize<BlockQ4_0>(const float* src, std::byte* dst, int64_t blocks) {
  constexpr Levels kLevels{-8, 7};
  for (int64_t i = 0; i < blocks; ++i) {
    const Samples<32> s(src + 32 * i);
    const float d = ChooseScale(s, kLevels, kTargetsQ4);
    uint8_t q[32];
    RoundToLevels<32>(s.x, d, 0, kLevels, q);
    for (uint8_t& v : q) v = static_cast<uint8_t>(v + 8);
    BlockQ4_0 b;
    Store(d, &b.d);
    PackNibbles(q, b.qs);
    Append(b, i, dst);
  }
}

template <>
void Quantize<BlockQ5_1>(const float* src, std::byte* dst, int64_t blocks) {
  constexpr Levels kLevels{0, 31};
  for (int64_t i = 0; i < blocks; ++i) {
    const Samples<32> s(src + 32 * i);
    const AffineFit fit = ChooseScaleAndOffset(s, kLevels, kStartsQ5);
    uint8_t q[32];
    RoundToLevels<32>(s.x, fit.d, fit.m, kLevels, q);
    BlockQ5_1 b;
    Store(fit.d, &b.d);
    Store(fit.m, &b.m);
    PackFifthBits(q, b.qh);
    PackNibbles(q, b.qs);
    Append(b, i, dst);
  }
}

template <>
void Quantize<BlockQ4_1>(const float* src, std::byte* dst, int64_t blocks) {
  constexpr Levels kLevels{0, 15};
  for (int64_t i = 0; i < blocks; ++i) {
    const Samples<32> s(src + 32 * i);
    const AffineFit fit = ChooseScaleAndOffset(s, kLevels, kStartsQ4);
    uint8_t q[32];
    RoundToLevels<32>(s.x, fit.d, fit.m, kLevels, q);
    BlockQ4_1 b;
    Store(fit.d, &b.d);
    Store(fit.m, &b.m);
    PackNibbles(q, b.qs);
    Append(b, i, dst);
  }
}

}  // namespace tern::quant
