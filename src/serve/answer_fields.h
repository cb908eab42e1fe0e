// The fields that chats and completions have in common, those of other servers' interfaces included.
#pragma once

#include <span>

#include "serve/field_table.h"

namespace tern::serve {

/// The most that a request's n may be, whatever the engine would take.
inline constexpr int kMaxChoices = 128;
/// What a number of tokens without limit is taken for.
inline constexpr double kMaxTokens = 1e9;

std::span<const Field> SharedAnswerFields();

}  // namespace tern::serve
