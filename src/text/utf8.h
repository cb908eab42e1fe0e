// UTF-8, one character at a time, with the errors named as the WHATWG decoder names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

/// What stands at one place of a text.
struct Utf8Char {
  int32_t codepoint = 0;  ///< meaningful only when `valid`
  uint32_t length = 0;  ///< bytes of the character; of the maximal subpart (at least 1) when it is not valid
  bool valid = false;
  bool truncated = false;  ///< not valid only because the text ends: more bytes could complete it
};

/// The character at `at` (< text.size()). Surrogates and overlong forms are not valid.
Utf8Char DecodeUtf8(std::string_view text, size_t at);

/// Whether all of it is characters.
bool IsUtf8(std::string_view text);

/// Appends a code point (0 to 0x10FFFF, no surrogate).
void AppendUtf8(int32_t codepoint, std::string* text);

}  // namespace tern
