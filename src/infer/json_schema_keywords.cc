// What each keyword adds to a branch.
#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <utility>

#include "infer/json_schema_branches.h"
#include "infer/json_schema_growth.h"
#include "infer/json_schema_numbers.h"

namespace tern {
namespace {

bool IsOneOf(std::string_view key, std::initializer_list<std::string_view> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

SchemaOrder Below(SchemaOrder order, size_t step) {
  order.push_back(static_cast<uint32_t>(step));
  return order;
}

bool IsSchema(const Json& part) { return part.is_object() || part.is_boolean(); }

}  // namespace

bool IsAssertion(std::string_view keyword) {
  return TypeAbout(keyword) != 0 ||
         IsOneOf(keyword, {"type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "if", "$ref",
                           "$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"});
}

Result<bool> SchemaBrancher::ApplySchema(Growth* growth, const Source& source) {
  const Json& schema = *source.schema;
  if (schema.is_boolean()) return schema.get<bool>();
  const std::string at = document_.PointerOf(schema);
  if (!schema.is_object()) return InvalidArgument(at + ": a schema is an object or a boolean");
  const bool reference_alone = document_.reference_stands_alone() && schema.contains("$ref");
  uint32_t position = 0;
  for (const auto& [key, value] : schema.items()) {
    ++position;
    if (!IsAssertion(key) || (reference_alone && key != "$ref")) continue;
    const Source placed{&schema, source.index, Below(source.order, position)};
    TERN_ASSIGN_OR_RETURN(const bool possible, ApplyKeyword(growth, placed, key, value));
    if (!possible || growth->branch.kinds == 0) return false;
  }
  return true;
}

Result<bool> SchemaBrancher::ApplyKeyword(Growth* growth, const Source& source, const std::string& key,
                                          const Json& value) {
  const Json& schema = *source.schema;
  SchemaBranch* branch = &growth->branch;
  Status status;
  if (key == "type") {
    status = ApplyType(branch, schema);
  } else if (key == "enum" || key == "const") {
    status = ApplyValues(branch, schema, key, value);
  } else if (key == "allOf") {
    status = AddAll(growth, source, value);
  } else if (key == "anyOf" || key == "oneOf") {
    status = AddAny(growth, source, key, value);
  } else if (key == "if") {
    status = AddCondition(growth, source);
  } else if (key == "not") {
    if (!IsSchema(value)) return InvalidArgument(document_.PointerOf(schema) + "/not: not a schema");
    status = AddTerm(growth, {&value, true}, source.index, source.order);
  } else if (key == "$ref") {
    if (!value.is_string()) return InvalidArgument(document_.PointerOf(schema) + "/$ref: not a text");
    TERN_ASSIGN_OR_RETURN(const Json* target, document_.Resolve(value.get<std::string>(), schema));
    status = AddTerm(growth, {target}, source.index, source.order);
  } else if (IsOneOf(key, {"dependencies", "dependentRequired", "dependentSchemas"})) {
    status = AddDependencies(growth, source, key, value);
  } else if (TypeAbout(key) == kJsonObject && !key.ends_with("Properties")) {
    status = ApplyObjectKeyword(growth, source, key, value);
  } else if (IsOneOf(key, {"patternProperties", "additionalProperties"})) {
    status = ApplyObjectKeyword(growth, source, key, value);
  } else if (IsOneOf(key, {"items", "prefixItems", "additionalItems", "uniqueItems", "contains"})) {
    status = ApplyArrayKeyword(branch, schema, key, value);
  } else if (key == "pattern" || key == "format") {
    status = ApplyStringKeyword(branch, schema, key, value);
  } else if (TypeAbout(key) != 0) {
    status = ApplyLimit(branch, schema, key, value);
  } else if (value != Json(true)) {
    status = Refuse(schema, key, "this keyword is not supported");
  }
  return status.ok() ? Result<bool>(true) : status;
}

Status SchemaBrancher::ApplyType(SchemaBranch* branch, const Json& schema) {
  const Json& type = schema["type"];
  const auto refuse = [&](const char* why) {
    return InvalidArgument(PointerTo(document_.PointerOf(schema), "type") + why);
  };
  uint32_t kinds = 0;
  const auto add = [&](const Json& name) {
    const uint32_t bits = name.is_string() ? JsonTypeByName(name.get_ref<const std::string&>()) : 0;
    kinds |= bits;
    return bits != 0;
  };
  if (type.is_array()) {
    if (!std::all_of(type.begin(), type.end(), add)) return refuse(": not a type");
    if (type.empty()) return refuse(": an empty list");
  } else if (!add(type)) {
    return refuse(": not a type");
  }
  const auto nullable = schema.find("nullable");
  if (nullable != schema.end() && *nullable == BooleanSchema(true)) kinds |= kJsonNull;
  branch->kinds &= kinds;
  return OkStatus();
}

/// Keeps the shortest list of several: Values checks its values against all terms.
Status SchemaBrancher::ApplyValues(SchemaBranch* branch, const Json& schema, const std::string& key,
                                   const Json& value) {
  if (key == "enum" && (!value.is_array() || value.empty()))
    return InvalidArgument(PointerTo(document_.PointerOf(schema), key) + ": not a list of values");
  std::vector<const Json*> values;
  uint32_t kinds = 0;
  const auto add = [&](const Json& one) {
    values.push_back(&one);
    kinds |= JsonTypeOf(one);
  };
  if (key == "const") add(value);
  if (key == "enum") std::for_each(value.begin(), value.end(), add);
  branch->kinds &= kinds;
  if (branch->finite && branch->values.size() <= values.size()) return OkStatus();
  branch->finite = true;
  branch->values = std::move(values);
  branch->value_source = &schema;
  return OkStatus();
}

/// The narrower of two limits. Draft 4 has a boolean that makes a bound exclusive.
Status SchemaBrancher::ApplyLimit(SchemaBranch* branch, const Json& schema, const std::string& key,
                                  const Json& value) {
  const auto refuse = [&](const char* why) {
    return InvalidArgument(PointerTo(document_.PointerOf(schema), key) + why);
  };
  const bool exclusive = key.starts_with("exclusive");
  if (exclusive && value.is_boolean()) return OkStatus();
  if (!value.is_number()) return refuse(TypeAbout(key) == kJsonNumber ? ": not a number" : ": not a count");
  if (key == "multipleOf") {
    if (std::is_lteq(CompareNumbers(value, Json(0)))) return refuse(": not above 0");
    if (std::find(branch->multiples.begin(), branch->multiples.end(), value) == branch->multiples.end())
      branch->multiples.push_back(value);
    return OkStatus();
  }
  const bool count = TypeAbout(key) != kJsonNumber;
  if (count && (value.get<double>() < 0 || std::floor(value.get<double>()) != value.get<double>()))
    return refuse(": not a count");
  std::string name = key;
  if (key == "minimum" && schema.is_object() &&
      schema.value("exclusiveMinimum", Json()) == BooleanSchema(true))
    name = "exclusiveMinimum";
  if (key == "maximum" && schema.is_object() &&
      schema.value("exclusiveMaximum", Json()) == BooleanSchema(true))
    name = "exclusiveMaximum";
  const bool lower = name.starts_with("min") || name == "exclusiveMinimum";
  const auto known = branch->limits.find(name);
  if (known == branch->limits.end() || (lower ? std::is_gt(CompareNumbers(value, *known)) : std::is_lt(CompareNumbers(value, *known))))
    branch->limits[name] = value;
  return OkStatus();
}

Status SchemaBrancher::ApplyStringKeyword(SchemaBranch* branch, const Json& schema, const std::string& key,
                                          const Json& value) {
  if (!value.is_string())
    return InvalidArgument(PointerTo(document_.PointerOf(schema), key) + ": not a text");
  auto& rules = key == "pattern" ? branch->patterns : branch->formats;
  const auto same = [&](const StringRule& rule) { return rule.text == value.get_ref<const std::string&>(); };
  if (std::none_of(rules.begin(), rules.end(), same)) rules.push_back({value.get<std::string>(), &schema});
  return OkStatus();
}

Status SchemaBrancher::ApplyObjectKeyword(Growth* growth, const Source& source, const std::string& key,
                                          const Json& value) {
  const Json& schema = *source.schema;
  SchemaBranch& branch = growth->branch;
  const std::string at = PointerTo(document_.PointerOf(schema), key);
  if (key == "required") {
    if (!value.is_array()) return InvalidArgument(at + ": not a list of names");
    for (const Json& name : value) {
      if (!name.is_string()) return InvalidArgument(at + ": not a list of names");
      if (!branch.Requires(name.get_ref<const std::string&>()))
        branch.required.push_back(name.get<std::string>());
    }
    return OkStatus();
  }
  if (key == "propertyNames") {
    if (!IsSchema(value)) return InvalidArgument(at + ": not a schema");
    branch.names.push_back({&value});
    return OkStatus();
  }
  const bool map = key != "additionalProperties";
  if (map ? !value.is_object() : !IsSchema(value)) return InvalidArgument(at + ": not an object");
  if (map && !std::all_of(value.begin(), value.end(), IsSchema))
    return InvalidArgument(at + ": not an object of schemas");
  // If the schema has "properties", that keyword adds the shape and fixes its order.
  const bool known = std::any_of(branch.shapes.begin(), branch.shapes.end(),
                                 [&](const auto& shape) { return shape.schema == &schema; });
  if (key == "properties" || (!known && !schema.contains("properties"))) {
    branch.shapes.push_back({&schema, source.order});
  }
  return OkStatus();
}

Status SchemaBrancher::ApplyArrayKeyword(SchemaBranch* branch, const Json& schema, const std::string& key,
                                         const Json& value) {
  const std::string at = PointerTo(document_.PointerOf(schema), key);
  if (key == "uniqueItems") {
    if (!value.is_boolean()) return InvalidArgument(at + ": neither true nor false");
    branch->unique |= value.get<bool>();
    return OkStatus();
  }
  const bool list = value.is_array() && key != "contains" && key != "additionalItems";
  if (list ? !std::all_of(value.begin(), value.end(), IsSchema) : !IsSchema(value) || key == "prefixItems")
    return InvalidArgument(at + ": not a schema or a list of schemas");
  if (key == "contains") {
    const auto least = schema.find("minContains"), most = schema.find("maxContains");
    if (most != schema.end()) return Refuse(schema, "maxContains", "this keyword is not supported");
    if (least != schema.end() && *least == Json(0)) return OkStatus();
    if (least != schema.end() && *least != Json(1))
      return Refuse(schema, "minContains", "only 0 and 1 are supported");
    branch->contains.push_back({&value});
    return OkStatus();
  }
  if (std::find(branch->tuples.begin(), branch->tuples.end(), &schema) == branch->tuples.end())
    branch->tuples.push_back(&schema);
  return OkStatus();
}

Status SchemaBrancher::AddAll(Growth* growth, const Source& source, const Json& value) {
  if (!value.is_array() || value.empty())
    return InvalidArgument(document_.PointerOf(*source.schema) + "/allOf: not a list of schemas");
  for (size_t i = 0; i < value.size(); ++i)
    TERN_RETURN_IF_ERROR(AddTerm(growth, {&value[i]}, source.index, Below(source.order, i)));
  return OkStatus();
}

Status SchemaBrancher::AddAny(Growth* growth, const Source& source, const std::string& key,
                              const Json& value) {
  if (!value.is_array() || value.empty())
    return InvalidArgument(PointerTo(document_.PointerOf(*source.schema), key) + ": not a list of schemas");
  Disjunction ways;
  for (size_t i = 0; i < value.size(); ++i) {
    Alternative way;
    const auto add = [&](size_t term, bool negated) {
      way.push_back({.kind = Atom::kTerm,
                     .term = {&value[term], negated},
                     .parent = source.index,
                     .order = Below(source.order, term)});
    };
    add(i, false);
    for (size_t j = 0; j < value.size() && key == "oneOf"; ++j) {
      TERN_RETURN_IF_ERROR(Spend());
      if (j != i && !AreDisjoint(value[std::min(i, j)], value[std::max(i, j)])) add(j, true);
    }
    ways.push_back(std::move(way));
  }
  growth->open.push_back(std::move(ways));
  return OkStatus();
}

bool SchemaBrancher::AreDisjoint(const Json& a, const Json& b) {
  if ((KindsOf({&a}) & KindsOf({&b})) == 0) return true;
  const auto known = disjoint_.find({&a, &b});
  if (known != disjoint_.end()) return known->second;
  disjoint_[{&a, &b}] = false;  // while it is being found out
  const bool disjoint = IsEmpty({{&a}, {&b}});
  disjoint_[{&a, &b}] = disjoint;
  return disjoint;
}

Status SchemaBrancher::AddCondition(Growth* growth, const Source& source) {
  const Json& schema = *source.schema;
  const Json& condition = schema["if"];
  if (!IsSchema(condition)) return InvalidArgument(document_.PointerOf(schema) + "/if: not a schema");
  Disjunction ways;
  for (bool holds : {true, false}) {
    const auto term = [&](const Json& part, bool negated, uint32_t step) {
      return Atom{.kind = Atom::kTerm,
                  .term = {&part, negated},
                  .parent = source.index,
                  .order = Below(source.order, step)};
    };
    Alternative way = {term(condition, !holds, 0)};
    const auto then = schema.find(holds ? "then" : "else");
    if (then != schema.end()) way.push_back(term(*then, false, 1));
    ways.push_back(std::move(way));
  }
  if (schema.contains("then") || schema.contains("else")) growth->open.push_back(std::move(ways));
  return OkStatus();
}

Status SchemaBrancher::AddDependencies(Growth* growth, const Source& source, const std::string& key,
                                       const Json& value) {
  const std::string at = PointerTo(document_.PointerOf(*source.schema), key);
  if (!value.is_object()) return InvalidArgument(at + ": not an object");
  for (const auto& [name, needs] : value.items()) {
    Alternative with = {Atom::Require(name)};
    const auto need = [&](const Json& other) {
      if (other.is_string()) with.push_back(Atom::Require(other.get<std::string>()));
      return other.is_string();
    };
    if (IsSchema(needs)) {
      with.push_back({.kind = Atom::kTerm, .term = {&needs}, .parent = source.index, .order = source.order});
    } else if (needs.is_array() ? !std::all_of(needs.begin(), needs.end(), need) : !need(needs)) {
      return InvalidArgument(PointerTo(at, name) + ": neither names nor a schema");
    }
    growth->open.push_back({{Atom::Forbid(name)}, std::move(with)});
  }
  return OkStatus();
}

}  // namespace tern
