#include "infer/json_schema_merge.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace tern {
namespace {

constexpr std::array<std::pair<std::string_view, uint32_t>, 7> kTypes = {{{"null", kJsonNull},
                                                                          {"boolean", kJsonBoolean},
                                                                          {"object", kJsonObject},
                                                                          {"array", kJsonArray},
                                                                          {"string", kJsonString},
                                                                          {"integer", kJsonInteger},
                                                                          {"number", kJsonNumber}}};

/// Keywords about one type.
uint32_t TypeAbout(std::string_view key) {
  if (key == "properties" || key == "required" || key == "additionalProperties") return kJsonObject;
  if (key == "items" || key == "prefixItems" || key == "minItems" || key == "maxItems" ||
      key == "additionalItems") {
    return kJsonArray;
  }
  if (key == "minLength" || key == "maxLength" || key == "pattern" || key == "format") return kJsonString;
  if (key == "minimum" || key == "maximum" || key == "exclusiveMinimum" || key == "exclusiveMaximum")
    return kJsonNumber;
  return 0;
}

/// The types that "type" allows; all where it is absent or not understood.
uint32_t AllowedTypes(const Json& schema) {
  if (!schema.is_object() || !schema.contains("type")) return kJsonAnyType;
  const Json& type = schema["type"];
  uint32_t types = 0;
  if (type.is_string()) types = JsonTypeByName(type.get<std::string>());
  if (type.is_array()) {
    for (const Json& one : type) types |= one.is_string() ? JsonTypeByName(one.get<std::string>()) : 0;
  }
  return types;
}

uint32_t CommonTypes(uint32_t a, uint32_t b) {
  const auto widen = [](uint32_t types) {
    return types | ((types & kJsonNumber) != 0 ? uint32_t{kJsonInteger} : 0u);
  };
  const uint32_t common = widen(a) & widen(b);
  return (common & kJsonNumber) != 0 ? common & ~uint32_t{kJsonInteger} : common;
}

/// The values of enum or const; null where there is neither.
Json ValuesOf(const Json& schema) {
  if (schema.contains("const")) return Json::array({schema["const"]});
  return schema.contains("enum") && schema["enum"].is_array() ? schema["enum"] : Json();
}

bool Has(const Json& array, const Json& value) {
  return std::find(array.begin(), array.end(), value) != array.end();
}

bool Requires(const Json& schema, const std::string& name) {
  return schema.contains("required") && schema["required"].is_array() && Has(schema["required"], name);
}

/// What a schema says about a property; `absent` where it is silent.
Json PropertyOf(const Json& schema, const std::string& name, const Json& absent) {
  if (schema.contains("properties") && schema["properties"].is_object() &&
      schema["properties"].contains(name)) {
    return schema["properties"][name];
  }
  return schema.contains("additionalProperties") ? schema["additionalProperties"] : absent;
}

/// Whether additional properties are written for it: where it has no properties at all, they are.
Json WrittenAdditional(const Json& schema) {
  return schema.contains("properties") ? Json(false) : Json(true);
}

}  // namespace

uint32_t JsonTypeByName(std::string_view name) {
  for (const auto& [known, bit] : kTypes) {
    if (known == name) return bit;
  }
  return 0;
}

uint32_t JsonTypeOf(const Json& value) {
  if (value.is_null()) return kJsonNull;
  if (value.is_boolean()) return kJsonBoolean;
  if (value.is_object()) return kJsonObject;
  if (value.is_array()) return kJsonArray;
  if (value.is_string()) return kJsonString;
  return value.is_number_integer() ? kJsonInteger : kJsonNumber;
}

bool IsAnnotation(std::string_view keyword) {
  constexpr std::array<std::string_view, 20> kAnnotations = {
      "title",      "description",     "default",          "examples",      "example",
      "deprecated", "readOnly",        "$schema",          "writeOnly",     "$id",
      "$comment",   "$defs",           "definitions",      "$anchor",       "xml",
      "id",         "contentEncoding", "contentMediaType", "discriminator", "externalDocs"};
  return keyword.starts_with("x-") ||
         std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end();
}

bool Asserts(const Json& schema) {
  if (!schema.is_object()) return true;
  return std::any_of(schema.items().begin(), schema.items().end(),
                     [](const auto& item) { return !IsAnnotation(item.key()); });
}

std::string PointerTo(const std::string& pointer, std::string_view step) {
  std::string all = pointer + "/";
  for (const char c : step)
    all += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return all;
}

uint32_t WrittenTypes(const Json& schema) {
  if (!schema.is_object()) return kJsonAnyType;
  const Json values = ValuesOf(schema);
  if (values.is_array()) {
    uint32_t types = 0;
    for (const Json& value : values) types |= JsonTypeOf(value);
    return CommonTypes(types, AllowedTypes(schema));
  }
  if (schema.contains("type")) return AllowedTypes(schema);
  uint32_t types = 0;
  for (const auto& [key, value] : schema.items()) types |= TypeAbout(key);
  return types != 0 ? types : kJsonAnyType;
}

