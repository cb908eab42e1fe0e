// The byte-level BPE vocabulary that a GGUF of kind "gpt2" carries.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace tern {

/// The lists of such a file, under tokenizer.ggml.
struct GgufBpe {
  std::vector<std::string> tokens;  ///< tokens, in GPT-2's alphabet of bytes
  std::vector<int64_t>
      types;  ///< token_type: 1 normal, 3 control, 4 user-defined, 5 unused; empty: all normal
  std::vector<std::string> merges;  ///< merges: "a b"
  std::string pre;                  ///< pre; empty in files older than the key, which meant GPT-2's
};

/// The tokenizer, with GPT-2's way of cutting text into words and without normalisation, of which a GGUF says
/// nothing. Other ways of cutting (`pre`) are refused by name; so are lists that do not fit each other.
/// `source` names the file in errors.
Result<std::shared_ptr<const Tokenizer>> MakeGgufBpeTokenizer(const GgufBpe& lists,
                                                              const std::string& source);

}  // namespace tern
