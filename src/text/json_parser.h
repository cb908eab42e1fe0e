// JSON as data files hold it: what the standard allows but a program has no type for is kept as it stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tern {

/// Subtypes of the binary values that JsonParser makes.
inline constexpr uint64_t kJsonNoNumber = 1;       ///< a number beyond double; NaN, Infinity, -Infinity
inline constexpr uint64_t kJsonLoneSurrogate = 2;  ///< a string with half of a surrogate pair

/// Reads one value. nlohmann's own parser refuses numbers beyond double, lone surrogates and the NaN and
/// Infinity that Python writes, wherever they stand; here they become binary values with the JSON text as
/// content, so that only their use is an error. Of equal keys the last one counts. The text must be UTF-8
/// (CheckText).
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  /// The whole text must be one value. On false error() and position() say what is wrong where.
  bool Parse(nlohmann::json* value);
  const std::string& error() const { return error_; }
  size_t position() const { return at_; }  ///< in bytes

 private:
  using Json = nlohmann::json;
  static constexpr int kDeepest = 256;

  bool Value(Json* value, int depth);
  bool Object(Json* value, int depth);
  bool Array(Json* value, int depth);
  bool Word(Json* value);
  bool Number(Json* value);
  bool String(std::string* text, bool* lone);
  bool Escape(std::string* text, bool* lone);
  bool UnicodeEscape(std::string* text, bool* lone);
  bool HexDigits(uint32_t* number);
  bool Fail(std::string error);
  void SkipSpace();
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c);

  std::string_view text_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace tern
