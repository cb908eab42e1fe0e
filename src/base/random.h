// Random numbers that are the same on every machine and compiler (the standard library's distributions are
// not).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace tern {

/// The golden ratio's share of 2^64: what splitmix64 adds from one number to the next.
inline constexpr uint64_t kGoldenStep = 0x9e3779b97f4a7c15u;

/// splitmix64's finaliser (Steele, Lea and Flood; constants by Stafford): a permutation of 64-bit numbers in
/// which every bit of the result depends on every bit of z. Mix64(0) is 0: add something (kGoldenStep) where
/// zero is a likely input.
constexpr uint64_t Mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// xoshiro256++ (Blackman and Vigna), seeded through splitmix64. A value type: copy it to replay. Not
/// thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += kGoldenStep;
      word = Mix64(seed);
    }
  }

  uint64_t NextU64() {
    const uint64_t result = Rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotl(state_[3], 45);
    return result;
  }

  /// Uniform in [0, 1) with 53 random bits.
  double Uniform() { return static_cast<double>(NextU64() >> 11) * 0x1.0p-53; }
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }

  /// Uniform in [0, n), n ≥ 1, without bias worth measuring (128-bit multiply, error below 2^-64·n).
  uint64_t Below(uint64_t n) { return static_cast<uint64_t>((static_cast<Wide>(NextU64()) * n) >> 64); }

  /// Standard normal, by Box–Muller (one of the pair; the other is thrown away to keep the state four words).
  double Normal() {
    const double u = 1.0 - Uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * Uniform());
  }

  const std::array<uint64_t, 4>& state() const { return state_; }
  void set_state(const std::array<uint64_t, 4>& state) { state_ = state; }

 private:
  __extension__ typedef unsigned __int128 Wide;
  static uint64_t Rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  std::array<uint64_t, 4> state_;
};

}  // namespace tern
