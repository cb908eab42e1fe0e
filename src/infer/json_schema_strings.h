// JSON Schema's strings: pattern, format and lengths.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_values.h"

namespace tern {

/// The strings that a schema allows, with their quotes.
Result<GrammarBuilder::Expr> JsonStringExpr(const PlacedSchema& placed, JsonExpressions* json);

/// The value of a keyword that counts (minLength, maxItems …), `absent` where the schema does not have it.
/// One too large to be a maximum is the largest there is: that asks for less.
Result<int32_t> JsonCount(const PlacedSchema& placed, const char* key, int32_t absent);

}  // namespace tern
