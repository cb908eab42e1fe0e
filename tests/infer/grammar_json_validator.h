// A validator of JSON Schema that knows nothing of grammars: what the constraint promises is checked against
// it. It covers the keywords that are supported, by their definitions in the specification. Its schemas are
// correct and their references are pointers.
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "text/utf8.h"

namespace tern::testing {

using SchemaJson = nlohmann::ordered_json;

inline size_t CountCharacters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

inline bool IsOfType(const SchemaJson& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  return type == "integer" && (value.is_number_integer() ||
                               (value.is_number() && std::floor(value.get<double>()) == value.get<double>()));
}

/// One wchar_t a character, for std::wregex.
inline std::wstring Wide(const std::string& text) {
  std::wstring wide;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    wide.push_back(static_cast<wchar_t>(c.codepoint));
    at += c.length;
  }
  return wide;
}

/// Formats by hand, not by pattern.
inline bool IsOfFormat(const std::string& text, const std::string& format) {
  const auto number = [&](size_t at, size_t n) { return std::stoi(text.substr(at, n)); };
  if (format == "date") {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
    const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int days[] = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
  }
  if (format == "time") {
    return text.size() >= 9 && number(0, 2) < 24 && number(3, 2) < 60 && number(6, 2) < 60 &&
           (text.back() == 'Z' || (text[text.size() - 3] == ':' && number(text.size() - 5, 2) < 24));
  }
  if (format == "date-time") {
    return text.size() > 11 && text[10] == 'T' && IsOfFormat(text.substr(0, 10), "date") &&
           IsOfFormat(text.substr(11), "time");
  }
  if (format == "uuid") return text.size() == 36 && std::count(text.begin(), text.end(), '-') == 4;
  if (format == "ipv4") {
    int parts = 0;
    for (size_t at = 0; at < text.size(); ++parts) {
      const size_t dot = std::min(text.find('.', at), text.size());
      const std::string part = text.substr(at, dot - at);
      if (part.empty() || part.size() > 3 || std::stoi(part) > 255 || (part.size() > 1 && part[0] == '0'))
        return false;
      at = dot + 1;
    }
    return parts == 4;
  }
  if (format == "email") return std::count(text.begin(), text.end(), '@') == 1 && text.size() < 254;
  return !text.empty();
}

inline bool IsValid(const SchemaJson& schema, const SchemaJson& value, const SchemaJson& document);

inline bool IsMatch(const std::string& pattern, const std::string& text) {
  return std::regex_search(Wide(text), std::wregex(Wide(pattern)));
}

/// By their values: the order of an object's properties does not count.
inline bool IsEqual(const SchemaJson& a, const SchemaJson& b) {
  return nlohmann::json::parse(a.dump()) == nlohmann::json::parse(b.dump());
}

inline bool IsValidNumber(const SchemaJson& schema, const SchemaJson& value) {
  const auto bound = [&](const char* key) { return schema.contains(key) && schema[key].is_number(); };
  const auto strict = [&](const char* key) { return schema.contains(key) && schema[key] == true; };
  if (bound("minimum") &&
      (value < schema["minimum"] || (strict("exclusiveMinimum") && value == schema["minimum"])))
    return false;
  if (bound("maximum") &&
      (value > schema["maximum"] || (strict("exclusiveMaximum") && value == schema["maximum"])))
    return false;
  if (bound("exclusiveMinimum") && value <= schema["exclusiveMinimum"]) return false;
  if (bound("exclusiveMaximum") && value >= schema["exclusiveMaximum"]) return false;
  if (!bound("multipleOf")) return true;
  if (value.is_number_integer() && schema["multipleOf"].is_number_integer())
    return value.get<int64_t>() % schema["multipleOf"].get<int64_t>() == 0;
  const double ratio = value.get<double>() / schema["multipleOf"].get<double>();
  return std::abs(ratio - std::round(ratio)) < 1e-9 * std::max(1.0, std::abs(ratio));
}

inline bool IsValidString(const SchemaJson& schema, const std::string& text) {
  if (schema.contains("minLength") && CountCharacters(text) < schema["minLength"]) return false;
  if (schema.contains("maxLength") && CountCharacters(text) > schema["maxLength"]) return false;
  if (schema.contains("pattern") && !IsMatch(schema["pattern"], text)) return false;
  return !schema.contains("format") || IsOfFormat(text, schema["format"]);
}

