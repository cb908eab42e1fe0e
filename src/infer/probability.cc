#include "infer/probability.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace tern {
namespace {

bool KeyLess(const Weighted& a, const Weighted& b) { return a.key < b.key; }

float CutoffBySorting(std::span<Weighted> items, double target) {
  std::sort(items.begin(), items.end(), KeyLess);
  double sum = 0;
  for (const Weighted& item : items) {
    sum += item.weight;
    if (sum >= target) return item.key;
  }
  return items.back().key;
}

float MedianOfThree(float a, float b, float c) {
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

double Weight(std::span<const Weighted> items) {
  double sum = 0;
  for (const Weighted& item : items) sum += item.weight;
  return sum;
}

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
  constexpr size_t kLanes = 8;  // part of the result: a lane sums every eighth value
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) out[i + lane] = ExpNegative(x[i + lane] - top);
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += out[i + lane];
  }
  for (size_t lane = 0; i < x.size(); ++i, ++lane) {
    out[i] = ExpNegative(x[i] - top);
    sums[lane] += out[i];
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

float CutoffKey(std::span<Weighted> items, double target) {
  constexpr size_t kSmall = 64;
  // Each round halves what is left on average; values that defeat the median of three end in a sort.
  for (int round = 0; round < 48 && items.size() > kSmall; ++round) {
    const float pivot = MedianOfThree(items.front().key, items[items.size() / 2].key, items.back().key);
    const auto less_end =
        std::partition(items.begin(), items.end(), [pivot](const Weighted& w) { return w.key < pivot; });
    const auto less = items.first(static_cast<size_t>(less_end - items.begin()));
    const double less_weight = Weight(less);
    if (!less.empty() && less_weight >= target) {
      items = less;
      continue;
    }
    const auto equal_end =
        std::partition(less_end, items.end(), [pivot](const Weighted& w) { return w.key == pivot; });
    const auto equal = items.subspan(less.size(), static_cast<size_t>(equal_end - less_end));
    target -= less_weight + Weight(equal);
    const auto greater = items.subspan(less.size() + equal.size());
    if (target <= 0 || greater.empty()) return pivot;
    items = greater;
  }
  return CutoffBySorting(items, target);
}

}  // namespace tern
