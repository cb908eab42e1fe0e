// What Unicode says of characters: general categories, and which differ in their case alone.
#pragma once

#include <optional>
#include <string_view>

#include "infer/grammar_chars.h"

namespace tern {

/// The characters of a general category, by its short or long name as \p{…} has them ("Lu", "L",
/// "Uppercase_Letter", "gc=Lu"; "Any"; utf8proc's version of Unicode). Nothing for other names.
std::optional<CharSet> GeneralCategory(std::string_view name);

/// The set and all characters that ECMAScript's flag i takes for one of it: those of the same upper case, of
/// one character; but none beyond ASCII for one of ASCII.
CharSet WithOtherCases(const CharSet& set);

}  // namespace tern
