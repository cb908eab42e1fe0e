// The texts of a vocabulary's tokens, arranged so that a grammar can be asked about all of them at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tern {

/// Texts of tokens as a tree of bytes. The children of a node stand side by side, ascending by byte.
struct TokenTrie {
  struct Node {
    uint32_t first = 0;     ///< of its children
    uint32_t children = 0;  ///< their number
    uint32_t begin = 0;     ///< `tokens` from begin to end have texts that begin with this node's
    uint32_t own_end = 0;   ///< those from begin to own_end have just this text
    uint32_t end = 0;
  };
  std::vector<uint8_t> bytes = {};   ///< by node
  std::vector<Node> nodes = {};      ///< the first is the root, which has no byte
  std::vector<int32_t> tokens = {};  ///< sorted by text
};

/// A set of characters that a grammar often allows without any distinction.
enum class CharKind : uint8_t {
  kLetters,  ///< A to Z and a to z
  kWords,    ///< letters and the space
  kAscii,    ///< printable ASCII without the quotation mark and the backslash: JSON strings hold it unescaped
  kWide,     ///< letters, the space and every character from U+0080 on
  kUnicode,  ///< kAscii and every character from U+0080 on
};
inline constexpr size_t kCharKinds = 5;
inline bool HasMoreThanAscii(CharKind kind) { return kind >= CharKind::kWide; }

struct ByteInterval {
  uint8_t low, high;
};
/// The kind's ASCII characters.
std::span<const ByteInterval> AsciiBytesOf(CharKind kind);

/// The tokens whose texts are made of one kind of characters and of no smaller kind. Where a grammar allows
/// any character of the kind after any other, these tokens need no walk through the trie.
struct TokenSlice {
  CharKind kind = CharKind::kAscii;
  TokenTrie trie = {};
  size_t longest = 0;  ///< in characters
  /// By n, from 0 to `longest`: the tokens of at most n characters, bit t of word t / 64.
  std::vector<std::vector<uint64_t>> masks = {};
};

/// All tokens with a text. Immutable; one for all grammars and threads (World: about 5 MB).
class TokenTree {
 public:
  /// Tokens without text are left out: only the end of a text is a token without one.
  explicit TokenTree(const Tokenizer& tokenizer);

  /// One for each kind. Texts beyond ASCII may end within a character. Texts of more than kSliceChars
  /// characters are in others().
  const std::array<TokenSlice, kCharKinds>& slices() const { return slices_; }
  const TokenTrie& others() const { return others_; }

  size_t vocab_size() const { return texts_.size(); }
  size_t longest() const { return longest_; }  ///< in bytes
  std::string_view text(int32_t token) const { return texts_[static_cast<size_t>(token)]; }

  static constexpr size_t kSliceChars = 32;

 private:
  struct SliceToken {
    int32_t token;
    size_t chars;
  };
  TokenTrie MakeTrie(std::vector<int32_t> tokens) const;
  TokenSlice MakeSlice(CharKind kind, const std::vector<SliceToken>& tokens) const;

  std::vector<std::string> texts_;
  std::array<TokenSlice, kCharKinds> slices_;
  TokenTrie others_;
  size_t longest_ = 0;
};

}  // namespace tern
