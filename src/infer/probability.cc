#include "infer/probability.h"

#include <array>
#include <cmath>
#include <cstddef>

#include "base/cpu.h"

namespace tern {
namespace {

/// The digit of a key at `shift`: 11 bits of the ordered bits, of which the sign bit is never set.
constexpr int kDigitBits = 11;
constexpr size_t kDigits = size_t{1} << kDigitBits;
size_t Digit(const Weighted& item, int shift) {
  return (std::bit_cast<uint32_t>(item.key) >> shift) & (kDigits - 1);
}

/// Two tables, because adding to one cell twice in a row stalls.
struct KeyHistogram {
  std::array<double, kDigits> even{}, odd{};
  std::array<uint32_t, kDigits> count{};

  KeyHistogram(std::span<const Weighted> items, int shift) {
    size_t i = 0;
    for (; i + 2 <= items.size(); i += 2) {
      even[Digit(items[i], shift)] += items[i].weight;
      odd[Digit(items[i + 1], shift)] += items[i + 1].weight;
    }
    if (i < items.size()) even[Digit(items[i], shift)] += items[i].weight;
    for (const Weighted& item : items) ++count[Digit(item, shift)];
  }
};

[[gnu::always_inline]] inline double ExponentialsBody(const float* in, size_t n, float top, float* to) {
  for (size_t i = 0; i < n; ++i) to[i] = ExpNegative(in[i] - top);  // on its own: compilers vectorise it

  constexpr size_t kLanes = 8;  // part of the result: a lane sums every eighth value
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += to[i + lane];
  }
  for (size_t lane = 0; i < n; ++i, ++lane) sums[lane] += to[i];
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

#if defined(__x86_64__)
/// The same operations on eight numbers at once, so the same bits: each draw from 65,536 tokens takes as many exponentials.
__attribute__((target("avx2"))) double ExponentialsAvx2(const float* in, size_t n, float top, float* to) {
  return ExponentialsBody(in, n, top, to);
}
#endif

}  // namespace

double Log2(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact, so the same everywhere; m in [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1);  // ln m = 2·atanh(s), |s| < 0.172
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * (s * s) + 1.0 / k;
  constexpr double kLog2E = 1.4426950408889634;
  return exponent + 2 * s * series * kLog2E;
}

double Exponentials(std::span<const float> x, float top, std::span<float> out) {
#if defined(__x86_64__)
  if (GetCpuFeatures().avx2) return ExponentialsAvx2(x.data(), x.size(), top, out.data());
#endif
  return ExponentialsBody(x.data(), x.size(), top, out.data());
}

float CutoffKey(std::span<Weighted> items, double target) {
  for (const int shift : {22, 11, 0}) {  // the first digit has 10 bits: the sign is missing
    const KeyHistogram histogram(items, shift);
    size_t chosen = 0;
    double before = 0;  // weighs what lies below `chosen`
    double sum = 0;
    for (size_t digit = 0; digit < kDigits && (histogram.count[chosen] == 0 || sum < target); ++digit) {
      if (histogram.count[digit] == 0) continue;
      chosen = digit;
      before = sum;
      sum += histogram.even[digit] + histogram.odd[digit];
    }
    target -= before;
    size_t kept = 0;
    for (const Weighted item : items) {  // a copy: a reference would be read again after the write
      items[kept] = item;
      kept += Digit(item, shift) == chosen ? 1u : 0u;
    }
    items = items.first(kept);
  }
  return items.front().key;  // all equal by now
}

}  // namespace tern
