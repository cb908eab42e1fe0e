// What byte-level BPE must know of Unicode: letters, numbers, white space, and normalisation form C.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace };

/// The class of a code point: \p{L}, \p{N}, White_Space or none of them (utf8proc's version of Unicode).
CharClass ClassOf(int32_t codepoint);

/// \w of regular expressions: alphabetic, mark, decimal number, connector punctuation, joiner.
bool IsWordChar(int32_t codepoint);

/// Normalisation form C of valid UTF-8. When `text` is in that form already, it is returned itself; else the
/// result is put into `buffer`, of which a view is returned. Linear but for sorting runs of combining marks
/// (n log n).
std::string_view NormalizeNfc(std::string_view text, std::string* buffer);

}  // namespace tern
