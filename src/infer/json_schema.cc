#include "infer/json_schema.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "infer/grammar_builder.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_numbers.h"
#include "infer/json_schema_strings.h"
#include "infer/json_schema_values.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

constexpr size_t kSchemaBytes = size_t{1} << 17;
constexpr size_t kNameBytes = 256;

bool IsKnown(std::string_view key) {
  constexpr std::array<std::string_view, 25> kKnown = {"type",
                                                       "properties",
                                                       "required",
                                                       "additionalProperties",
                                                       "items",
                                                       "prefixItems",
                                                       "additionalItems",
                                                       "minItems",
                                                       "maxItems",
                                                       "enum",
                                                       "const",
                                                       "anyOf",
                                                       "oneOf",
                                                       "allOf",
                                                       "$ref",
                                                       "minLength",
                                                       "maxLength",
                                                       "pattern",
                                                       "format",
                                                       "exclusiveMinimum",
                                                       "exclusiveMaximum",
                                                       "minimum",
                                                       "maximum",
                                                       "uniqueItems",
                                                       "minProperties"};
  return std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end();
}

/// Before anything walks the document by recursion.
bool TooDeep(std::string_view text) {
  int32_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > GrammarLimits::kNesting) return true;
  }
  return false;
}

/// One compilation. Its functions take a schema with its JSON pointer and make the expression of its values.
class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& document) : algebra_(document), json_(&builder_) {}

  Result<std::shared_ptr<const Grammar>> Run(const Json& document) {
    places_.push_back("#");
    root_ = builder_.NewRule("the schema", 0);
    references_.emplace("#", root_);
    TERN_ASSIGN_OR_RETURN(const Expr value, Value({document, "#"}, 0));
    builder_.Define(root_, value);
    const Expr text = builder_.Sequence({json_.OptionalSpace(), builder_.Call(root_)});
    return builder_.Build(builder_.RuleOf(text, "the text", 0),
                          [this](size_t place) { return places_[place]; });
  }

 private:
  static Status Refuse(const std::string& pointer, std::string_view key, const std::string& why) {
    return Unsupported(PointerTo(pointer, key) + ": " + why);
  }

  Result<Expr> Value(const PlacedSchema& placed, int32_t depth) {
    const auto& [schema, pointer] = placed;
    TERN_RETURN_IF_ERROR(algebra_.Spend(pointer));
    if (depth > JsonSchemaAlgebra::kMaxDepth) return Unsupported(pointer + ": schemas are nested too deep");
    if (schema == Json(true)) return json_.AnyValue();
    if (schema == Json(false)) return InvalidArgument(pointer + ": nothing is valid here");
    if (!schema.is_object()) return InvalidArgument(pointer + ": a schema is an object or a boolean");
    TERN_RETURN_IF_ERROR(CheckKeywords(schema, pointer));
    if (schema.contains("$ref")) {
      Json rest = schema;
      rest.erase("$ref");
      if (!Asserts(rest)) return Reference(schema["$ref"], pointer, depth);
    }
    if (schema.contains("$ref") || schema.contains("allOf")) {
      TERN_ASSIGN_OR_RETURN(const Json flat, algebra_.Flatten(schema, pointer));
      return Value({flat, pointer}, depth + 1);
    }
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return Branches(placed, key, depth);
    }
    if (schema.contains("enum") || schema.contains("const")) return Values(schema, pointer);
    return Types(placed, depth);
  }

  static Status CheckKeywords(const Json& schema, const std::string& pointer) {
    for (const auto& [key, value] : schema.items()) {
      if (!IsKnown(key) && !IsAnnotation(key)) return Refuse(pointer, key, "this keyword is not supported");
      if (key == "uniqueItems" && value != Json(false))
        return Refuse(pointer, key, "unique items are not supported");
      if (key == "minProperties" && value != Json(0))
        return Refuse(pointer, key, "this keyword is not supported");
    }
    return OkStatus();
  }

  /// A rule for what is pointed to, so that it may point to itself.
  Result<Expr> Reference(const Json& reference, const std::string& pointer, int32_t depth) {
    if (!reference.is_string()) return InvalidArgument(PointerTo(pointer, "$ref") + ": not a text");
    TERN_ASSIGN_OR_RETURN(const PlacedSchema target, algebra_.Resolve(reference.get<std::string>(), pointer));
    const auto known = references_.find(target.pointer);
    if (known != references_.end()) return builder_.Call(known->second);
    places_.push_back(target.pointer);
    const GrammarBuilder::Rule rule = builder_.NewRule("the schema", places_.size() - 1);
    references_.emplace(target.pointer, rule);
    TERN_ASSIGN_OR_RETURN(const Expr value, Value(target, depth + 1));
    builder_.Define(rule, value);
    return builder_.Call(rule);
  }

  /// Each branch with what stands beside the keyword.
  Result<Expr> Branches(const PlacedSchema& placed, const char* key, int32_t depth) {
    const auto& [schema, pointer] = placed;
    const std::string at = PointerTo(pointer, key);
    const Json& branches = schema[key];
    if (!branches.is_array() || branches.empty()) return InvalidArgument(at + ": not a list of schemas");
    Json rest = schema;
    rest.erase(key);
    std::vector<Json> merged;
    std::vector<Expr> ways;
    for (size_t i = 0; i < branches.size(); ++i) {
      const std::string branch_at = PointerTo(at, std::to_string(i));
      Json branch = branches[i];
      if (Asserts(rest)) {
        TERN_ASSIGN_OR_RETURN(const Json flat, algebra_.Flatten(branch, branch_at));
        TERN_ASSIGN_OR_RETURN(const Json flat_rest, algebra_.Flatten(rest, pointer));
        TERN_ASSIGN_OR_RETURN(branch, algebra_.Merge(flat_rest, flat, branch_at));
      }
      if (branch == Json(false)) continue;
      TERN_ASSIGN_OR_RETURN(const Expr way, Value({branch, branch_at}, depth + 1));
      ways.push_back(way);
      merged.push_back(std::move(branch));
    }
    if (ways.empty()) return InvalidArgument(at + ": nothing is valid here");
    if (key == std::string_view("oneOf")) TERN_RETURN_IF_ERROR(CheckExclusive(merged, at));
    return json_.Rule(builder_.Choice(std::move(ways)));
  }

  Status CheckExclusive(const std::vector<Json>& branches, const std::string& at) {
    for (size_t i = 0; i < branches.size(); ++i) {
      for (size_t j = 0; j < branches.size(); ++j) {
        TERN_RETURN_IF_ERROR(algebra_.Spend(at));
        if (i == j || algebra_.Excludes(branches[i], branches[j])) continue;
        return Unsupported(at + ": a value of branch " + std::to_string(i) + " may be valid for branch " +
                           std::to_string(j) + " as well; use anyOf, or a property that tells them apart");
      }
    }
    return OkStatus();
  }

  /// enum and const: those of the types allowed. Nothing else may bind them.
  Result<Expr> Values(const Json& schema, const std::string& pointer) {
    for (const auto& [key, value] : schema.items()) {
      if (key == "enum" || key == "const" || key == "type" || IsAnnotation(key)) continue;
      return Refuse(pointer, key, "this keyword is not supported beside enum or const");
    }
    const bool both = schema.contains("enum") && schema.contains("const");
    const char* key = schema.contains("const") ? "const" : "enum";
    if (both) return Refuse(pointer, "const", "const and enum cannot be combined");
    const Json values = schema.contains("const") ? Json::array({schema["const"]}) : schema["enum"];
    if (!values.is_array() || values.empty())
      return InvalidArgument(PointerTo(pointer, key) + ": not a list of values");
    TERN_ASSIGN_OR_RETURN(const uint32_t types, TypesOf(schema, pointer));
    std::vector<Expr> ways;
    std::vector<std::string> texts;
    for (const Json& value : values) {
      const uint32_t type = JsonTypeOf(value);
      const bool allowed = (types & type) != 0 || (type == kJsonInteger && (types & kJsonNumber) != 0);
      if (!allowed) continue;
      if (value.is_structured()) {
        ways.push_back(json_.Literal(value));
      } else {
        texts.push_back(value.dump());
      }
    }
    if (!texts.empty()) ways.push_back(builder_.OneOf(std::move(texts)));
    if (ways.empty()) return InvalidArgument(PointerTo(pointer, key) + ": none of the values is of the type");
    return json_.Rule(builder_.Choice(std::move(ways)));
  }

  /// What "type" says; without it all types.
  static Result<uint32_t> TypesOf(const Json& schema, const std::string& pointer) {
    if (!schema.contains("type")) return uint32_t{kJsonAnyType};
    const std::string at = PointerTo(pointer, "type");
    const Json names = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    uint32_t types = 0;
    for (const Json& name : names) {
      const uint32_t type = name.is_string() ? JsonTypeByName(name.get<std::string>()) : 0;
      if (type == 0) return InvalidArgument(at + ": not a type");
      types |= type;
    }
    if (types == 0) return InvalidArgument(at + ": an empty list");
    return types;
  }

  Result<Expr> Types(const PlacedSchema& placed, int32_t depth) {
    TERN_RETURN_IF_ERROR(TypesOf(placed.schema, placed.pointer).status());
    const uint32_t types = WrittenTypes(placed.schema);
    std::vector<Expr> ways;
    const auto add = [&](Result<Expr> way) {
      if (way.ok()) ways.push_back(*way);
      return way.status();
    };
    if ((types & kJsonObject) != 0) TERN_RETURN_IF_ERROR(add(Object(placed, depth)));
    if ((types & kJsonArray) != 0) TERN_RETURN_IF_ERROR(add(Array(placed, depth)));
    if ((types & kJsonString) != 0) TERN_RETURN_IF_ERROR(add(JsonStringExpr(placed, &strings_, &json_)));
    if ((types & kJsonNumber) != 0) TERN_RETURN_IF_ERROR(add(JsonNumberExpr(placed, false, strings_.budget(), &json_)));
    if ((types & (kJsonNumber | kJsonInteger)) == kJsonInteger)
      TERN_RETURN_IF_ERROR(add(JsonNumberExpr(placed, true, strings_.budget(), &json_)));
    if ((types & kJsonBoolean) != 0) ways.insert(ways.end(), {builder_.Text("true"), builder_.Text("false")});
    if ((types & kJsonNull) != 0) ways.push_back(builder_.Text("null"));
    return ways.size() > 1 ? json_.Rule(builder_.Choice(std::move(ways))) : ways.front();
  }

  Result<Expr> Object(const PlacedSchema& placed, int32_t depth) {
    const auto& [schema, pointer] = placed;
    JsonObject object;
    TERN_ASSIGN_OR_RETURN(std::vector<std::string> required, Required(placed));
    const bool listed = schema.contains("properties");
    if (listed) TERN_RETURN_IF_ERROR(Properties(placed, required, depth, &object));
    const bool other = schema.contains("additionalProperties");
    const Json additional = other ? schema["additionalProperties"] : Json(!listed);
    if (additional != Json(false)) {
      TERN_ASSIGN_OR_RETURN(object.additional,
                            Value({additional, PointerTo(pointer, "additionalProperties")}, depth + 1));
    }
    for (const std::string& name : required) {
      const auto same = [&](const JsonProperty& property) { return property.name == name; };
      if (std::any_of(object.properties.begin(), object.properties.end(), same)) continue;
      const std::string at = PointerTo(pointer, "required");
      if (additional == Json(false) && other)
        return InvalidArgument(at + ": '" + name + "' is not allowed by additionalProperties");
      // Not described, or by additionalProperties alone: then it comes after the others.
      TERN_ASSIGN_OR_RETURN(const Expr value,
                            other ? Value({additional, at}, depth + 1) : Result<Expr>(json_.AnyValue()));
      object.properties.push_back({name, value, true});
    }
    return json_.Object(object);
  }

  static Result<std::vector<std::string>> Required(const PlacedSchema& placed) {
    std::vector<std::string> names;
    if (!placed.schema.contains("required")) return names;
    const std::string at = PointerTo(placed.pointer, "required");
    if (!placed.schema["required"].is_array()) return InvalidArgument(at + ": not a list of names");
    for (const Json& name : placed.schema["required"]) {
      if (!name.is_string()) return InvalidArgument(at + ": not a list of names");
      if (name.get_ref<const std::string&>().size() > kNameBytes)
        return Unsupported(at + ": a name of more than 256 bytes");
      names.push_back(name.get<std::string>());
    }
    return names;
  }

  Status Properties(const PlacedSchema& placed, const std::vector<std::string>& required, int32_t depth,
                    JsonObject* object) {
    const std::string at = PointerTo(placed.pointer, "properties");
    if (!placed.schema["properties"].is_object()) return InvalidArgument(at + ": not an object");
    for (const auto& [name, schema] : placed.schema["properties"].items()) {
      const std::string property_at = PointerTo(at, name);
      if (name.size() > kNameBytes) return Unsupported(at + ": a name of more than 256 bytes");
      const bool needed = std::find(required.begin(), required.end(), name) != required.end();
      if (schema == Json(false) && !needed) {
        if (!placed.schema.contains("additionalProperties") ||
            placed.schema["additionalProperties"] == Json(false))
          continue;
        return Unsupported(property_at + ": a forbidden name beside additional properties");
      }
      TERN_ASSIGN_OR_RETURN(const Expr value, Value({schema, property_at}, depth + 1));
      object->properties.push_back({name, value, needed});
    }
    return OkStatus();
  }

  Result<Expr> Array(const PlacedSchema& placed, int32_t depth) {
    const auto& [schema, pointer] = placed;
    JsonArray array;
    TERN_ASSIGN_OR_RETURN(array.min, JsonCount(placed, "minItems", 0));
    TERN_ASSIGN_OR_RETURN(array.max, JsonCount(placed, "maxItems", kUnlimited));
    const bool old_tuple = schema.contains("items") && schema["items"].is_array();  // before draft 2020-12
    const char* first = old_tuple ? "items" : "prefixItems";
    const char* rest = old_tuple ? "additionalItems" : "items";
    if (schema.contains(first)) {
      const std::string at = PointerTo(pointer, first);
      if (!schema[first].is_array()) return InvalidArgument(at + ": not a list of schemas");
      for (size_t i = 0; i < schema[first].size(); ++i) {
        TERN_ASSIGN_OR_RETURN(const Expr item,
                              Value({schema[first][i], PointerTo(at, std::to_string(i))}, depth + 1));
        array.first.push_back(item);
      }
    }
    const auto listed = static_cast<int32_t>(array.first.size());
    const bool wanted =
        array.first.empty() || array.min > listed;  // else a list of the items in front is all of it
    const Json more = schema.contains(rest) ? schema[rest] : Json(wanted);
    if (more != Json(false)) {
      TERN_ASSIGN_OR_RETURN(array.rest, Value({more, PointerTo(pointer, rest)}, depth + 1));
    }
    if (array.max != kUnlimited && array.min > array.max) {
      return InvalidArgument(PointerTo(pointer, "minItems") + ": more than maxItems");
    }
    if (!array.rest && array.min > listed)
      return InvalidArgument(PointerTo(pointer, "minItems") + ": more items than are allowed");
    return json_.Array(array);
  }

  JsonSchemaAlgebra algebra_;
  GrammarBuilder builder_;
  JsonExpressions json_;
  JsonStringLanguages strings_;
  GrammarBuilder::Rule root_ = 0;
  std::map<std::string, GrammarBuilder::Rule> references_;  // by pointer
  std::vector<std::string> places_;                         // pointers, for errors
};

}  // namespace

Result<std::shared_ptr<const Grammar>> JsonObjectGrammar() {
  GrammarBuilder builder;
  JsonExpressions json(&builder);
  const Expr text = builder.Sequence({json.OptionalSpace(), json.AnyObject()});
  return builder.Build(builder.RuleOf(text, "JSON", GrammarBuilder::kNoPlace),
                       [](size_t) { return std::string(); });
}

Result<std::shared_ptr<const Grammar>> JsonSchemaGrammar(std::string_view schema) {
  if (schema.size() > kSchemaBytes) {
    return Exhausted("the schema has " + std::to_string(schema.size()) + " bytes, more than " +
                     std::to_string(kSchemaBytes));
  }
  if (TooDeep(schema)) return InvalidArgument("the schema is nested too deep");
  try {
    const Json document = Json::parse(schema);
    return SchemaCompiler(document).Run(document);
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument(std::string("the schema is not JSON: ") + error.what());
  }
}

}  // namespace tern
