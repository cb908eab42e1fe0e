// Records of data files: JSON lines, or one JSON array, an object each.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/text_file.h"

namespace tern {

/// Whether a path's ending says that the file holds records: .jsonl, .ndjson or .json, in any case.
bool NamesJson(std::string_view path);

/// A record as it stands in its file.
struct JsonRecord {
  std::string_view raw;
  TextPlace place;  ///< of its first byte
};

/// Cuts a text into records, in order. A text that begins with a bracket is one array, whose elements are the
/// records; of any other, every line that is not blank is one. Not thread-safe.
class JsonRecordCutter {
 public:
  /// `text` must outlive the cutter and its records. `name` is for messages.
  JsonRecordCutter(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  /// Nothing at the end. Fails where an array is not one; what a record holds is not looked at.
  Result<std::optional<JsonRecord>> Next();
  size_t position() const { return position_; }  ///< bytes read

 private:
  enum class Shape { kUnknown, kLines, kArray, kEnd };
  std::optional<JsonRecord> NextLine();
  Result<std::optional<JsonRecord>> NextElement();
  size_t EndOfElement() const;
  void SkipSpace();
  void Advance(size_t bytes);
  Status Error(const char* what) const;

  std::string_view text_;
  std::string name_;
  size_t position_ = 0;
  TextPlace place_;
  Shape shape_ = Shape::kUnknown;
  bool first_ = true;  ///< no element yet
};

/// The object that a record holds; it must be one. Every error names file, line and column. Values that no
/// use can be made of are no error until they are asked for: numbers beyond double, NaN and strings with lone
/// surrogates become binary values, which JSON has no other use for, with the JSON text as content.
Result<nlohmann::json> ParseJsonRecord(const JsonRecord& record, const std::string& name);

/// The string under `key`. Corrupt, naming the key, when there is none, when it is something else, or
/// when it holds a lone surrogate.
Result<std::string> JsonString(const nlohmann::json& object, const char* key);
/// The same for a value that has no key of its own; `what` names it.
Result<std::string> JsonStringValue(const nlohmann::json& value, const std::string& what);
/// A value as it stood in the file, for messages.
std::string ShowJson(const nlohmann::json& value);

}  // namespace tern
