#include "infer/json_schema_merge.h"

#include <array>
#include <cmath>
#include <utility>

namespace tern {
namespace {

using KeywordType = std::pair<std::string_view, uint32_t>;
constexpr std::array<KeywordType, 7> kTypeNames = {{{"null", kJsonNull},
                                                    {"boolean", kJsonBoolean},
                                                    {"object", kJsonObject},
                                                    {"array", kJsonArray},
                                                    {"string", kJsonString},
                                                    {"integer", kJsonInteger},
                                                    {"number", kJsonNumber}}};
constexpr std::array<KeywordType, 26> kKeywordTypes = {{{"properties", kJsonObject},
                                                        {"patternProperties", kJsonObject},
                                                        {"additionalProperties", kJsonObject},
                                                        {"propertyNames", kJsonObject},
                                                        {"required", kJsonObject},
                                                        {"minProperties", kJsonObject},
                                                        {"maxProperties", kJsonObject},
                                                        {"dependencies", kJsonObject},
                                                        {"dependentRequired", kJsonObject},
                                                        {"dependentSchemas", kJsonObject},
                                                        {"items", kJsonArray},
                                                        {"prefixItems", kJsonArray},
                                                        {"additionalItems", kJsonArray},
                                                        {"minItems", kJsonArray},
                                                        {"maxItems", kJsonArray},
                                                        {"uniqueItems", kJsonArray},
                                                        {"contains", kJsonArray},
                                                        {"minLength", kJsonString},
                                                        {"maxLength", kJsonString},
                                                        {"pattern", kJsonString},
                                                        {"format", kJsonString},
                                                        {"minimum", kJsonNumber},
                                                        {"maximum", kJsonNumber},
                                                        {"exclusiveMinimum", kJsonNumber},
                                                        {"exclusiveMaximum", kJsonNumber},
                                                        {"multipleOf", kJsonNumber}}};

uint32_t Lookup(const auto& table, std::string_view name) {
  for (const auto& [known, bits] : table) {
    if (known == name) return bits;
  }
  return 0;
}

}  // namespace

uint32_t JsonTypeByName(std::string_view name) { return Lookup(kTypeNames, name); }
uint32_t TypeAbout(std::string_view keyword) { return Lookup(kKeywordTypes, keyword); }

uint32_t JsonTypeOf(const Json& value) {
  if (value.is_null()) return kJsonNull;
  if (value.is_boolean()) return kJsonBoolean;
  if (value.is_object()) return kJsonObject;
  if (value.is_array()) return kJsonArray;
  if (value.is_string()) return kJsonString;
  const bool whole = value.is_number_integer() || std::floor(value.get<double>()) == value.get<double>();
  return whole ? kJsonInteger : kJsonFraction;
}

}  // namespace tern
