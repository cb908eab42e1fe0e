// How the texts of a regular language are written in bytes.
#pragma once

#include <string>

#include "base/status.h"
#include "infer/byte_automaton.h"
#include "infer/regular_automaton.h"

namespace tern {

enum class TextSpelling : uint8_t {
  kPlain,       ///< UTF-8
  kJsonString,  ///< between quotes; what JSON must escape is written in one way, all else as UTF-8
};

/// The one way in which a character is written that a JSON string must escape (\" \\ \b \f \n \r \t \u00xx);
/// empty for all others.
std::string JsonEscape(int32_t character);

/// The texts of a minimal automaton as bytes; equal ends are shared. kExhausted beyond kMaxByteStates.
Result<ByteAutomaton> BytesOf(const RegularAutomaton& automaton, TextSpelling spelling,
                              RegularBudget* budget);

/// The texts of a language, which is not empty, as JSON strings (TextSpelling::kJsonString). Where its length
/// would need many states the characters are counted beside the state (ByteAutomaton::count).
Result<ByteAutomaton> StringBytesOf(const RegularLanguage& language, RegularBudget* budget);

inline constexpr size_t kMaxByteStates = size_t{1} << 16;

}  // namespace tern
