#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/random.h"
#include "tensor/quant.h"
#include "tensor/shape.h"

namespace tern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A 16-bit binary format, decoded and rounded from its definition: exponents and powers of two in double.
struct Format {
  int mantissa_bits, bias, max_exponent_field;

  double Decode(uint32_t h) const {
    const uint32_t mantissa = h & ((1u << mantissa_bits) - 1);
    const int field = static_cast<int>((h & 0x7fffu) >> mantissa_bits);
    const double sign = h & 0x8000u ? -1 : 1;
    if (field == max_exponent_field) return mantissa ? NAN : sign * kInfinity;
    const int exponent = std::max(field, 1) - bias;
    const double leading = field == 0 ? 0 : 1;
    return sign * std::ldexp(leading + std::ldexp(mantissa, -mantissa_bits), exponent);
  }

  double Round(double v) const {
    if (v == 0 || !std::isfinite(v)) return v;
    const int exponent = std::max(std::ilogb(v), 1 - bias);
    const double unit = std::ldexp(1.0, exponent - mantissa_bits);
    const double rounded = std::nearbyint(v / unit) * unit;  // ties to even: the default mode
    const double overflow = std::ldexp(1.0, max_exponent_field - bias);
    return std::fabs(rounded) >= overflow ? std::copysign(kInfinity, v) : rounded;
  }
};
constexpr Format kFp16{10, 15, 31}, kBf16{7, 127, 255};

float Decode(DType type, uint16_t h) { return type == DType::kF16 ? Fp16ToFloat(h) : Bf16ToFloat(h); }
uint16_t Encode(DType type, float v) { return type == DType::kF16 ? FloatToFp16(v) : FloatToBf16(v); }

class HalfTest : public ::testing::TestWithParam<DType> {
 protected:
  const Format& format() const { return GetParam() == DType::kF16 ? kFp16 : kBf16; }

  void ExpectRounded(float v) const {
    const double expected = format().Round(v);
    const float got = Decode(GetParam(), Encode(GetParam(), v));
    ASSERT_EQ(got, expected) << std::hexfloat << v;
    ASSERT_EQ(std::signbit(got), std::signbit(v)) << std::hexfloat << v;
  }
};

TEST_P(HalfTest, EveryPatternDecodesAsDefined) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const double expected = format().Decode(h);
    const float got = Decode(GetParam(), static_cast<uint16_t>(h));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << h;
    } else {
      ASSERT_EQ(got, expected) << h;
      ASSERT_EQ(std::signbit(got), (h & 0x8000u) != 0) << h;
    }
  }
}

TEST_P(HalfTest, EveryPatternSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const uint16_t back = Encode(GetParam(), Decode(GetParam(), static_cast<uint16_t>(h)));
    if (std::isnan(format().Decode(h))) {
      ASSERT_TRUE(std::isnan(format().Decode(back))) << h;
      ASSERT_EQ(back & 0x8000u, h & 0x8000u) << h;
    } else {
      ASSERT_EQ(back, h);
    }
  }
}

TEST_P(HalfTest, MidpointsGoToEvenAndTheirNeighboursToTheNearest) {
  for (uint32_t h = 0; h < 0x7fff; ++h) {
    const double low = format().Decode(h);
    double high = format().Decode(h + 1);
    if (!std::isfinite(low)) break;
    if (std::isinf(high)) high = low + (low - format().Decode(h - 1));  // where infinity begins to be nearer
    const auto middle = static_cast<float>(0.5 * (low + high));
    for (const float v : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, kInfinity)}) {
      ExpectRounded(v);
      ExpectRounded(-v);
    }
  }
}

TEST_P(HalfTest, RandomFloatsRoundToTheNearest) {
  constexpr uint64_t kSeed = 3;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int i = 0; i < 200000; ++i) {
    const auto v = std::bit_cast<float>(static_cast<uint32_t>(random.NextU64() >> 32));
    if (!std::isnan(v)) ExpectRounded(v);
  }
}

