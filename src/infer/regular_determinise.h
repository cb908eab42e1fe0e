// From the tree of a regular expression to a deterministic automaton.
#pragma once

#include "base/status.h"
#include "infer/regular_automaton.h"
#include "infer/regular_parse.h"

namespace tern {

/// The texts in which the expression matches somewhere. Minimal. kExhausted when it needs too many states.
Result<RegularAutomaton> AutomatonOf(const RegularTree& tree, RegularBudget* budget);

}  // namespace tern
