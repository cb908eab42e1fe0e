// Grammars of plain texts: one of several strings, or what a regular expression describes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/grammar.h"

namespace tern {

/// Texts that are one of `texts`: at least one, UTF-8, together at most GrammarLimits::kTextBytes.
Result<std::shared_ptr<const Grammar>> ChoiceGrammar(std::vector<std::string> texts);

/// Texts that the whole expression matches; `^` and `$` at the ends of an alternative change nothing.
/// docs/grammar.md says what is supported; the rest is refused by an error that names the byte.
Result<std::shared_ptr<const Grammar>> RegexGrammar(std::string_view pattern);

}  // namespace tern
