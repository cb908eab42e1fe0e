// String literals of Python, as vocabularies write their tokens.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace tern {

/// The bytes of one literal: '…' or "…" (a str, taken as UTF-8) or b'…' or b"…". Escapes are Python's: \n \t
/// \r \a \b \f \v \\ \' \" \xNN, one to three octal digits; in a str also \uNNNN and \UNNNNNNNN; an unknown
/// escape stands for itself, backslash included. Refused with a reason: anything after the closing quote, a
/// \x without two digits, surrogates, code points beyond U+10FFFF, \N{…}, non-ASCII characters in bytes,
/// invalid UTF-8 in a str, a NUL byte.
Result<std::string> ParsePythonLiteral(std::string_view literal);

/// The same escapes without quotes around them, as in the inside of b'…' (GGUF files carry World tokens so).
Result<std::string> UnescapePythonBytes(std::string_view body);

}  // namespace tern