inline bool IsValidArray(const SchemaJson& schema, const SchemaJson& value, const SchemaJson& document) {
  const auto has = [&](const char* key) { return schema.contains(key); };
  if (has("minItems") && value.size() < schema["minItems"]) return false;
  if (has("maxItems") && value.size() > schema["maxItems"]) return false;
  const bool old_tuple = has("items") && schema["items"].is_array();
  const char* first = old_tuple ? "items" : "prefixItems";
  const char* rest = old_tuple ? "additionalItems" : "items";
  const size_t listed = has(first) ? schema[first].size() : 0;
  for (size_t i = 0; i < value.size(); ++i) {
    if (i < listed && !IsValid(schema[first][i], value[i], document)) return false;
    if (i >= listed && has(rest) && !IsValid(schema[rest], value[i], document)) return false;
    for (size_t j = 0; j < i; ++j) {
      if (has("uniqueItems") && schema["uniqueItems"] == true && IsEqual(value[i], value[j])) return false;
    }
  }
  return !has("contains") || std::any_of(value.begin(), value.end(), [&](const SchemaJson& item) {
    return IsValid(schema["contains"], item, document);
  });
}

inline bool IsValidMember(const SchemaJson& schema, const std::string& name, const SchemaJson& member,
                          const SchemaJson& document) {
  bool described = false;
  if (schema.contains("properties") && schema["properties"].contains(name)) {
    described = true;
    if (!IsValid(schema["properties"][name], member, document)) return false;
  }
  if (schema.contains("patternProperties")) {
    for (const auto& [pattern, part] : schema["patternProperties"].items()) {
      if (!IsMatch(pattern, name)) continue;
      described = true;
      if (!IsValid(part, member, document)) return false;
    }
  }
  if (schema.contains("propertyNames") && !IsValid(schema["propertyNames"], name, document)) return false;
  return described || !schema.contains("additionalProperties") ||
         IsValid(schema["additionalProperties"], member, document);
}

inline bool IsValidObject(const SchemaJson& schema, const SchemaJson& value, const SchemaJson& document) {
  const auto has = [&](const char* key) { return schema.contains(key); };
  const auto holds = [&](const SchemaJson& names) {
    return std::all_of(names.begin(), names.end(), [&](const auto& name) { return value.contains(name); });
  };
  if (has("minProperties") && value.size() < schema["minProperties"]) return false;
  if (has("maxProperties") && value.size() > schema["maxProperties"]) return false;
  if (has("required") && !holds(schema["required"])) return false;
  for (const auto& [name, member] : value.items()) {
    if (!IsValidMember(schema, name, member, document)) return false;
  }
  for (const char* key : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    if (!has(key)) continue;
    for (const auto& [name, needs] : schema[key].items()) {
      if (!value.contains(name)) continue;
      if (needs.is_array() ? !holds(needs) : !IsValid(needs, value, document)) return false;
    }
  }
  return true;
}

inline bool IsValid(const SchemaJson& schema, const SchemaJson& value, const SchemaJson& document) {
  const auto valid = [&](const SchemaJson& other) { return IsValid(other, value, document); };
  if (schema.is_boolean()) return schema.get<bool>();
  const auto has = [&](const char* key) { return schema.contains(key); };
  const auto count = [&](const SchemaJson& branches) {
    return std::count_if(branches.begin(), branches.end(), valid);
  };
  if (has("$ref")) {
    const std::string pointer = schema["$ref"].get<std::string>().substr(1);
    if (!valid(document.at(SchemaJson::json_pointer(pointer)))) return false;
  }
  if (has("allOf") && count(schema["allOf"]) != static_cast<int64_t>(schema["allOf"].size())) return false;
  if (has("anyOf") && count(schema["anyOf"]) == 0) return false;
  if (has("oneOf") && count(schema["oneOf"]) != 1) return false;
  if (has("not") && valid(schema["not"])) return false;
  if (has("if")) {
    const char* then = valid(schema["if"]) ? "then" : "else";
    if (has(then) && !valid(schema[then])) return false;
  }
  if (has("const") && !IsEqual(schema["const"], value)) return false;
  const auto equal = [&](const SchemaJson& one) { return IsEqual(one, value); };
  if (has("enum") && std::none_of(schema["enum"].begin(), schema["enum"].end(), equal)) return false;
  if (has("type")) {
    const SchemaJson types = schema["type"].is_array() ? schema["type"] : SchemaJson::array({schema["type"]});
    const bool null = has("nullable") && schema["nullable"] == true && value.is_null();
    if (!null && std::none_of(types.begin(), types.end(), [&](const auto& t) { return IsOfType(value, t); }))
      return false;
  }
  if (value.is_number()) return IsValidNumber(schema, value);
  if (value.is_string()) return IsValidString(schema, value.get<std::string>());
  if (value.is_array()) return IsValidArray(schema, value, document);
  return !value.is_object() || IsValidObject(schema, value, document);
}

}  // namespace tern::testing
