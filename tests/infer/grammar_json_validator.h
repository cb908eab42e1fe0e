// A validator of JSON Schema that knows nothing of grammars: what the constraint promises is checked against
// it. It covers the keywords that are supported, by their definitions in the specification.
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

inline bool IsValid(const SchemaJson& schema, const SchemaJson& value, const SchemaJson& document) {
  const auto valid = [&](const SchemaJson& other, const SchemaJson& part) {
    return IsValid(other, part, document);
  };
  if (schema.is_boolean()) return schema.get<bool>();
  const auto has = [&](const char* key) { return schema.contains(key); };
  const auto count = [&](const SchemaJson& branches) {
    return std::count_if(branches.begin(), branches.end(),
                         [&](const SchemaJson& s) { return valid(s, value); });
  };
  if (has("$ref")) {
    const std::string pointer = schema["$ref"].get<std::string>().substr(1);
    if (!valid(document.at(SchemaJson::json_pointer(pointer)), value)) return false;
  }
  if (has("allOf") && count(schema["allOf"]) != static_cast<int64_t>(schema["allOf"].size())) return false;
  if (has("anyOf") && count(schema["anyOf"]) == 0) return false;
  if (has("oneOf") && count(schema["oneOf"]) != 1) return false;
  if (has("const") && schema["const"] != value) return false;
  if (has("enum") && std::count(schema["enum"].begin(), schema["enum"].end(), value) == 0) return false;
  if (has("type")) {
    const SchemaJson types = schema["type"].is_array() ? schema["type"] : SchemaJson::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(), [&](const auto& t) { return IsOfType(value, t); }))
      return false;
  }
  if (value.is_number()) {
    if (has("minimum") && value < schema["minimum"]) return false;
    if (has("maximum") && value > schema["maximum"]) return false;
    if (has("exclusiveMinimum") && value <= schema["exclusiveMinimum"]) return false;
    if (has("exclusiveMaximum") && value >= schema["exclusiveMaximum"]) return false;
  }
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (has("minLength") && CountCharacters(text) < schema["minLength"]) return false;
    if (has("maxLength") && CountCharacters(text) > schema["maxLength"]) return false;
    if (has("pattern") && !std::regex_search(Wide(text), std::wregex(Wide(schema["pattern"])))) return false;
    if (has("format") && !IsOfFormat(text, schema["format"])) return false;
  }
  if (value.is_array()) {
    if (has("minItems") && value.size() < schema["minItems"]) return false;
    if (has("maxItems") && value.size() > schema["maxItems"]) return false;
    const size_t listed = has("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (i < listed && !valid(schema["prefixItems"][i], value[i])) return false;
      if (i >= listed && has("items") && !valid(schema["items"], value[i])) return false;
    }
  }
  if (value.is_object()) {
    if (has("required")) {
      for (const auto& name : schema["required"]) {
        if (!value.contains(name.get<std::string>())) return false;
      }
    }
    for (const auto& [name, member] : value.items()) {
      if (has("properties") && schema["properties"].contains(name)) {
        if (!valid(schema["properties"][name], member)) return false;
      } else if (has("additionalProperties") && !valid(schema["additionalProperties"], member)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace tern::testing
