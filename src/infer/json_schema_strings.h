// JSON Schema's strings: pattern, format and lengths as one regular language.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/status.h"
#include "infer/json_schema_merge.h"
#include "infer/json_schema_values.h"
#include "infer/regular_language.h"

namespace tern {

/// The languages of one schema document: each pattern and each format is compiled once, and all share a
/// budget. Not thread-safe.
class JsonStringLanguages {
 public:
  /// The strings (without quotes and escapes) that the schema's pattern, format, minLength and maxLength
  /// allow; all its other keywords are ignored. May be empty.
  Result<RegularLanguage> OfSchema(const PlacedSchema& placed);
  /// The names or strings in which a pattern matches. `at` is the pattern's JSON pointer, for errors.
  Result<RegularLanguage> OfPattern(const std::string& pattern, const std::string& at);

  RegularBudget* budget() { return &budget_; }

 private:
  using Key = std::tuple<std::string, std::string, uint32_t, uint32_t>;
  /// `at`: the keyword that asks for it, for errors.
  Result<RegularLanguage> Both(const RegularLanguage& a, const RegularLanguage& b, const std::string& at);

  RegularBudget budget_;
  std::map<Key, RegularLanguage> combined_;
  std::map<std::string, RegularLanguage> patterns_;
};

}  // namespace tern
