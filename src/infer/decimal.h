// Decimal numbers, exact: what bounds and multiples are compared with.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tern {

/// ± 0.d1d2d3… · 10^point. A value.
class Decimal {
 public:
  /// Zero.
  Decimal() = default;
  /// A number as JSON writes it. InvalidArgument for other texts; kUnsupported for more than kMaxDigits
  /// digits and for a point beyond ± kMaxPoint.
  static Result<Decimal> Parse(std::string_view text);

  static constexpr size_t kMaxDigits = 400;
  static constexpr int32_t kMaxPoint = 400;

  bool negative() const { return negative_; }  ///< never for zero
  bool zero() const { return digits_.empty(); }
  /// Without zeros in front or behind; empty for zero.
  const std::string& digits() const { return digits_; }
  /// Digits of `digits` before the decimal point; may be negative or more than there are.
  int32_t point() const { return point_; }
  Decimal Magnitude() const;

  std::strong_ordering operator<=>(const Decimal& other) const;
  bool operator==(const Decimal& other) const = default;

 private:
  bool negative_ = false;
  std::string digits_;
  int32_t point_ = 0;
};

/// Whether a JSON number that is written in digits alone can be had exactly from what a JSON parser makes of it: it fits 64
/// bits, or is the shortest decimal of its double. True for all numbers with a point or an exponent.
bool IsHeldExactly(std::string_view number);

/// The first number of a JSON text that is not held exactly; empty where there is none.
std::string_view FindInexactNumber(std::string_view json);

}  // namespace tern
