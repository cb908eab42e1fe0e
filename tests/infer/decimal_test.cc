// Decimal numbers are read exactly and compared by their values.
#include "infer/decimal.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tern {
namespace {

Decimal DecimalOf(const std::string& text) {
  const auto number = Decimal::Parse(text);
  EXPECT_TRUE(number.ok()) << text;
  return number.ok() ? *number : Decimal();
}

TEST(DecimalTest, OneValueHasOneFormHoweverItIsWritten) {
  EXPECT_EQ(DecimalOf("120"), DecimalOf("1.2e2"));
  EXPECT_EQ(DecimalOf("0.0012"), DecimalOf("12E-4"));
  EXPECT_EQ(DecimalOf("-0.0"), DecimalOf("0e99"));
  EXPECT_EQ(DecimalOf("12.50").digits(), "125");
  EXPECT_EQ(DecimalOf("12.50").point(), 2);
  EXPECT_EQ(DecimalOf("0.05").point(), -1);
  EXPECT_TRUE(DecimalOf("-3").negative());
  EXPECT_FALSE(DecimalOf("-3").Magnitude().negative());
}

TEST(DecimalTest, TheOrderIsThatOfTheValues) {
  const std::vector<std::string> ascending = {"-1e300", "-12.5",  "-12.49", "-2",   "-0.001",
                                              "0",      "1e-300", "0.1",    "0.11", "0.2",
                                              "1.9",    "2",      "2.01",   "10",   "1e300"};
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j)
      EXPECT_EQ(DecimalOf(ascending[i]) <=> DecimalOf(ascending[j]), i <=> j)
          << ascending[i] << " " << ascending[j];
  }
}

TEST(DecimalTest, WhatIsNoNumberOfJsonIsRefused) {
  for (const char* text : {"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1 ", "0x1", "1.5.2", "--1", "NaN"})
    EXPECT_EQ(Decimal::Parse(text).status().code(), StatusCode::kInvalidArgument) << text;
}

TEST(DecimalTest, WholeNumbersBeyondSixtyFourBitsAreHeldExactlyOrNot) {
  for (const char* held : {"0", "-9223372036854775808", "18446744073709551615", "100000000000000000000", "1e30",
                           "0.1234567890123456789012345", "18446744073709552000"}) {
    EXPECT_TRUE(IsHeldExactly(held)) << held;
  }
  for (const char* lost : {"18446744073709551617", "-9223372036854775809", "123456789012345678901234567890"}) {
    EXPECT_FALSE(IsHeldExactly(lost)) << lost;
  }
  EXPECT_EQ(FindInexactNumber(R"({"a\"1":"18446744073709551617","b":[1,-2.5e3,18446744073709551617,3]})"),
            "18446744073709551617");
  EXPECT_EQ(FindInexactNumber(R"({"minimum":5,"pattern":"\\d{18446744073709551617}"})"), "");
}

TEST(DecimalTest, NumbersBeyondTheLimitsAreRefused) {
  const std::string digits(Decimal::kMaxDigits, '7');
  EXPECT_TRUE(Decimal::Parse(digits).ok());
  for (const std::string& text :
       {"0." + digits + "1", std::string("1e400"), std::string("1e-99999999999999999999")})
    EXPECT_EQ(Decimal::Parse(text).status().code(), StatusCode::kUnsupported) << text;
}

}  // namespace
}  // namespace tern
