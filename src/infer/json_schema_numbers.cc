#include "infer/json_schema_numbers.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tern {
namespace {

constexpr int64_t kExactDouble = int64_t{1} << 53;

Status RefuseNumber(const std::string& pointer, std::string_view key, const std::string& why) {
  return Unsupported(PointerTo(pointer, key) + ": " + why);
}

/// The whole numbers within a schema's bounds; `limit` where it has none.
struct Range {
  int64_t low, high;
};
Result<Range> Bounds(const PlacedSchema& placed, int64_t limit) {
  Range range{-limit, limit};
  for (const char* key : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    if (!placed.schema.contains(key)) continue;
    const Json& value = placed.schema[key];
    if (!value.is_number()) return InvalidArgument(PointerTo(placed.pointer, key) + ": not a number");
    const bool low =
        std::string_view(key).find("Min") != std::string_view::npos || key == std::string_view("minimum");
    const bool exclusive = key[0] == 'e';
    const double real = std::clamp(value.get<double>(), -2e18, 2e18);
    int64_t bound =
        value.is_number_unsigned()
            ? static_cast<int64_t>(std::min<uint64_t>(value.get<uint64_t>(), 2000000000000000000u))
        : value.is_number_integer()
            ? std::clamp<int64_t>(value.get<int64_t>(), -2000000000000000000, 2000000000000000000)
            : static_cast<int64_t>(low ? std::ceil(real) : std::floor(real));
    const bool on_bound = value.is_number_integer() || std::floor(real) == real;
    if (exclusive && on_bound) bound += low ? 1 : -1;
    if (low)
      range.low = std::max(range.low, bound);
    else
      range.high = std::min(range.high, bound);
  }
  if (range.low > range.high)
    return InvalidArgument(placed.pointer + ": no number of " + std::to_string(kJsonDigits) +
                           " digits is within minimum and maximum");
  return range;
}

}  // namespace

Result<GrammarBuilder::Expr> JsonIntegerExpr(const PlacedSchema& placed, JsonExpressions* json) {
  TERN_ASSIGN_OR_RETURN(const Range range, Bounds(placed, kLargestJsonInteger));
  return json->Integer(range.low, range.high);
}

/// Bounds of other numbers are whole and inclusive, or there is none.
Result<GrammarBuilder::Expr> JsonNumberExpr(const PlacedSchema& placed, JsonExpressions* json) {
  bool bounded = false;
  for (const char* key : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    if (!placed.schema.contains(key)) continue;
    const Json& value = placed.schema[key];
    if (!value.is_number()) return InvalidArgument(PointerTo(placed.pointer, key) + ": not a number");
    const double real = value.get<double>();
    if (key[0] == 'e') return RefuseNumber(placed.pointer, key, "supported for integers alone");
    if (std::floor(real) != real || std::abs(real) > static_cast<double>(kExactDouble)) {
      return RefuseNumber(placed.pointer, key,
                          "a bound of numbers that are not integers must be whole and at most 2^53");
    }
    bounded = true;
  }
  if (!bounded) return json->Number();
  TERN_ASSIGN_OR_RETURN(const Range range, Bounds(placed, kExactDouble));
  return json->NumberBetween(range.low, range.high);
}

}  // namespace tern
