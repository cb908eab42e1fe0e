// Finds the tokens that are cut out of a text before it is split into words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/neox_vocab.h"

namespace tern {

/// The added tokens of one kind (normalized or not). Immutable; safe to share between threads.
class AddedTokens {
 public:
  /// A token at [begin, end) of a text.
  struct Found {
    size_t begin, end;
    int32_t id;
  };

  /// Keeps those of `tokens` whose `normalized` is as given; their contents are brought into NFC when `nfc`
  /// is set.
  AddedTokens(const std::vector<AddedToken>& tokens, bool normalized, bool nfc);

  /// The first token at or after `from`, the longest where several begin together, as the Hugging Face
  /// library finds them. White space that lstrip takes begins no earlier than `floor`, the end of the token
  /// before. begin == text.size() when there is none. `from` must be the end of the last match without what
  /// rstrip took: `resume` receives the next.
  Found Next(std::string_view text, size_t from, size_t floor, size_t* resume) const;

  bool empty() const { return tokens_.empty(); }

 private:
  std::vector<AddedToken> tokens_;
  ByteTrie trie_;                  ///< ids are indices into tokens_
  std::array<bool, 256> first_{};  ///< bytes that some token begins with
};

}  // namespace tern
