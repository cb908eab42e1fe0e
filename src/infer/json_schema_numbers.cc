#include "infer/json_schema_numbers.h"

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

namespace tern {
namespace {

/// The value of a keyword, which must be a number.
Result<Decimal> KeywordDecimal(const PlacedSchema& placed, const char* key) {
  const auto value = JsonDecimal(placed.schema[key]);
  if (!value.ok()) return value.status().WithContext(PointerTo(placed.pointer, key));
  return *value;
}

/// Draft 4: whether the boolean `key` makes the bound beside it exclusive.
bool IsExclusive(const PlacedSchema& placed, const char* key) {
  return placed.schema.contains(key) && placed.schema[key] == Json(true);
}

/// An exclusive bound. Programs read numbers as doubles: a text of many digits that is less than the bound may
/// be read as the bound itself. So for numbers that need not be whole the next double is taken, as an inclusive
/// bound.
Result<NumberRule::Bound> ExclusiveBound(const PlacedSchema& placed, const char* key, bool whole,
                                         double toward) {
  NumberRule::Bound bound;
  bound.exclusive = true;
  TERN_ASSIGN_OR_RETURN(bound.value, KeywordDecimal(placed, key));
  const double next = std::nextafter(placed.schema[key].get<double>(), toward);
  if (whole || bound.value.zero() || !std::isfinite(next)) return bound;
  TERN_ASSIGN_OR_RETURN(const Decimal inside, JsonDecimal(Json(next)));
  return NumberRule::Bound{inside};
}

}  // namespace

namespace {

/// Most numbers need no decimals: whole ones of 64 bits, and others where no whole one is beyond what a double holds.
std::optional<std::partial_ordering> CompareWithinRange(const Json& a, const Json& b) {
  constexpr double kExact = 0x1p53;
  if (!a.is_number() || !b.is_number()) return std::nullopt;
  if (a.is_number_unsigned() && b.is_number_unsigned()) return a.get<uint64_t>() <=> b.get<uint64_t>();
  const bool both_whole = a.is_number_integer() && b.is_number_integer();
  const bool both_signed = both_whole && !a.is_number_unsigned() && !b.is_number_unsigned();
  if (both_signed) return a.get<int64_t>() <=> b.get<int64_t>();
  if (both_whole && a.is_number_unsigned() && b.get<int64_t>() < 0) return std::partial_ordering::greater;
  if (both_whole && b.is_number_unsigned() && a.get<int64_t>() < 0) return std::partial_ordering::less;
  const double x = a.get<double>(), y = b.get<double>();
  const bool both_doubles = a.is_number_float() && b.is_number_float();
  if (both_doubles || (std::fabs(x) < kExact && std::fabs(y) < kExact)) return x <=> y;
  return std::nullopt;
}

}  // namespace

Result<Decimal> JsonDecimal(const Json& number) {
  if (!number.is_number()) return InvalidArgument("not a number");
  return Decimal::Parse(number.dump());
}

std::partial_ordering CompareNumbers(const Json& a, const Json& b) {
  if (const auto order = CompareWithinRange(a, b)) return *order;
  const auto left = JsonDecimal(a), right = JsonDecimal(b);
  if (!left.ok() || !right.ok()) return std::partial_ordering::unordered;
  return *left <=> *right;
}

std::optional<bool> IsMultipleOf(const Json& number, const Json& step) {
  const auto dividend = JsonDecimal(number), divisor = JsonDecimal(step);
  constexpr size_t kMostDigits = 30;  // of the divisor, so that ten times a remainder fits 128 bits
  if (!dividend.ok() || !divisor.ok() || divisor->zero() || divisor->negative()) return std::nullopt;
  if (divisor->digits().size() > kMostDigits) return std::nullopt;
  if (dividend->zero()) return true;
  // Both are digits times a power of ten, and the last digit is not 0.
  const auto power = [](const Decimal& d) { return d.point() - static_cast<int32_t>(d.digits().size()); };
  const int32_t zeros = power(*dividend) - power(*divisor);
  if (zeros < 0) return false;
  unsigned __int128 whole = 0, rest = 0;
  for (const char digit : divisor->digits()) whole = whole * 10 + static_cast<unsigned>(digit - '0');
  for (const char digit : dividend->digits()) rest = (rest * 10 + static_cast<unsigned>(digit - '0')) % whole;
  for (int32_t i = 0; i < zeros; ++i) rest = rest * 10 % whole;
  return rest == 0;
}

Result<NumberRule> JsonNumberRule(const PlacedSchema& placed, bool whole) {
  NumberRule rule{.whole = whole};
  const Json& schema = placed.schema;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& [key, exclusive_key, toward] : {std::tuple("minimum", "exclusiveMinimum", kInfinity),
                                                   std::tuple("maximum", "exclusiveMaximum", -kInfinity)}) {
    const auto narrow = [&rule, lower = toward > 0](const NumberRule::Bound& bound) {
      if (lower) return rule.AtLeast(bound);
      rule.AtMost(bound);
    };
    if (schema.contains(key) && IsExclusive(placed, exclusive_key)) {
      TERN_ASSIGN_OR_RETURN(const auto bound, ExclusiveBound(placed, key, whole, toward));
      narrow(bound);
    } else if (schema.contains(key)) {
      TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, key));
      narrow({value});
    }
    if (schema.contains(exclusive_key) && !schema[exclusive_key].is_boolean()) {
      TERN_ASSIGN_OR_RETURN(const auto bound, ExclusiveBound(placed, exclusive_key, whole, toward));
      narrow(bound);
    }
  }
  if (schema.contains("multipleOf")) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "multipleOf"));
    if (value.zero() || value.negative())
      return InvalidArgument(PointerTo(placed.pointer, "multipleOf") + ": not above zero");
    rule.multiples.push_back(value);
  }
  return rule;
}

}  // namespace tern
