// JSON Schema's numbers: bounds and multiples.
#pragma once

#include <compare>
#include <optional>

#include "base/status.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_values.h"
#include "infer/regular_numbers.h"

namespace tern {

/// A number's exact decimal value: of one that is no whole number of 64 bits, the shortest that is read as
/// the same double.
Result<Decimal> JsonDecimal(const Json& number);

/// Compares two numbers by JsonDecimal. (JSON's library compares signed with unsigned ones by a cast, and whole ones with
/// others as doubles.) Unordered where one of them is not a number.
std::partial_ordering CompareNumbers(const Json& a, const Json& b);

/// Whether a number is a whole multiple of `step`, exactly; nothing where `step` is not above 0.
std::optional<bool> IsMultipleOf(const Json& number, const Json& step);

/// What minimum, maximum, exclusiveMinimum and exclusiveMaximum (numbers, or draft 4's booleans) and
/// multipleOf say; all other keywords are ignored.
Result<NumberRule> JsonNumberRule(const PlacedSchema& placed, bool whole);

}  // namespace tern