Status JsonSchemaAlgebra::Spend(const std::string& pointer) {
  if (++steps_ <= kMaxSteps) return OkStatus();
  return Exhausted(pointer +
                   ": the schema is too large once its references and combinations are carried out");
}

Result<PlacedSchema> JsonSchemaAlgebra::Resolve(const std::string& reference, const std::string& at) {
  TERN_RETURN_IF_ERROR(Spend(at));
  const std::string where = PointerTo(at, "$ref");
  if (!reference.starts_with("#") || (reference.size() > 1 && reference[1] != '/')) {
    return Unsupported(where + ": '" + reference + "' is not a pointer within the schema ('#/$defs/…')");
  }
  try {
    const std::string path = reference.substr(1);
    return PlacedSchema{document_.at(Json::json_pointer(path)), "#" + path};
  } catch (const nlohmann::json::exception&) {
    return InvalidArgument(where + ": there is nothing at '" + reference + "'");
  }
}

Result<Json> JsonSchemaAlgebra::Flatten(const Json& schema, const std::string& pointer, int32_t depth) {
  TERN_RETURN_IF_ERROR(Spend(pointer));
  if (depth > kMaxDepth) return InvalidArgument(pointer + ": references and allOf never come to an end");
  if (!schema.is_object() || (!schema.contains("$ref") && !schema.contains("allOf"))) return schema;
  Json flat = schema;
  flat.erase("$ref");
  flat.erase("allOf");
  if (schema.contains("$ref")) {
    if (!schema["$ref"].is_string()) return InvalidArgument(PointerTo(pointer, "$ref") + ": not a text");
    TERN_ASSIGN_OR_RETURN(const PlacedSchema target, Resolve(schema["$ref"].get<std::string>(), pointer));
    TERN_ASSIGN_OR_RETURN(const Json other, Flatten(target.schema, target.pointer, depth + 1));
    TERN_ASSIGN_OR_RETURN(flat, Merge(other, flat, pointer, depth + 1));
  }
  if (schema.contains("allOf")) {
    const std::string all = PointerTo(pointer, "allOf");
    if (!schema["allOf"].is_array() || schema["allOf"].empty())
      return InvalidArgument(all + ": not a list of schemas");
    for (size_t i = 0; i < schema["allOf"].size(); ++i) {
      const std::string at = PointerTo(all, std::to_string(i));
      TERN_ASSIGN_OR_RETURN(const Json part, Flatten(schema["allOf"][i], at, depth + 1));
      TERN_ASSIGN_OR_RETURN(flat, Merge(flat, part, at, depth + 1));
    }
  }
  return flat;
}

Result<Json> JsonSchemaAlgebra::Merge(const Json& a, const Json& b, const std::string& pointer,
                                      int32_t depth) {
  TERN_RETURN_IF_ERROR(Spend(pointer));
  if (depth > kMaxDepth)
    return InvalidArgument(pointer + ": schemas to be valid at once are nested too deep");
  if (a == Json(true)) return b;
  if (b == Json(true)) return a;
  if (a == Json(false) || b == Json(false)) return Json(false);
  if (!a.is_object() || !b.is_object())
    return InvalidArgument(pointer + ": a schema is an object or a boolean");
  Json merged = a;
  TERN_RETURN_IF_ERROR(MergeObjects(a, b, pointer, depth, &merged));
  for (const auto& [key, value] : b.items()) {
    if (key == "properties" || key == "additionalProperties" || IsAnnotation(key)) continue;
    if (!merged.contains(key)) {
      merged[key] = value;
    } else if (merged[key] != value) {
      TERN_RETURN_IF_ERROR(MergeKeyword(key, value, pointer, depth, &merged));
    }
  }
  return merged;
}

/// A keyword that both have, with different values.
Status JsonSchemaAlgebra::MergeKeyword(const std::string& key, const Json& value, const std::string& pointer,
                                       int32_t depth, Json* into) {
  Json& mine = (*into)[key];
  const bool numbers = mine.is_number() && value.is_number();
  if (key == "type") {
    const uint32_t common = CommonTypes(AllowedTypes({{"type", mine}}), AllowedTypes({{"type", value}}));
    if (common == 0) return InvalidArgument(PointerTo(pointer, key) + ": no type is allowed by all");
    mine = Json::array();
    for (const auto& [name, bit] : kTypes) {
      if ((common & bit) != 0) mine.push_back(name);
    }
    return OkStatus();
  }
  if (numbers && (key == "minLength" || key == "minItems" || key == "minimum" || key == "exclusiveMinimum")) {
    if (value > mine) mine = value;
    return OkStatus();
  }
  if (numbers && (key == "maxLength" || key == "maxItems" || key == "maximum" || key == "exclusiveMaximum")) {
    if (value < mine) mine = value;
    return OkStatus();
  }
  if ((key == "enum" || key == "required") && mine.is_array() && value.is_array()) {
    Json chosen = key == "required" ? mine : Json::array();
    for (const Json& one : value) {
      if (Has(mine, one) == (key == "enum")) chosen.push_back(one);
    }
    mine = std::move(chosen);
    return OkStatus();
  }
  if (key == "items") {
    TERN_ASSIGN_OR_RETURN(const Json a, Flatten(mine, pointer, depth + 1));
    TERN_ASSIGN_OR_RETURN(const Json b, Flatten(value, pointer, depth + 1));
    TERN_ASSIGN_OR_RETURN(mine, Merge(a, b, PointerTo(pointer, key), depth + 1));
    return OkStatus();
  }
  return Unsupported(PointerTo(pointer, key) + ": cannot be combined with another '" + key +
                     "' for the same value");
}

