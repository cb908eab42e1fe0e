// What a branch says about its properties, items, values and strings.
#include <algorithm>
#include <utility>

#include "infer/json_schema_branches.h"

namespace tern {
namespace {

/// What "properties" of a schema says about a name; null: nothing.
const Json* ListedProperty(const Json& schema, const std::string& name) {
  const auto properties = schema.find("properties");
  if (properties == schema.end() || !properties->is_object()) return nullptr;
  const auto found = properties->find(name);
  return found == properties->end() ? nullptr : &*found;
}

}  // namespace

Result<SchemaNode> SchemaBrancher::Property(const SchemaBranch& branch, const std::string& name) {
  TERN_RETURN_IF_ERROR(Spend());
  const SchemaNode nothing = {{&BooleanSchema(false)}};
  if (branch.forbidden.contains(name)) return nothing;
  for (const SchemaTerm& term : branch.names) {
    const Verdict verdict = validator_.Check(*term.schema, Json(name));
    if (verdict != (term.negated ? Verdict::kInvalid : Verdict::kValid)) return nothing;
  }
  SchemaNode node;
  for (const SchemaBranch::Shape& shape : branch.shapes) {
    const Json* listed = ListedProperty(*shape.schema, name);
    bool described = listed != nullptr;
    if (listed) node.push_back({listed});
    const auto patterns = shape.schema->find("patternProperties");
    if (patterns != shape.schema->end()) {
      for (const auto& [pattern, schema] : patterns->items()) {
        TERN_ASSIGN_OR_RETURN(const RegularLanguage names,
                              strings_.OfPattern(pattern, document_.PointerOf(*patterns)));
        if (!names.Contains(name)) continue;
        described = true;
        node.push_back({&schema});
      }
    }
    const auto additional = shape.schema->find("additionalProperties");
    if (!described && additional != shape.schema->end()) node.push_back({&*additional});
  }
  for (const auto& [member, term] : branch.members) {
    if (member == name) node.push_back(term);
  }
  return Shorten(node);
}

size_t SchemaBrancher::ListedItems(const SchemaBranch& branch) {
  size_t listed = 0;
  for (const Json* schema : branch.tuples) {
    for (const char* key : {"items", "prefixItems"}) {
      const auto found = schema->find(key);
      if (found != schema->end() && found->is_array()) listed = std::max(listed, found->size());
    }
  }
  return listed;
}

/// A list of items is "items" before draft 2020-12, with "additionalItems" for the rest.
SchemaNode SchemaBrancher::Item(const SchemaBranch& branch, size_t index) {
  SchemaNode node = branch.each_item;
  for (const Json* schema : branch.tuples) {
    const auto items = schema->find("items"), prefix = schema->find("prefixItems");
    const bool old_tuple = items != schema->end() && items->is_array();
    const auto first = old_tuple ? items : prefix;
    const auto rest = old_tuple ? schema->find("additionalItems") : items;
    const bool listed = first != schema->end() && index < first->size();
    if (listed) node.push_back({&(*first)[index]});
    if (!listed && rest != schema->end()) node.push_back({&*rest});
  }
  return node;
}

/// Whether the list of values is all that a schema says, so that they need not be checked against it.
bool SchemaBrancher::ListsValuesAlone(const Json& schema) {
  const auto items = schema.items();
  return schema.is_object() && schema.contains("enum") != schema.contains("const") &&
         std::all_of(items.begin(), items.end(), [](const auto& item) {
           const std::string& key = item.key();
           return key == "enum" || key == "const" || key == "type" || key == "nullable" || !IsAssertion(key);
         });
}

std::vector<Json> SchemaBrancher::Values(const SchemaBranch& branch) {
  std::vector<Json> values;
  for (const Json* value : branch.values) {
    if ((JsonTypeOf(*value) & branch.kinds) == 0) continue;
    Verdict all = Verdict::kValid;
    for (const SchemaBranch::Derived& derived : branch.terms) {
      const auto& [schema, negated] = derived.term;
      const bool source = !negated && branch.value_source == schema && ListsValuesAlone(*schema);
      if (source || all == Verdict::kInvalid) continue;
      Verdict verdict = validator_.Check(*schema, *value);
      if (negated && verdict != Verdict::kUnknown)
        verdict = verdict == Verdict::kValid ? Verdict::kInvalid : Verdict::kValid;
      all = std::min(all, verdict);
    }
    if (all == Verdict::kValid) values.push_back(*value);
    if (all == Verdict::kUnknown)
      LeaveOut(*branch.terms.front().term.schema, "enum", "it is not known whether a value is valid");
  }
  return values;
}

/// The first pattern, the first format and the lengths together: they are compiled once for a document.
Result<RegularLanguage> SchemaBrancher::PlainStrings(const SchemaBranch& branch) {
  PlacedSchema placed{Json::object(), "#"};
  const Json* place = branch.terms.empty() ? nullptr : branch.terms.front().term.schema;
  for (const char* key : {"minLength", "maxLength"}) {
    if (branch.limits.contains(key)) placed.schema[key] = branch.limits[key];
  }
  const auto first = [&](const std::vector<StringRule>& rules, const char* key) {
    if (rules.empty()) return;
    placed.schema[key] = rules.front().text;
    place = rules.front().at;
  };
  first(branch.formats, "format");
  first(branch.patterns, "pattern");
  if (place) placed.pointer = document_.PointerOf(*place);
  return strings_.OfSchema(placed);
}

Result<RegularLanguage> SchemaBrancher::Strings(const SchemaBranch& branch) {
  TERN_ASSIGN_OR_RETURN(RegularLanguage language, PlainStrings(branch));
  const auto narrow = [&](const StringRule& rule, const char* key, bool matches) -> Status {
    const std::string at = document_.PointerOf(*rule.at);
    TERN_ASSIGN_OR_RETURN(const RegularLanguage other,
                          key == std::string_view("pattern")
                              ? strings_.OfPattern(rule.text, PointerTo(at, key))
                              : strings_.OfSchema({Json{{"format", rule.text}}, at}));
    auto both = matches ? language.Intersection(other, strings_.budget())
                        : language.Difference(other, strings_.budget());
    if (!both.ok()) return both.status().WithContext(PointerTo(at, key));
    language = std::move(*both);
    return OkStatus();
  };
  for (size_t i = 1; i < branch.patterns.size(); ++i)
    TERN_RETURN_IF_ERROR(narrow(branch.patterns[i], "pattern", true));
  for (size_t i = 1; i < branch.formats.size(); ++i)
    TERN_RETURN_IF_ERROR(narrow(branch.formats[i], "format", true));
  for (const StringRule& rule : branch.other_patterns) TERN_RETURN_IF_ERROR(narrow(rule, "pattern", false));
  std::vector<std::string> excluded;
  for (const Json* value : branch.excluded) {
    if (value->is_string()) excluded.push_back(value->get<std::string>());
  }
  if (excluded.empty()) return language;
  TERN_ASSIGN_OR_RETURN(const RegularLanguage texts, RegularLanguage::OfTexts(excluded, strings_.budget()));
  return language.Difference(texts, strings_.budget());
}

Result<RegularLanguage> SchemaBrancher::StringsOf(const SchemaNode& node) {
  TERN_ASSIGN_OR_RETURN(const SchemaNode shorter, Shorten(node));
  if (shorter.empty()) return RegularLanguage::All();
  TERN_ASSIGN_OR_RETURN(const auto branches, Branches(shorter));
  RegularLanguage all = RegularLanguage::None();
  for (const SchemaBranch& branch : branches->branches) {
    if ((branch.kinds & kJsonString) == 0) continue;
    Result<RegularLanguage> strings = RegularLanguage::None();
    if (branch.finite) {
      std::vector<std::string> texts;
      for (const Json& value : Values(branch)) {
        if (value.is_string()) texts.push_back(value.get<std::string>());
      }
      if (!texts.empty()) strings = RegularLanguage::OfTexts(texts, strings_.budget());
    } else {
      strings = Strings(branch);
    }
    if (!strings.ok()) return strings.status();
    TERN_ASSIGN_OR_RETURN(all, all.Union(*strings, strings_.budget()));
  }
  return all;
}

}  // namespace tern
