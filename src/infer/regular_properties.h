// The general categories of Unicode as sets of characters.
#pragma once

#include <optional>
#include <string_view>

#include "infer/grammar_chars.h"

namespace tern {

/// The characters of a general category, by its short or long name as \p{…} has them ("Lu", "L",
/// "Uppercase_Letter", "gc=Lu"; "Any"; utf8proc's version of Unicode). Nothing for other names.
std::optional<CharSet> GeneralCategory(std::string_view name);

}  // namespace tern