TEST_P(HalfTest, RowsConvertAsSingleNumbersDoAtAnyAlignment) {
  constexpr uint64_t kSeed = 4;
  SCOPED_TRACE(kSeed);
  std::vector<unsigned char> bytes(2 * 65536 + 1);
  for (uint32_t h = 0; h < 65536; ++h) {
    bytes[1 + 2 * h] = static_cast<unsigned char>(h & 255);
    bytes[2 + 2 * h] = static_cast<unsigned char>(h >> 8);
  }
  std::vector<float> row(65536);
  DequantizeRow(GetParam(), bytes.data() + 1, row.data(), 65536);
  for (uint32_t h = 0; h < 65536; ++h) {
    ASSERT_EQ(std::bit_cast<uint32_t>(row[h]),
              std::bit_cast<uint32_t>(Decode(GetParam(), static_cast<uint16_t>(h))));
  }
  Random random(kSeed);
  for (float& v : row) v = std::bit_cast<float>(static_cast<uint32_t>(random.NextU64() >> 32));
  QuantizeRow(GetParam(), row.data(), bytes.data() + 1, 65536);
  for (uint32_t i = 0; i < 65536; ++i) {
    ASSERT_EQ(bytes[1 + 2 * i] | (bytes[2 + 2 * i] << 8), Encode(GetParam(), row[i]))
        << std::hexfloat << row[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, HalfTest, ::testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& instance) { return std::string(Name(instance.param)); });

TEST(DType, NamesAreReadInAnyCase) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    std::string upper(Name(type));
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(DTypeFromName(Name(type)), type);
    EXPECT_EQ(DTypeFromName(upper), type);
  }
  EXPECT_EQ(DTypeFromName("q4_K"), DType::kQ4_K);
  for (const char* unknown : {"", "q4", "q4_2", "f16 ", " f16", "float"})
    EXPECT_EQ(DTypeFromName(unknown), std::nullopt);
}

TEST(DType, RowBytesCountsWholeBlocksOnly) {
  EXPECT_EQ(RowBytes(DType::kF32, 3), 12u);
  EXPECT_EQ(RowBytes(DType::kBF16, 0), 0u);
  EXPECT_EQ(RowBytes(DType::kQ4_0, 64), 36u);
  EXPECT_EQ(RowBytes(DType::kQ4_0, 33), std::nullopt);
  EXPECT_EQ(RowBytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(RowBytes(DType::kQ6_K, 128), std::nullopt);
}

TEST(Shape, NumElementsRefusesNegativeAndHugeShapes) {
  EXPECT_EQ(NumElements({}), 1);
  EXPECT_EQ(NumElements({2, 3, 4}), 24);
  EXPECT_EQ(NumElements({5, 0}), 0);
  EXPECT_EQ(NumElements({-1, 4}), std::nullopt);
  EXPECT_EQ(NumElements({int64_t{1} << 32, int64_t{1} << 31}), std::nullopt);
  EXPECT_EQ(NumElements({int64_t{1} << 31, int64_t{1} << 31}), int64_t{1} << 62);
}

TEST(Shape, NumBytesRefusesBrokenBlocksAndOverflow) {
  EXPECT_EQ(NumBytes(DType::kF16, {3, 5}), 30u);
  EXPECT_EQ(NumBytes(DType::kF32, {}), 4u);
  EXPECT_EQ(NumBytes(DType::kQ8_0, {4, 64}), 4u * 68u);
  EXPECT_EQ(NumBytes(DType::kQ8_0, {64, 4}), std::nullopt);  // whole blocks in sum, but not in each row
  EXPECT_EQ(NumBytes(DType::kQ8_0, {}), std::nullopt);
  EXPECT_EQ(NumBytes(DType::kF32, {int64_t{1} << 62}), std::nullopt);
  EXPECT_EQ(NumBytes(DType::kF16, {int64_t{1} << 62}), uint64_t{1} << 63);
  EXPECT_EQ(NumBytes(DType::kF32, {2, -2}), std::nullopt);
}

}  // namespace
}  // namespace tern
