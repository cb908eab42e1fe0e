#include "infer/json_schema_strings.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "infer/json_schema_formats.h"

namespace tern {
namespace {

/// A keyword's number of characters; above all that can be counted it is the greatest number.
Result<uint32_t> LengthOf(const PlacedSchema& placed, const char* key, uint32_t absent) {
  if (!placed.schema.contains(key)) return absent;
  const Json& value = placed.schema[key];
  const bool whole = value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  if (!whole || value.get<double>() < 0)
    return InvalidArgument(PointerTo(placed.pointer, key) + ": not a count");
  return static_cast<uint32_t>(std::min(value.get<double>(), 4294967295.0));
}

Result<std::optional<std::string>> TextOf(const PlacedSchema& placed, const char* key) {
  if (!placed.schema.contains(key)) return std::optional<std::string>();
  if (!placed.schema[key].is_string())
    return InvalidArgument(PointerTo(placed.pointer, key) + ": not a text");
  return std::optional<std::string>(placed.schema[key].get<std::string>());
}

}  // namespace

Result<RegularLanguage> JsonStringLanguages::OfPattern(const std::string& pattern, const std::string& at) {
  const auto known = patterns_.find(pattern);
  if (known != patterns_.end()) return known->second;
  const auto language = RegularLanguage::OfPattern(pattern, &budget_);
  if (!language.ok()) return language.status().WithContext(at);
  patterns_.emplace(pattern, *language);
  return *language;
}

Result<RegularLanguage> JsonStringLanguages::OfSchema(const PlacedSchema& placed) {
  TERN_ASSIGN_OR_RETURN(const auto pattern, TextOf(placed, "pattern"));
  TERN_ASSIGN_OR_RETURN(const auto format, TextOf(placed, "format"));
  TextLength length;
  TERN_ASSIGN_OR_RETURN(length.min, LengthOf(placed, "minLength", 0));
  TERN_ASSIGN_OR_RETURN(length.max, LengthOf(placed, "maxLength", TextLength::kUnlimited));
  const Key key{pattern.value_or(""), format.value_or(""), length.min, length.max};
  const auto known = combined_.find(key);
  if (known != combined_.end()) return known->second;

  RegularLanguage language = RegularLanguage::OfLength(length);
  if (pattern) {
    const std::string at = PointerTo(placed.pointer, "pattern");
    TERN_ASSIGN_OR_RETURN(const RegularLanguage matching, OfPattern(*pattern, at));
    TERN_ASSIGN_OR_RETURN(language, Both(language, matching, at));
  }
  if (format) {
    const std::string at = PointerTo(placed.pointer, "format");
    TERN_ASSIGN_OR_RETURN(const auto texts, LanguageOfFormat(*format));
    if (texts) {
      TERN_ASSIGN_OR_RETURN(language, Both(language, *texts, at));
    }
  }
  combined_.emplace(key, language);
  return language;
}

Result<RegularLanguage> JsonStringLanguages::Both(const RegularLanguage& a, const RegularLanguage& b,
                                                  const std::string& at) {
  auto both = a.Intersection(b, &budget_);
  if (!both.ok()) return both.status().WithContext(at);
  return both;
}

}  // namespace tern
