#include "infer/json_schema_numbers.h"

#include <string>

namespace tern {
namespace {

/// The number that a keyword has.
Result<Decimal> KeywordDecimal(const PlacedSchema& placed, const char* key) {
  const auto value = JsonDecimal(placed.schema[key]);
  if (!value.ok()) return value.status().WithContext(PointerTo(placed.pointer, key));
  return *value;
}

/// Draft 4: a boolean says whether the bound beside it is outside.
bool IsExclusive(const PlacedSchema& placed, const char* key) {
  return placed.schema.contains(key) && placed.schema[key] == Json(true);
}

}  // namespace

Result<Decimal> JsonDecimal(const Json& number) {
  if (!number.is_number()) return InvalidArgument("not a number");
  return Decimal::Parse(number.dump());
}

Result<NumberRule> JsonNumberRule(const PlacedSchema& placed, bool whole) {
  NumberRule rule{.whole = whole};
  const Json& schema = placed.schema;
  if (schema.contains("minimum")) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "minimum"));
    rule.AtLeast({value, IsExclusive(placed, "exclusiveMinimum")});
  }
  if (schema.contains("maximum")) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "maximum"));
    rule.AtMost({value, IsExclusive(placed, "exclusiveMaximum")});
  }
  if (schema.contains("exclusiveMinimum") && !schema["exclusiveMinimum"].is_boolean()) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "exclusiveMinimum"));
    rule.AtLeast({value, true});
  }
  if (schema.contains("exclusiveMaximum") && !schema["exclusiveMaximum"].is_boolean()) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "exclusiveMaximum"));
    rule.AtMost({value, true});
  }
  if (schema.contains("multipleOf")) {
    TERN_ASSIGN_OR_RETURN(const Decimal value, KeywordDecimal(placed, "multipleOf"));
    if (value.zero() || value.negative())
      return InvalidArgument(PointerTo(placed.pointer, "multipleOf") + ": not above zero");
    rule.multiples.push_back(value);
  }
  return rule;
}

Result<GrammarBuilder::Expr> JsonNumberExpr(const PlacedSchema& placed, bool whole, RegularBudget* budget,
                                            JsonExpressions* json) {
  TERN_ASSIGN_OR_RETURN(const NumberRule rule, JsonNumberRule(placed, whole));
  if (rule == NumberRule()) return json->Number();
  const auto texts = NumberTexts(rule, budget);
  if (!texts.ok()) return texts.status().WithContext(placed.pointer);
  if (texts->empty()) return InvalidArgument(placed.pointer + ": no number is valid here");
  auto expr = json->PlainOf(*texts, budget);
  if (!expr.ok()) return expr.status().WithContext(placed.pointer);
  return expr;
}

}  // namespace tern
