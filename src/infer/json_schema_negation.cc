// What a schema forbids: the ways in which a value can fail it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "infer/json_schema_branches.h"
#include "infer/json_schema_growth.h"

namespace tern {
namespace {

bool ListsName(const Json& schema, const char* key, const std::string& name) {
  const auto list = schema.find(key);
  if (list == schema.end()) return false;
  if (list->is_object()) return list->contains(name);
  return std::find(list->begin(), list->end(), Json(name)) != list->end();
}

}  // namespace

/// One way for each keyword that can fail. Ways that cannot be written down are left out.
Result<bool> SchemaBrancher::ApplyNegation(Growth* growth, const Source& source) {
  const Json& schema = *source.schema;
  if (schema.is_boolean()) return !schema.get<bool>();
  if (!schema.is_object())
    return InvalidArgument(document_.PointerOf(schema) + ": a schema is an object or a boolean");
  const bool reference_alone = document_.reference_stands_alone() && schema.contains("$ref");
  Disjunction ways;
  for (const auto& [key, value] : schema.items()) {
    if (!IsAssertion(key) || (reference_alone && key != "$ref")) continue;
    TERN_RETURN_IF_ERROR(NegateKeyword(*growth, source, key, value, &ways));
  }
  for (Alternative& way : ways) {
    for (Atom& atom : way) {
      atom.parent = source.index;
      atom.order = source.order;
    }
  }
  if (ways.empty()) return false;
  growth->open.push_back(std::move(ways));
  return true;
}

Status SchemaBrancher::NegateKeyword(const Growth& growth, const Source& source, const std::string& key,
                                     const Json& value, Disjunction* ways) {
  const Json& schema = *source.schema;
  const uint32_t kind = TypeAbout(key);
  const auto term = [](const Json& part, bool negated) {
    return Atom{.kind = Atom::kTerm, .term = {&part, negated}};
  };
  if (key == "$ref" && value.is_string()) {
    TERN_ASSIGN_OR_RETURN(const Json* target, document_.Resolve(value.get<std::string>(), schema));
    ways->push_back({term(*target, true)});
  } else if (key == "type") {
    SchemaBranch allowed;
    TERN_RETURN_IF_ERROR(ApplyType(&allowed, schema));
    if (allowed.kinds != kJsonAnyKind) ways->push_back({Atom::Kinds(kJsonAnyKind & ~allowed.kinds)});
  } else if (key == "enum" || key == "const") {
    SchemaBranch listed;
    TERN_RETURN_IF_ERROR(ApplyValues(&listed, schema, key, value));
    Alternative way;
    for (const Json* one : listed.values) way.push_back({.kind = Atom::kExclude, .value = one});
    ways->push_back(std::move(way));
  } else if (key == "pattern" && value.is_string()) {
    ways->push_back({Atom::Kinds(kind), {.kind = Atom::kNotPattern, .text = value.get<std::string>()}});
  } else if (key == "multipleOf" && value.is_number() && value > Json(0)) {
    ways->push_back({Atom::Kinds(kind), {.kind = Atom::kNotMultiple, .limit = value}});
  } else if (key == "contains" && !schema.contains("minContains") && !schema.contains("maxContains")) {
    ways->push_back({Atom::Kinds(kind), {.kind = Atom::kEachItem, .term = {&value, true}}});
  } else if (key == "items" && !value.is_array() && !schema.contains("prefixItems")) {
    ways->push_back({Atom::Kinds(kind), {.kind = Atom::kContains, .term = {&value, true}}});
  } else if (kind == kJsonObject && !key.starts_with("min") && !key.starts_with("max")) {
    NegateObjectKeyword(growth, source, key, value, ways);
  } else if (kind != 0 && NegateLimit(schema, key, value, ways)) {
    return OkStatus();
  } else if (key == "uniqueItems" && value == BooleanSchema(false)) {
    return OkStatus();
  } else if (key == "additionalItems" || (key == "format" && value.is_string())) {
    LeaveOut(schema, key, "values that fail this keyword are not supported");
  } else {
    NegateCombinator(source, key, value, ways);
  }
  return OkStatus();
}

void SchemaBrancher::NegateCombinator(const Source& source, const std::string& key, const Json& value,
                                      Disjunction* ways) {
  const Json& schema = *source.schema;
  const auto term = [](const Json& part, bool negated) {
    return Atom{.kind = Atom::kTerm, .term = {&part, negated}};
  };
  if (key == "not") {
    ways->push_back({term(value, false)});
  } else if (key == "allOf" && value.is_array()) {
    for (const Json& part : value) ways->push_back({term(part, true)});
  } else if ((key == "anyOf" || key == "oneOf") && value.is_array()) {
    Alternative none;
    for (const Json& part : value) none.push_back(term(part, true));
    ways->push_back(std::move(none));
    if (key == "anyOf") return;
    for (size_t i = 0; i < value.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (!AreDisjoint(value[j], value[i])) ways->push_back({term(value[j], false), term(value[i], false)});
      }
    }
  } else if (key == "if") {
    const auto then = schema.find("then"), other = schema.find("else");
    if (then != schema.end()) ways->push_back({term(value, false), term(*then, true)});
    if (other != schema.end()) ways->push_back({term(value, true), term(*other, true)});
  } else {
    LeaveOut(schema, key, "values that fail this keyword are not supported");
  }
}

