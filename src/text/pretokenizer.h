// GPT-2's way of cutting text into words, by hand instead of by a regular expression:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
#pragma once

#include <cstddef>
#include <string_view>

namespace tern {

/// Length in bytes of the word that `text` (valid UTF-8, not empty) begins with.
size_t NextWord(std::string_view text);

}  // namespace tern
