// Regular expressions as parts of grammars.
#pragma once

#include <string_view>

#include "base/parallel.h"
#include "base/status.h"
#include "infer/grammar_builder.h"

namespace tern {

/// Reads an expression of ECMAScript's kind without back references, look-around, \b and \p; docs/grammar.md
/// has the list. As JSON Schema wants it, the pattern may match anywhere in a text unless ^ and $ (at the
/// ends of a whole alternative) say otherwise. `one_of` makes the expression of one character of a set,
/// however the grammar's texts write it. InvalidArgument or kUnsupported, with the place in the pattern.
Result<GrammarBuilder::Expr> PatternExpr(std::string_view pattern, GrammarBuilder* builder,
                                         FunctionRef<GrammarBuilder::Expr(const CharSet&)> one_of);

}  // namespace tern
