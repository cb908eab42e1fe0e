#include "infer/json_schema_validator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <string>

#include "infer/json_schema_merge.h"
#include "infer/json_schema_numbers.h"

namespace tern {
namespace {

Verdict VerdictOf(bool valid) { return valid ? Verdict::kValid : Verdict::kInvalid; }
Verdict Both(Verdict a, Verdict b) { return std::min(a, b); }
Verdict Either(Verdict a, Verdict b) { return std::max(a, b); }
Verdict Not(Verdict a) { return a == Verdict::kUnknown ? a : VerdictOf(a == Verdict::kInvalid); }

const Json* Find(const Json& schema, const char* key) {
  const auto found = schema.find(key);
  return found == schema.end() ? nullptr : &*found;
}

bool IsWhole(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
}

bool IsOfNamedType(const Json& value, const std::string& type) {
  const uint32_t bit = JsonTypeByName(type);
  return (bit & JsonTypeOf(value)) != 0 || (bit == kJsonNumber && value.is_number()) ||
         (bit == kJsonInteger && IsWhole(value));
}

Verdict IsMultiple(const Json& value, const Json& step) {
  const auto multiple = IsMultipleOf(value, step);
  return multiple ? VerdictOf(*multiple) : Verdict::kUnknown;
}

size_t CharactersOf(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Whether a count is within the bounds that two keywords set.
Verdict CheckCount(const Json& schema, size_t count, const char* least, const char* most) {
  Verdict all = Verdict::kValid;
  if (const Json* bound = Find(schema, least)) {
    if (!bound->is_number()) return Verdict::kUnknown;
    all = Both(all, VerdictOf(static_cast<double>(count) >= bound->get<double>()));
  }
  if (const Json* bound = Find(schema, most)) {
    if (!bound->is_number()) return Verdict::kUnknown;
    all = Both(all, VerdictOf(static_cast<double>(count) <= bound->get<double>()));
  }
  return all;
}

/// The bound that a schema sets, draft 4's boolean exclusive bounds included.
struct JsonBound {
  const Json* value;  ///< null: none
  bool exclusive;
};

JsonBound BoundOf(const Json& schema, const char* key, const char* exclusive) {
  const Json* bound = Find(schema, key);
  if (!bound || !bound->is_number()) return {nullptr, false};
  const Json* flag = Find(schema, exclusive);
  return {bound, flag && *flag == Json(true)};
}

Verdict CheckNumber(const Json& schema, const Json& value) {
  Verdict all = Verdict::kValid;
  const JsonBound low = BoundOf(schema, "minimum", "exclusiveMinimum");
  const JsonBound high = BoundOf(schema, "maximum", "exclusiveMaximum");
  const auto above = [&](const Json& bound, bool exclusive) {
    const auto order = CompareNumbers(value, bound);
    return VerdictOf(exclusive ? std::is_gt(order) : std::is_gteq(order));
  };
  const auto below = [&](const Json& bound, bool exclusive) {
    const auto order = CompareNumbers(value, bound);
    return VerdictOf(exclusive ? std::is_lt(order) : std::is_lteq(order));
  };
  if (low.value) all = Both(all, above(*low.value, low.exclusive));
  if (high.value) all = Both(all, below(*high.value, high.exclusive));
  const Json* over = Find(schema, "exclusiveMinimum");
  if (over && over->is_number()) all = Both(all, above(*over, true));
  const Json* under = Find(schema, "exclusiveMaximum");
  if (under && under->is_number()) all = Both(all, below(*under, true));
  const Json* step = Find(schema, "multipleOf");
  if (step) all = Both(all, step->is_number() ? IsMultiple(value, *step) : Verdict::kUnknown);
  return all;
}

}  // namespace

bool JsonEqual(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) {
    return a.size() == b.size() && std::all_of(a.items().begin(), a.items().end(), [&](const auto& member) {
             const auto other = b.find(member.key());
             return other != b.end() && JsonEqual(member.value(), *other);
           });
  }
  if (a.is_array() && b.is_array()) return std::equal(a.begin(), a.end(), b.begin(), b.end(), JsonEqual);
  if (a.is_number() && b.is_number()) return std::is_eq(CompareNumbers(a, b));
  return !a.is_structured() && !b.is_structured() && a == b;
}

Verdict SchemaValidator::Check(const Json& schema, const Json& value, int depth) {
  if (schema.is_boolean()) return VerdictOf(schema.get<bool>());
  if (!schema.is_object() || depth > kMaxDepth || ++steps_ > kMaxSteps) return Verdict::kUnknown;
  Verdict all = Verdict::kValid;
  if (const Json* reference = Find(schema, "$ref")) {
    if (!reference->is_string()) return Verdict::kUnknown;
    const auto target = document_.Resolve(reference->get<std::string>(), schema);
    if (!target.ok()) return Verdict::kUnknown;
    all = Check(**target, value, depth + 1);
    if (document_.reference_stands_alone() || all == Verdict::kInvalid) return all;
  }
  for (const char* key : {"$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"}) {
    if (schema.contains(key)) all = Both(all, Verdict::kUnknown);
  }
  all = Both(all, CheckAnyType(schema, value));
  if (value.is_number()) all = Both(all, CheckNumber(schema, value));
  if (value.is_string()) all = Both(all, CheckString(schema, value));
  if (all == Verdict::kInvalid) return all;
  if (value.is_array()) all = Both(all, CheckArray(schema, value, depth));
  if (value.is_object()) all = Both(all, CheckObject(schema, value, depth));
  return all == Verdict::kInvalid ? all : Both(all, CheckCombinators(schema, value, depth));
}

Verdict SchemaValidator::CheckAnyType(const Json& schema, const Json& value) {
  Verdict all = Verdict::kValid;
  if (const Json* type = Find(schema, "type")) {
    const Json names = type->is_array() ? *type : Json::array({*type});
    const bool is_one = std::any_of(names.begin(), names.end(), [&](const Json& name) {
      return name.is_string() && IsOfNamedType(value, name.get<std::string>());
    });
    const Json* nullable = Find(schema, "nullable");
    all = VerdictOf(is_one || (value.is_null() && nullable && *nullable == Json(true)));
  }
  if (const Json* one = Find(schema, "const")) all = Both(all, VerdictOf(JsonEqual(*one, value)));
  if (const Json* list = Find(schema, "enum")) {
    if (!list->is_array()) return Verdict::kUnknown;
    all = Both(all, VerdictOf(std::any_of(list->begin(), list->end(),
                                          [&](const Json& one) { return JsonEqual(one, value); })));
  }
  return all;
}

Verdict SchemaValidator::Matches(const std::string& pattern, const std::string& text) {
  const auto language = languages_.OfPattern(pattern, "#");
  return language.ok() ? VerdictOf(language->Contains(text)) : Verdict::kUnknown;
}

Verdict SchemaValidator::CheckString(const Json& schema, const Json& value) {
  const auto& text = value.get_ref<const std::string&>();
  Verdict all = CheckCount(schema, CharactersOf(text), "minLength", "maxLength");
  if (const Json* pattern = Find(schema, "pattern"))
    all = Both(all, pattern->is_string() ? Matches(pattern->get<std::string>(), text) : Verdict::kUnknown);
  const Json* format = Find(schema, "format");
  if (!format || !format->is_string()) return all;
  const auto language = languages_.OfSchema({Json{{"format", *format}}, "#"});
  return Both(all, language.ok() && language->Contains(text) ? Verdict::kValid : Verdict::kUnknown);
}

Verdict SchemaValidator::CheckArray(const Json& schema, const Json& value, int depth) {
  Verdict all = CheckCount(schema, value.size(), "minItems", "maxItems");
  const Json* items = Find(schema, "items");
  const bool old_tuple = items && items->is_array();
  const Json* first = old_tuple ? items : Find(schema, "prefixItems");
  const Json* rest = old_tuple ? Find(schema, "additionalItems") : items;
  const size_t listed = first && first->is_array() ? first->size() : 0;
  for (size_t i = 0; i < value.size() && all != Verdict::kInvalid; ++i) {
    if (i < listed) all = Both(all, Check((*first)[i], value[i], depth + 1));
    if (i >= listed && rest) all = Both(all, Check(*rest, value[i], depth + 1));
  }
  const Json* unique = Find(schema, "uniqueItems");
  if (unique && *unique == Json(true)) {
    if (value.size() > 2000) return Both(all, Verdict::kUnknown);
    for (size_t i = 0; i < value.size(); ++i) {
      for (size_t j = 0; j < i; ++j) all = Both(all, VerdictOf(!JsonEqual(value[i], value[j])));
    }
  }
  return schema.contains("contains") ? Both(all, CheckContains(schema, value, depth)) : all;
}

Verdict SchemaValidator::CheckContains(const Json& schema, const Json& value, int depth) {
  size_t found = 0;
  for (const Json& item : value) {
    const Verdict verdict = Check(schema["contains"], item, depth + 1);
    if (verdict == Verdict::kUnknown) return verdict;
    found += verdict == Verdict::kValid ? 1 : 0;
  }
  const Verdict counted = CheckCount(schema, found, "minContains", "maxContains");
  return schema.contains("minContains") ? counted : Both(counted, VerdictOf(found > 0));
}

Verdict SchemaValidator::CheckMember(const Json& schema, const std::string& name, const Json& member,
                                     int depth) {
  Verdict all = Verdict::kValid;
  bool described = false;
  const Json* properties = Find(schema, "properties");
  if (properties && properties->is_object() && properties->contains(name)) {
    described = true;
    all = Check((*properties)[name], member, depth + 1);
  }
  const Json* patterns = Find(schema, "patternProperties");
  if (patterns && patterns->is_object()) {
    for (const auto& [pattern, part] : patterns->items()) {
      const Verdict matches = Matches(pattern, name);
      if (matches == Verdict::kUnknown) return matches;
      if (matches == Verdict::kInvalid) continue;
      described = true;
      all = Both(all, Check(part, member, depth + 1));
    }
  }
  const Json* additional = Find(schema, "additionalProperties");
  if (!described && additional) all = Both(all, Check(*additional, member, depth + 1));
  if (const Json* names = Find(schema, "propertyNames"))
    all = Both(all, Check(*names, Json(name), depth + 1));
  return all;
}

Verdict SchemaValidator::CheckObject(const Json& schema, const Json& value, int depth) {
  Verdict all = CheckCount(schema, value.size(), "minProperties", "maxProperties");
  const Json* required = Find(schema, "required");
  if (required && required->is_array()) {
    for (const Json& name : *required) {
      if (!name.is_string()) return Verdict::kUnknown;
      all = Both(all, VerdictOf(value.contains(name.get<std::string>())));
    }
  }
  for (const auto& [name, member] : value.items()) {
    if (all == Verdict::kInvalid) return all;
    all = Both(all, CheckMember(schema, name, member, depth));
  }
  return Both(all, CheckDependencies(schema, value, depth));
}

Verdict SchemaValidator::CheckDependencies(const Json& schema, const Json& value, int depth) {
  Verdict all = Verdict::kValid;
  for (const char* key : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    const Json* dependencies = Find(schema, key);
    if (!dependencies || !dependencies->is_object()) continue;
    for (const auto& [name, needs] : dependencies->items()) {
      if (!value.contains(name)) continue;
      if (needs.is_string()) all = Both(all, VerdictOf(value.contains(needs.get<std::string>())));
      if (!needs.is_array() && !needs.is_string()) all = Both(all, Check(needs, value, depth + 1));
      if (!needs.is_array()) continue;
      for (const Json& other : needs)
        all = Both(all, VerdictOf(other.is_string() && value.contains(other.get<std::string>())));
    }
  }
  return all;
}

Verdict SchemaValidator::CheckCombinators(const Json& schema, const Json& value, int depth) {
  Verdict all = Verdict::kValid;
  for (const char* key : {"allOf", "anyOf", "oneOf"}) {
    const Json* branches = Find(schema, key);
    if (!branches) continue;
    if (!branches->is_array()) return Verdict::kUnknown;
    std::array<size_t, 3> counts{};
    for (const Json& branch : *branches) ++counts[static_cast<size_t>(Check(branch, value, depth + 1))];
    const auto [invalid, unknown, valid] = counts;
    if (*key == 'o') {
      const bool refuted = valid > 1 || valid + unknown == 0;
      all = Both(all, refuted ? Verdict::kInvalid : unknown > 0 ? Verdict::kUnknown : Verdict::kValid);
      continue;
    }
    const bool any = key == std::string_view("anyOf");
    if (any)
      all = Both(all, valid > 0 ? Verdict::kValid : unknown > 0 ? Verdict::kUnknown : Verdict::kInvalid);
    if (!any)
      all = Both(all, invalid > 0 ? Verdict::kInvalid : unknown > 0 ? Verdict::kUnknown : Verdict::kValid);
  }
  if (const Json* other = Find(schema, "not")) all = Both(all, Not(Check(*other, value, depth + 1)));
  if (const Json* condition = Find(schema, "if")) {
    const Json always(true);
    const Json* then_schema = Find(schema, "then");
    const Json* else_schema = Find(schema, "else");
    const Verdict holds = Check(*condition, value, depth + 1);
    const Verdict with = Check(then_schema ? *then_schema : always, value, depth + 1);
    const Verdict without = Check(else_schema ? *else_schema : always, value, depth + 1);
    all = Both(all, Either(Both(holds, with), Both(Not(holds), without)));
  }
  return all;
}

}  // namespace tern
