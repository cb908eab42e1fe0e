// What each token of a vocabulary saves, when text is read as World reads it: the longest token first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/training_words.h"

namespace tern {

/// By token: how many more tokens the text of these chunks would have without it alone; 0 for single bytes,
/// which must all be there. Runs on all threads; the result does not depend on how many there are.
std::vector<int64_t> WorthOfTokens(const std::vector<CountedText>& chunks,
                                   const std::vector<std::string>& tokens);

}  // namespace tern
