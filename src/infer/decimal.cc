#include "infer/decimal.h"

#include <algorithm>

namespace tern {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Removes and returns the digits at the beginning of a text.
std::string_view TakeDigits(std::string_view* text) {
  size_t count = 0;
  while (count < text->size() && IsDigit((*text)[count])) ++count;
  const std::string_view digits = text->substr(0, count);
  text->remove_prefix(count);
  return digits;
}

bool TakeChar(char c, std::string_view* text) {
  if (!text->starts_with(c)) return false;
  text->remove_prefix(1);
  return true;
}

Status NoNumber(std::string_view text) {
  return InvalidArgument("'" + std::string(text.substr(0, 60)) + "' is not a number");
}

/// Reads an exponent after its "e". A huge one becomes a smaller one that is still too large.
Result<int32_t> TakeExponent(std::string_view whole, std::string_view* text) {
  const bool negative = TakeChar('-', text);
  if (!negative) TakeChar('+', text);
  const std::string_view digits = TakeDigits(text);
  if (digits.empty()) return NoNumber(whole);
  int32_t value = 0;
  for (const char digit : digits) value = std::min(value * 10 + (digit - '0'), 1'000'000);
  return negative ? -value : value;
}

}  // namespace

Result<Decimal> Decimal::Parse(std::string_view text) {
  std::string_view rest = text;
  Decimal number;
  number.negative_ = TakeChar('-', &rest);
  const std::string_view whole = TakeDigits(&rest);
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return NoNumber(text);
  std::string_view fraction;
  if (TakeChar('.', &rest)) {
    fraction = TakeDigits(&rest);
    if (fraction.empty()) return NoNumber(text);
  }
  int32_t exponent = 0;
  if (TakeChar('e', &rest) || TakeChar('E', &rest)) {
    TERN_ASSIGN_OR_RETURN(exponent, TakeExponent(text, &rest));
  }
  if (!rest.empty()) return NoNumber(text);

  std::string digits = std::string(whole) + std::string(fraction);
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) return Decimal();
  digits.erase(digits.find_last_not_of('0') + 1);
  digits.erase(0, first);
  const int64_t point = int64_t{exponent} + static_cast<int64_t>(whole.size()) - static_cast<int64_t>(first);
  if (digits.size() > kMaxDigits || point > kMaxPoint || point < -kMaxPoint)
    return Unsupported("the number " + std::string(text.substr(0, 60)) + " is too large, small or long");
  number.digits_ = std::move(digits);
  number.point_ = static_cast<int32_t>(point);
  return number;
}

Decimal Decimal::Magnitude() const {
  Decimal magnitude = *this;
  magnitude.negative_ = false;
  return magnitude;
}

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (negative_ != other.negative_)
    return negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  if (zero() || other.zero()) return !zero() <=> !other.zero();  // neither is negative
  const Decimal& small = negative_ ? other : *this;  // of two negative numbers the other way round
  const Decimal& large = negative_ ? *this : other;
  if (small.point_ != large.point_) return small.point_ <=> large.point_;
  return small.digits_.compare(large.digits_) <=> 0;  // no trailing zeros: a prefix is less
}

}  // namespace tern
