// Formats of JSON Schema's strings, as regular languages.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "infer/regular_language.h"

namespace tern {

/// The texts of a format of JSON Schema's that is enforced (docs/grammar.md has the list); nothing for all
/// other names, which are annotations. Compiled once per process. Thread-safe.
Result<std::optional<RegularLanguage>> LanguageOfFormat(std::string_view format);

}  // namespace tern
