// Frequent pieces of words, found as byte-pair encoding finds its merges.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/training_words.h"

namespace tern {

/// Begins with the characters of the words (valid UTF-8), joins the most frequent neighbours again and again,
/// and returns the first `limit` pieces of two or more bytes in the order found: characters first (the
/// frequent ones first), then what was joined. Pieces seen less than `min_count` times are left out.
/// Deterministic: equals are taken in the order of the words.
std::vector<std::string> FindMergeCandidates(const std::vector<CountedText>& words, size_t limit,
                                             int64_t min_count);

}  // namespace tern
