// JSON Schema's numbers: bounds and multiples.
#pragma once

#include "base/status.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_values.h"

namespace tern {

/// The numbers that a schema allows.
Result<GrammarBuilder::Expr> JsonNumberExpr(const PlacedSchema& placed, JsonExpressions* json);
/// The whole numbers that a schema allows.
Result<GrammarBuilder::Expr> JsonIntegerExpr(const PlacedSchema& placed, JsonExpressions* json);

}  // namespace tern