void SchemaBrancher::NegateObjectKeyword(const Growth& growth, const Source& source, const std::string& key,
                                         const Json& value, Disjunction* ways) {
  const Json& schema = *source.schema;
  if (key == "required" && value.is_array()) {
    for (const Json& name : value) {
      if (!name.is_string()) continue;
      const auto& text = name.get_ref<const std::string&>();
      const auto properties = schema.find("properties");
      // A property that says something has a way of its own, which has this one in it.
      const bool listed = properties != schema.end() && properties->is_object() &&
                          properties->contains(text) && !SaysNothing((*properties)[text]);
      if (!listed) ways->push_back({Atom::Kinds(kJsonObject), Atom::Forbid(text)});
    }
  } else if (key == "properties" && value.is_object()) {
    NegateProperties(source, value, ways);
  } else if (key == "additionalProperties") {
    NegateAdditional(growth, source, value, ways);
  } else if (key == "dependencies" || key.starts_with("dependent")) {
    NegateDependencies(source, key, value, ways);
  } else {
    LeaveOut(schema, key, "values that fail this keyword are not supported");
  }
}

/// A property fails its schema. Where it is required it may be absent as well.
void SchemaBrancher::NegateProperties(const Source& source, const Json& value, Disjunction* ways) {
  for (const auto& [name, part] : value.items()) {
    if (SaysNothing(part)) continue;
    Alternative way = {Atom::Kinds(kJsonObject)};
    if (!ListsName(*source.schema, "required", name)) way.push_back(Atom::Require(name));
    way.push_back(Atom::Member(name, {&part, true}));
    ways->push_back(std::move(way));
  }
}

/// Some property that is not described fails. Only names that other schemas describe are tried.
void SchemaBrancher::NegateAdditional(const Growth& growth, const Source& source, const Json& value,
                                      Disjunction* ways) {
  const Json& schema = *source.schema;
  if (SaysNothing(value)) return;
  const auto patterns = schema.find("patternProperties");
  const bool simple = patterns == schema.end() || patterns->empty();
  std::set<std::string> names(growth.branch.required.begin(), growth.branch.required.end());
  bool others = true;
  for (const SchemaBranch::Shape& shape : growth.branch.shapes) {
    others &= shape.schema->value("additionalProperties", Json(true)) != BooleanSchema(false) ||
              shape.schema->contains("patternProperties");
    const auto properties = shape.schema->find("properties");
    if (properties == shape.schema->end()) continue;
    for (const auto& item : properties->items()) names.insert(item.key());
  }
  for (const std::string& name : names) {
    if (!simple || ListsName(schema, "properties", name)) continue;
    ways->push_back({Atom::Kinds(kJsonObject), Atom::Require(name), Atom::Member(name, {&value, true})});
  }
  if (others || !simple)
    LeaveOut(schema, "additionalProperties", "properties that fail this keyword are not supported");
}

void SchemaBrancher::NegateDependencies(const Source& source, const std::string& key, const Json& value,
                                        Disjunction* ways) {
  if (!value.is_object()) return LeaveOut(*source.schema, key, "not an object");
  for (const auto& [name, needs] : value.items()) {
    const Alternative with = {Atom::Kinds(kJsonObject), Atom::Require(name)};
    const auto add = [&](Atom atom) {
      ways->push_back(with);
      ways->back().push_back(std::move(atom));
    };
    if (needs.is_string()) add(Atom::Forbid(needs.get<std::string>()));
    if (needs.is_object() || needs.is_boolean()) add({.kind = Atom::kTerm, .term = {&needs, true}});
    if (!needs.is_array()) continue;
    for (const Json& other : needs) {
      if (other.is_string()) add(Atom::Forbid(other.get<std::string>()));
    }
  }
}

/// The limit on the other side; false where there is none.
bool SchemaBrancher::NegateLimit(const Json& schema, const std::string& key, const Json& value,
                                 Disjunction* ways) {
  const bool count = key.ends_with("Length") || key.ends_with("Items") || key.ends_with("Properties");
  const uint32_t kind = TypeAbout(key);
  if (key == "multipleOf" || key == "uniqueItems" || (!count && kind != kJsonNumber)) return false;
  if (value.is_boolean() && key.starts_with("exclusive")) return true;
  if (!value.is_number()) return false;
  if (count) {
    const bool least = key.starts_with("min");
    const double number = value.get<double>();
    if (std::floor(number) != number || number < 0 || number > 1e9) return false;
    if (least && number == 0) return true;
    const auto limit = static_cast<int64_t>(number) + (least ? -1 : 1);
    ways->push_back({Atom::Kinds(kind), Atom::Limit((least ? "max" : "min") + key.substr(3), limit)});
    return true;
  }
  const bool lower = key == "minimum" || key == "exclusiveMinimum";
  const auto flag = schema.find(lower ? "exclusiveMinimum" : "exclusiveMaximum");
  const bool exclusive =
      key.starts_with("exclusive") || (flag != schema.end() && *flag == BooleanSchema(true));
  const char* inclusive_key = lower ? "maximum" : "minimum";
  const char* exclusive_key = lower ? "exclusiveMaximum" : "exclusiveMinimum";
  ways->push_back({Atom::Kinds(kind), Atom::Limit(exclusive ? inclusive_key : exclusive_key, value)});
  return true;
}

}  // namespace tern