/// Properties of both; each also obeys what the other says of names that it does not list.
Status JsonSchemaAlgebra::MergeObjects(const Json& a, const Json& b, const std::string& pointer,
                                       int32_t depth, Json* into) {
  const bool any = a.contains("properties") || b.contains("properties");
  Json properties = Json::object();
  for (const Json* side : {&a, &b}) {
    if (!side->contains("properties")) continue;
    if (!(*side)["properties"].is_object())
      return InvalidArgument(PointerTo(pointer, "properties") + ": not an object");
    for (const auto& [name, schema] : (*side)["properties"].items()) {
      if (properties.contains(name)) continue;
      TERN_ASSIGN_OR_RETURN(const Json merged, MergeProperty(name, a, b, pointer, depth));
      if (merged != Json(false) || Requires(a, name) || Requires(b, name)) properties[name] = merged;
    }
  }
  if (any) (*into)["properties"] = std::move(properties);
  if (!b.contains("additionalProperties")) return OkStatus();
  const Json mine = a.contains("additionalProperties") ? a["additionalProperties"] : Json(true);
  TERN_ASSIGN_OR_RETURN(const Json flat, Flatten(b["additionalProperties"], pointer, depth + 1));
  TERN_ASSIGN_OR_RETURN(const Json flat_mine, Flatten(mine, pointer, depth + 1));
  TERN_ASSIGN_OR_RETURN((*into)["additionalProperties"], Merge(flat_mine, flat, pointer, depth + 1));
  return OkStatus();
}

Result<Json> JsonSchemaAlgebra::MergeProperty(const std::string& name, const Json& a, const Json& b,
                                              const std::string& pointer, int32_t depth) {
  const std::string at = PointerTo(PointerTo(pointer, "properties"), name);
  const Json of_a = PropertyOf(a, name, true);
  const Json of_b = PropertyOf(b, name, true);
  if (of_b == Json(true) || of_a == of_b) return of_a;  // references stay references: they may lead back here
  if (of_a == Json(true)) return of_b;
  TERN_ASSIGN_OR_RETURN(const Json flat_a, Flatten(of_a, at, depth + 1));
  TERN_ASSIGN_OR_RETURN(const Json flat_b, Flatten(of_b, at, depth + 1));
  return Merge(flat_a, flat_b, at, depth + 1);
}

bool JsonSchemaAlgebra::Excludes(const Json& a, const Json& b, int32_t depth) {
  if (depth > kMaxDepth) return false;
  const auto flat_a = Flatten(a, "", depth + 1);
  const auto flat_b = Flatten(b, "", depth + 1);
  if (!flat_a.ok() || !flat_b.ok()) return false;
  if (*flat_a == Json(false) || *flat_b == Json(false)) return true;
  if (!flat_a->is_object() || !flat_b->is_object()) return false;
  const uint32_t allowed =
      flat_b->contains("enum") || flat_b->contains("const") ? WrittenTypes(*flat_b) : AllowedTypes(*flat_b);
  const uint32_t common = CommonTypes(WrittenTypes(*flat_a), allowed);
  if (common == 0) return true;
  const Json mine = ValuesOf(*flat_a);
  const Json others = ValuesOf(*flat_b);
  if (mine.is_array() && others.is_array()) {
    return std::none_of(mine.begin(), mine.end(), [&](const Json& value) { return Has(others, value); });
  }
  if (common != kJsonObject) return false;
  if (flat_b->contains("required") && (*flat_b)["required"].is_array()) {
    for (const Json& name : (*flat_b)["required"]) {
      if (name.is_string() &&
          PropertyOf(*flat_a, name.get<std::string>(), WrittenAdditional(*flat_a)) == Json(false))
        return true;
    }
  }
  if (!flat_a->contains("required") || !(*flat_a)["required"].is_array()) return false;
  for (const Json& name : (*flat_a)["required"]) {
    if (!name.is_string()) continue;
    const std::string text = name.get<std::string>();
    if (Excludes(PropertyOf(*flat_a, text, WrittenAdditional(*flat_a)), PropertyOf(*flat_b, text, true),
                 depth + 1))
      return true;
  }
  return false;
}

}  // namespace tern
