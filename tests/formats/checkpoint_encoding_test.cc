#include "formats/checkpoint_encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace tern {
namespace {

constexpr Encoding kExponentials[] = {Encoding::kExp, Encoding::kNegExp, Encoding::kExpNegExp};

TEST(CheckpointEncoding, DecodedParametersEncodeToTheSameBits) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  Random random(kSeed);
  for (Encoding encoding : kExponentials) {
    for (int i = 0; i < 20000; ++i) {
      const auto p = static_cast<float>(random.Uniform(-12, 4));
      const float x = Encode(encoding, p);
      ASSERT_EQ(Encode(encoding, Decode(encoding, x)), x)
          << "p " << p << " encoding " << static_cast<int>(encoding);
    }
  }
}

TEST(CheckpointEncoding, HalfPrecisionParametersComeBackExactly) {
  // Where the exponential still tells neighbouring half-precision numbers apart: above 2^-9 in magnitude
  // (exp(p) near 1 has 24 bits for p's 8) and, for a doubled exponential, not so negative that it is
  // nearly 1.
  for (Encoding encoding : kExponentials) {
    const float lowest = encoding == Encoding::kExpNegExp ? -7.0f : -30.0f;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto half = static_cast<uint16_t>(bits);
      for (float p : {Bf16ToFloat(half), Fp16ToFloat(half)}) {
        if (!(p >= lowest && p <= 3.0f) || std::abs(p) < 0x1p-9f) continue;
        ASSERT_EQ(Decode(encoding, Encode(encoding, p)), p) << "encoding " << static_cast<int>(encoding);
      }
    }
  }
}

TEST(CheckpointEncoding, ExtremesDecodeToFiniteParameters) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::pair<Encoding, float> extremes[] = {{Encoding::kExp, 0.0f},       {Encoding::kExp, kInf},
                                                 {Encoding::kNegExp, -0.0f},   {Encoding::kNegExp, -kInf},
                                                 {Encoding::kExpNegExp, 0.0f}, {Encoding::kExpNegExp, 1.0f}};
  for (const auto& [encoding, x] : extremes) {
    const float p = Decode(encoding, x);
    EXPECT_TRUE(std::isfinite(p)) << x;
    EXPECT_EQ(Encode(encoding, p), x);
  }
}

TEST(CheckpointEncoding, WhatIsNoExponentialIsNoNumber) {
  EXPECT_TRUE(std::isnan(Decode(Encoding::kExp, -1.0f)));
  EXPECT_TRUE(std::isnan(Decode(Encoding::kNegExp, 1.0f)));
  EXPECT_TRUE(std::isnan(Decode(Encoding::kExpNegExp, 1.5f)));
  EXPECT_TRUE(std::isnan(Decode(Encoding::kExpNegExp, -1.0f)));
  EXPECT_TRUE(std::isnan(Decode(Encoding::kNegExp, std::nanf(""))));
}

}  // namespace
}  // namespace tern
