// RWKV World's vocabulary as web-rwkv and Ai00 keep it: {"1": "\u0000", …, "129": [128], …}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern {

/// Whether a JSON object's first key is a number: then it is such a vocabulary, not a tokenizer.json.
bool IsJsonVocab(std::string_view content);

/// Tokens' bytes by id; empty where the file has a gap. A token is a text or an array of bytes. Ids are
/// decimal, from 1 to at most 16 × tokens + 65,536, each once; 0 may stand for the end of a document.
/// `source` names the file in errors, which name the id too.
Result<std::vector<std::string>> ParseJsonVocab(std::string_view content, const std::string& source);

}  // namespace tern
