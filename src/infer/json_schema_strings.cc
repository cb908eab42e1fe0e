#include "infer/json_schema_strings.h"

#include <cmath>
#include <string>

#include "infer/json_schema_formats.h"

namespace tern {
namespace {

Status RefuseString(const std::string& pointer, std::string_view key, const std::string& why) {
  return Unsupported(PointerTo(pointer, key) + ": " + why);
}

}  // namespace

Result<int32_t> JsonCount(const PlacedSchema& placed, const char* key, int32_t absent) {
  if (!placed.schema.contains(key)) return absent;
  const Json& value = placed.schema[key];
  const bool whole = value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  if (!whole || value.get<double>() < 0)
    return InvalidArgument(PointerTo(placed.pointer, key) + ": not a count");
  const double count = value.get<double>();
  if (count <= GrammarLimits::kRepeats) return static_cast<int32_t>(count);
  if (std::string_view(key).starts_with("max")) return GrammarLimits::kRepeats;
  return RefuseString(placed.pointer, key, "more than " + std::to_string(GrammarLimits::kRepeats));
}

Result<GrammarBuilder::Expr> JsonStringExpr(const PlacedSchema& placed, JsonExpressions* json) {
  const auto& [schema, pointer] = placed;
  const bool pattern = schema.contains("pattern");
  const bool format = schema.contains("format");
  if (pattern && format) return RefuseString(pointer, "format", "pattern and format cannot be combined");
  for (const char* length : {"minLength", "maxLength"}) {
    if ((pattern || format) && schema.contains(length)) {
      return RefuseString(pointer, length, "a length cannot be combined with a pattern or a format");
    }
  }
  for (const char* key : {"pattern", "format"}) {
    if (schema.contains(key) && !schema[key].is_string())
      return InvalidArgument(PointerTo(pointer, key) + ": not a text");
  }
  if (pattern || format) {
    const char* key = pattern ? "pattern" : "format";
    const std::string text = schema[key].get<std::string>();
    const std::string expression = pattern ? text : PatternOfFormat(text);
    if (!pattern && expression.empty()) {
      return RefuseString(
          pointer, key, "'" + text + "' is not among the formats that are supported: " + SupportedFormats());
    }
    auto string = json->StringOfPattern(expression);
    if (!string.ok()) return string.status().WithContext(PointerTo(pointer, key));
    return string;
  }
  TERN_ASSIGN_OR_RETURN(const int32_t min, JsonCount(placed, "minLength", 0));
  TERN_ASSIGN_OR_RETURN(const int32_t max, JsonCount(placed, "maxLength", kUnlimited));
  if (max != kUnlimited && min > max)
    return InvalidArgument(PointerTo(pointer, "minLength") + ": more than maxLength");
  return json->String(min, max);
}

}  // namespace tern
