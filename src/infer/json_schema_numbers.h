// JSON Schema's numbers: bounds and multiples.
#pragma once

#include "base/status.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_values.h"
#include "infer/regular_numbers.h"

namespace tern {

/// A number's exact decimal value: of one that is no whole number of 64 bits, the shortest that is read as
/// the same double.
Result<Decimal> JsonDecimal(const Json& number);

/// What minimum, maximum, exclusiveMinimum and exclusiveMaximum (numbers, or draft 4's booleans) and
/// multipleOf say; all other keywords are ignored.
Result<NumberRule> JsonNumberRule(const PlacedSchema& placed, bool whole);

}  // namespace tern
