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
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = x - n * kLn2High - n * kLn2Low;
  const float tail = 0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r / 5040))));
  const float mantissa = 1.0f + (r + r * r * tail);
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound) + 127u;
  const float y = mantissa * std::bit_cast<float>(exponent << 23);
  // Below the range y is nonsense; it is cleared by a mask, compared as an integer, because compilers do not
  // vectorise a choice that depends on a comparison of floats (it might trap).
  constexpr uint32_t kLargest = std::bit_cast<uint32_t>(87.33654f);
  const uint32_t magnitude = std::bit_cast<uint32_t>(x) & 0x7fffffffu;
  const uint32_t mask =
      0u - static_cast<uint32_t>(static_cast<int32_t>(magnitude) <= static_cast<int32_t>(kLargest));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(y) & mask);
}

/// log2(x) for finite x > 0, within 1e-15 absolute for 1 ≤ x ≤ 2^20.
double Log2(double x);

/// out[i] = e^(x[i] - top), top the largest x; returns their sum. out and x have the same length.
double Exponentials(std::span<const float> x, float top, std::span<float> out);

/// An integer that orders as the floats do, and back again (it is its own inverse on the bits). NaNs lie
/// outside the infinities, -0 just below 0. Compilers vectorise the minima and maxima of these, but not of
/// floats.
inline int32_t OrderedBits(float x) {
  const int32_t bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
inline float FromOrderedBits(int32_t ordered) {
  return std::bit_cast<float>(ordered ^ ((ordered >> 31) & 0x7fffffff));
}

struct Weighted {
  float key;
  float weight;
};

/// The smallest key k such that the items with key ≤ k weigh at least `target` together; the largest key when
/// not even all of them do; the smallest when target ≤ 0. items: not empty, keys ≥ 0 and finite (-0 is not),
/// weights ≥ 0; they are overwritten. Linear in time: a selection by digits, not a sort.
float CutoffKey(std::span<Weighted> items, double target);

}  // namespace tern
