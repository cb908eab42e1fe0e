// A World vocabulary as GGUF carries it: tokens are byte strings, GGUF's strings are UTF-8, so bytes are
// escaped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/tensor_source.h"

namespace tern {

/// Whether the checkpoint is a GGUF whose keys hold a tokenizer, of whatever kind.
bool CarriesTokenizer(const Checkpoint& checkpoint);

/// \t \n \r \\ and \xNN for what is no printable ASCII, as Python writes bytes and llama.cpp reads them.
std::string EscapeToken(std::string_view bytes);
/// The inverse, as llama.cpp does it. Lenient: a cut-off escape yields what was complete of it.
std::string UnescapeToken(std::string_view escaped);

/// The vocabulary in a GGUF's keys, by id; empty when it has none of model "rwkv". Control and unused tokens
/// are empty strings.
std::vector<std::string> VocabularyFromGguf(const Metadata& metadata);
/// The keys that llama.cpp needs for it, filled up to `size` ids. Without a vocabulary: keys that say there
/// is none.
Status AddVocabularyToGguf(const std::vector<std::string>& vocabulary, uint64_t size,
                           const std::string& architecture, Metadata* metadata);

}  // namespace tern
