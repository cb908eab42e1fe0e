// The plain way to quantise, as a baseline: the scale takes the extreme of each block to the last level,
// every weight goes to the nearest level, and nothing is searched. Scales are rounded as the block stores
// them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace tern::testing {

namespace internal {

inline float AsFp16(float v) { return Fp16ToFloat(FloatToFp16(v)); }

inline float Extreme(const float* x, int n) {
  return *std::max_element(x, x + n, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

/// x becomes d·q + m with the nearest q in [low, high].
inline void Snap(float* x, int n, float d, float m, float low, float high) {
  for (int i = 0; i < n; ++i) {
    const float q = d != 0 ? std::clamp(std::nearbyint((x[i] - m) / d), low, high) : 0;
    x[i] = d * q + m;
  }
}

inline void SnapAffine(float* x, int n, float top) {
  const auto [low, high] = std::minmax_element(x, x + n);
  const float m = AsFp16(*low);
  Snap(x, n, AsFp16((*high - *low) / top), m, 0, top);
}

inline void SnapAffineSuperBlock(float* x, float top) {
  float scale[8], min[8], max_scale = 0, max_min = 0;
  for (int j = 0; j < 8; ++j) {
    const auto [low, high] = std::minmax_element(x + 32 * j, x + 32 * j + 32);
    min[j] = -std::min(*low, 0.0f);
    scale[j] = (*high + min[j]) / top;
    max_scale = std::max(max_scale, scale[j]);
    max_min = std::max(max_min, min[j]);
  }
  const float d = AsFp16(max_scale / 63), dmin = AsFp16(max_min / 63);
  for (int j = 0; j < 8; ++j) {
    const float s = d > 0 ? std::min(63.0f, std::nearbyint(scale[j] / d)) : 0;
    const float m = dmin > 0 ? std::min(63.0f, std::nearbyint(min[j] / dmin)) : 0;
    Snap(x + 32 * j, 32, d * s, -(dmin * m), 0, top);
  }
}

inline void SnapScaledSuperBlock(float* x) {
  float scale[16], largest = 0;
  for (int j = 0; j < 16; ++j) {
    scale[j] = Extreme(x + 16 * j, 16) / -32;
    if (std::fabs(scale[j]) > std::fabs(largest)) largest = scale[j];
  }
  const float d = AsFp16(largest / -128);
  for (int j = 0; j < 16; ++j) {
    const float s = d != 0 ? std::clamp(std::nearbyint(scale[j] / d), -128.0f, 127.0f) : 0;
    Snap(x + 16 * j, 16, d * s, 0, -32, 31);
  }
}

}  // namespace internal

/// The values that plain round-to-nearest makes of x; its size is a multiple of the type's block.
inline std::vector<float> RoundToNearest(DType type, std::vector<float> x) {
  const int block = Traits(type).block;
  for (float* b = x.data(); b != x.data() + x.size(); b += block) {
    switch (type) {
      case DType::kQ8_0:
        internal::Snap(b, 32, internal::AsFp16(std::fabs(internal::Extreme(b, 32)) / 127), 0, -127, 127);
        break;
      case DType::kQ5_0:
        internal::Snap(b, 32, internal::AsFp16(internal::Extreme(b, 32) / -16), 0, -16, 15);
        break;
      case DType::kQ4_0:
        internal::Snap(b, 32, internal::AsFp16(internal::Extreme(b, 32) / -8), 0, -8, 7);
        break;
      case DType::kQ5_1:
        internal::SnapAffine(b, 32, 31);
        break;
      case DType::kQ4_1:
        internal::SnapAffine(b, 32, 15);
        break;
      case DType::kQ4_K:
        internal::SnapAffineSuperBlock(b, 15);
        break;
      case DType::kQ5_K:
        internal::SnapAffineSuperBlock(b, 31);
        break;
      case DType::kQ6_K:
        internal::SnapScaledSuperBlock(b);
        break;
      default:
        break;
    }
  }
  return x;
}

}  // namespace tern::testing
