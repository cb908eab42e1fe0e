#include "infer/decimal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

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

bool IsHeldExactly(std::string_view number) {
  constexpr size_t kAlwaysFits = 18;  // digits of 64 bits
  if (number.size() <= kAlwaysFits || number.find_first_of(".eE") != std::string_view::npos) return true;
  const char* end = number.data() + number.size();
  int64_t whole = 0;
  uint64_t unsigned_whole = 0;
  if (std::from_chars(number.data(), end, whole).ec == std::errc()) return true;
  if (std::from_chars(number.data(), end, unsigned_whole).ec == std::errc()) return true;
  double value = 0;
  if (std::from_chars(number.data(), end, value).ec != std::errc()) return true;  // no JSON parser takes it
  const auto exact = Decimal::Parse(number), held = Decimal::Parse(fmt::format("{}", value));
  return exact.ok() && held.ok() && *exact == *held;
}

std::string_view FindInexactNumber(std::string_view json) {
  constexpr std::string_view kOfNumbers = "+-.0123456789eE";
  bool in_text = false;
  for (size_t at = 0; at < json.size(); ++at) {
    if (in_text) {
      if (json[at] == '\\') ++at;
      else if (json[at] == '"') in_text = false;
      continue;
    }
    in_text = json[at] == '"';
    if (json[at] != '-' && (json[at] < '0' || json[at] > '9')) continue;
    const size_t end = std::min(json.find_first_not_of(kOfNumbers, at), json.size());
    const std::string_view number = json.substr(at, end - at);
    if (!IsHeldExactly(number)) return number;
    at = end - 1;
  }
  return {};
}

}  // namespace tern
