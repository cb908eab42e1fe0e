// The arithmetic under the sampler, the same on every machine: nothing here calls the C library's exp or log
// (their last bits depend on version and processor), and every sum has one fixed order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

namespace tern {

/// e^x for x ≤ 0 (-inf too), within 2 units in the last place; 0 below the smallest normal float (x <
/// -87.33).
inline float ExpNegative(float x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62ep-1f;  // few bits: n·kLn2High is exact
  constexpr float kLn2Low = 0x1.0bfbe8p-15f;
  constexpr float kRound = 12582912.0f;  // 1.5·2^23: adding it rounds to an integer, kept in the low bits
  constexpr float kSmallest = -87.33654f;
  const float clamped = std::max(x, kSmallest);
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = clamped - n * kLn2High - n * kLn2Low;
  const float tail = 0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r / 5040))));
  const float mantissa = 1.0f + (r + r * r * tail);
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound) + 127u;
  const float y = mantissa * std::bit_cast<float>(exponent << 23);
  return x < kSmallest ? 0.0f : y;
}

/// log2(x) for finite x > 0, within 1e-15 absolute for 1 ≤ x ≤ 2^20.
double Log2(double x);

/// out[i] = e^(x[i] - top), top the largest x; returns their sum. out and x have the same length.
double Exponentials(std::span<const float> x, float top, std::span<float> out);

struct Weighted {
  float key;
  float weight;
};

/// The smallest key k such that the items with key ≤ k weigh at least `target` together; the largest key when
/// not even all of them do; the smallest when target ≤ 0. items: not empty, no NaN, weights ≥ 0; they are
/// reordered. Expected time is linear: a selection, not a sort.
float CutoffKey(std::span<Weighted> items, double target);

}  // namespace tern
