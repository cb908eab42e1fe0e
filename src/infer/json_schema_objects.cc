// Objects: the described properties in order, then the others by name.
#include <algorithm>
#include <utility>

#include "infer/json_schema_compiler.h"

namespace tern {
namespace {

constexpr size_t kNameBytes = 256;
constexpr size_t kOtherClasses = 256;      // of names that are told apart by patterns
constexpr size_t kCountedStates = 20'000;  // properties times counts

}  // namespace

Result<SchemaCompiler::Way> SchemaCompiler::Object(const SchemaBranch& branch, int32_t depth) {
  JsonObject object;
  std::set<std::string> names;
  TERN_ASSIGN_OR_RETURN(const bool possible, AddProperties(branch, depth, &object, &names));
  if (!possible) return Way();
  TERN_RETURN_IF_ERROR(AddOthers(branch, names, depth, &object));
  TERN_RETURN_IF_ERROR(SetCounts(branch, &object));
  const Way way = json_.Object(object);
  if (!way)
    LeaveOut(branch, "minProperties", "more properties than those with a name or pattern of their own");
  return way;
}

/// Adds the properties that are named in the schemas; false when a required one cannot have a value.
Result<bool> SchemaCompiler::AddProperties(const SchemaBranch& branch, int32_t depth, JsonObject* object,
                                           std::set<std::string>* names) {
  std::vector<std::string> order;
  const auto add = [&](const std::string& name) {
    if (names->insert(name).second) order.push_back(name);
  };
  for (const SchemaBranch::Shape& shape : branch.shapes) {
    const auto properties = shape.schema->find("properties");
    if (properties == shape.schema->end()) continue;
    for (const auto& item : properties->items()) add(item.key());
  }
  const std::set<std::string> required(branch.required.begin(), branch.required.end());
  for (const std::string& name : branch.required) add(name);
  for (const auto& [name, term] : branch.members) add(name);
  names->insert(branch.forbidden.begin(), branch.forbidden.end());
  for (const std::string& name : order) {
    if (name.size() > kNameBytes)
      return brancher_.Refuse(*branch.terms.front().term.schema, "properties",
                              "a name of more than 256 bytes");
    TERN_ASSIGN_OR_RETURN(const SchemaNode node, brancher_.Property(branch, name));
    TERN_ASSIGN_OR_RETURN(const Way value, Value(node, depth + 1));
    if (!value && required.contains(name)) return false;
    if (value) object->properties.push_back({name, *value, required.contains(name)});
  }
  return true;
}

/// What the schemas say about a name that is not described, by the patterns that match it.
Result<SchemaNode> SchemaCompiler::OtherNode(const SchemaBranch& branch,
                                             const std::vector<std::string>& matched) {
  SchemaNode node;
  for (const SchemaBranch::Shape& shape : branch.shapes) {
    bool described = false;
    const auto patterns = shape.schema->find("patternProperties");
    if (patterns != shape.schema->end()) {
      for (const auto& [pattern, schema] : patterns->items()) {
        if (std::find(matched.begin(), matched.end(), pattern) == matched.end()) continue;
        described = true;
        node.push_back({&schema});
      }
    }
    const auto additional = shape.schema->find("additionalProperties");
    if (!described && additional != shape.schema->end()) node.push_back({&*additional});
  }
  return brancher_.Shorten(node);
}

Status SchemaCompiler::AddOthers(const SchemaBranch& branch, const std::set<std::string>& names,
                                 int32_t depth, JsonObject* object) {
  std::vector<NamePattern> patterns;
  for (const SchemaBranch::Shape& shape : branch.shapes) {
    const auto found = shape.schema->find("patternProperties");
    if (found == shape.schema->end()) continue;
    for (const auto& item : found->items()) {
      const auto same = [&](const NamePattern& known) { return known.text == item.key(); };
      if (std::none_of(patterns.begin(), patterns.end(), same)) patterns.push_back({item.key(), &*found});
    }
  }
  if (patterns.empty() && branch.names.empty()) {
    TERN_ASSIGN_OR_RETURN(const SchemaNode node, OtherNode(branch, {}));
    TERN_ASSIGN_OR_RETURN(const Way value, Value(node, depth + 1));
    if (value) object->others.push_back({json_.OtherName(names), *value});
    return OkStatus();
  }
  TERN_ASSIGN_OR_RETURN(RegularLanguage language, brancher_.StringsOf(branch.names));
  const std::vector<std::string> texts(names.begin(), names.end());
  if (!texts.empty()) {
    TERN_ASSIGN_OR_RETURN(const RegularLanguage known, RegularLanguage::OfTexts(texts, strings_.budget()));
    TERN_ASSIGN_OR_RETURN(language, language.Difference(known, strings_.budget()));
  }
  if (!patterns.empty()) return AddOthersBySplit(branch, patterns, language, {}, 0, depth, object);
  TERN_ASSIGN_OR_RETURN(const SchemaNode node, OtherNode(branch, {}));
  return AddOther(node, language, *branch.names.front().schema, depth, object);
}

/// Names that match a pattern apart from those that do not. What is left of the names after the last pattern
/// is only computed where there may be values for them.
Status SchemaCompiler::AddOthersBySplit(const SchemaBranch& branch, const std::vector<NamePattern>& patterns,
                                        const RegularLanguage& language,
                                        const std::vector<std::string>& matched, size_t first, int32_t depth,
                                        JsonObject* object) {
  const NamePattern& pattern = patterns[first];
  const std::string at = document_.PointerOf(*pattern.at);
  TERN_ASSIGN_OR_RETURN(const RegularLanguage names,
                        strings_.OfPattern(pattern.text, PointerTo(at, pattern.text)));
  for (bool matches : {true, false}) {
    std::vector<std::string> now = matched;
    if (matches) now.push_back(pattern.text);
    SchemaNode node;
    const bool last = first + 1 == patterns.size();
    if (last) {
      TERN_ASSIGN_OR_RETURN(node, OtherNode(branch, now));
      if (brancher_.IsEmpty(node)) continue;
    }
    auto part = matches ? language.Intersection(names, strings_.budget())
                        : language.Difference(names, strings_.budget());
    if (!part.ok()) return part.status().WithContext(at);
    if (part->empty()) continue;
    if (object->others.size() == kOtherClasses)
      return brancher_.Refuse(*pattern.at, pattern.text, "too many patterns that overlap");
    TERN_RETURN_IF_ERROR(last ? AddOther(node, *part, *pattern.at, depth, object)
                              : AddOthersBySplit(branch, patterns, *part, now, first + 1, depth, object));
  }
  return OkStatus();
}

Status SchemaCompiler::AddOther(const SchemaNode& node, const RegularLanguage& language, const Json& at,
                                int32_t depth, JsonObject* object) {
  if (language.empty()) return OkStatus();
  TERN_ASSIGN_OR_RETURN(const Way value, Value(node, depth + 1));
  if (!value) return OkStatus();
  const auto name = json_.NameOf(language, strings_.budget());
  if (!name.ok()) return name.status().WithContext(document_.PointerOf(at));
  object->others.push_back({*name, *value});
  return OkStatus();
}

/// Leaves out limits that every object of these properties meets.
Status SchemaCompiler::SetCounts(const SchemaBranch& branch, JsonObject* object) {
  TERN_ASSIGN_OR_RETURN(object->min, CountLimit(brancher_, branch, "minProperties", 0));
  TERN_ASSIGN_OR_RETURN(object->max, CountLimit(brancher_, branch, "maxProperties", kUnlimited));
  const auto required = std::count_if(object->properties.begin(), object->properties.end(),
                                      [](const JsonProperty& property) { return property.required; });
  if (object->min <= required) object->min = 0;
  const bool bounded = object->others.empty();
  if (bounded && object->max >= static_cast<int32_t>(object->properties.size())) object->max = kUnlimited;
  const auto counted = static_cast<size_t>(std::max({1, object->min, object->max}));
  if (counted * (object->properties.size() + 1) <= kCountedStates) return OkStatus();
  const char* key = object->max == kUnlimited ? "minProperties" : "maxProperties";
  return brancher_.Refuse(*branch.terms.front().term.schema, key, "too many properties to count");
}

}  // namespace tern
