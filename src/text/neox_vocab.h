// The parts of a Hugging Face tokenizer.json of the GPT-NeoX kind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/bpe.h"

namespace tern {

/// A token that is found in the text before anything else is done.
struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  ///< only where no letter, digit or mark stands beside it
  bool lstrip = false;       ///< takes the white space before it with it
  bool rstrip = false;       ///< and after it
  bool normalized = false;   ///< found in the normalised text, after the others
  bool special = false;
};

struct NeoxVocab {
  std::vector<std::string> tokens;  ///< bytes by id; empty in gaps
  /// The tokens of the 256 single bytes. -1 only for bytes that UTF-8 never uses (C0, C1, F5 to FF): the 20B
  /// vocabulary has no tokens for them.
  std::vector<int32_t> byte_ids;
  MergeTable merges{0};
  std::vector<AddedToken> added;
  bool nfc = false;
};

/// Reads the JSON text of a file that `source` names. What Tern would not encode as the Hugging Face library
/// does is refused: another model than BPE, another pre-tokeniser or decoder than ByteLevel, another
/// normaliser than NFC, dropout, subword prefixes. Ids are at most 16 × tokens + 65,536.
Result<NeoxVocab> ParseNeoxVocab(std::string_view json, const std::string& source);

}  // namespace tern
