// Formats of JSON Schema's strings, as regular expressions.
#pragma once

#include <string>
#include <string_view>

namespace tern {

/// A pattern (infer/grammar_pattern.h) all of whose texts are of the format; empty: a format that is not
/// supported.
std::string PatternOfFormat(std::string_view format);
/// The names of all supported formats, for an error.
std::string SupportedFormats();

}  // namespace tern
