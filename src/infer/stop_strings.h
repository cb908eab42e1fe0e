// Ends a text at given strings, wherever the borders between its pieces fall.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern {

/// Watches a stream of pieces (tokens' bytes) for stop strings. It works on bytes, before Utf8Stream: a stop
/// string may begin in the middle of a token, and a token may end in the middle of a character. Text is held
/// back only as long as it could be the beginning of a stop string. The stop that ends first in the text
/// wins; of several that end there, the longest: the text ends where that one begins. Time is linear in the
/// text, whatever the stop strings (Aho and Corasick's automaton). Copies share the automaton; not
/// thread-safe.
class StopStrings {
 public:
  /// InvalidArgument when a stop string is empty (it would end every text), or all of them together exceed
  /// kMaxBytes. No stop strings at all is fine: everything passes.
  static Result<StopStrings> Make(const std::vector<std::string>& stops);
  static constexpr size_t kMaxBytes = size_t{1} << 20;

  /// Takes the next piece and returns what may be shown now. After a stop was found: takes and returns
  /// nothing more.
  std::string Push(std::string_view piece);
  /// The text ends here without a stop: returns what was held back (nothing after a stop).
  std::string Finish();
  /// Whether a stop string was found. What Push returned up to now is then all the text there is.
  bool stopped() const { return stopped_; }
  /// Bytes held back.
  size_t held() const { return buffer_.size() - begin_; }

 private:
  /// A trie of the stop strings; the path to a node is a beginning of one.
  struct Node {
    uint8_t byte = 0;
    int32_t first_child = -1;
    int32_t next_sibling = -1;
    int32_t fail = 0;    // the longest proper suffix of this path that is itself a path
    uint32_t depth = 0;  // the path's length
    uint32_t match = 0;  // the longest stop string that ends this path; 0: none
  };
  using Trie = std::vector<Node>;

  explicit StopStrings(std::shared_ptr<const Trie> trie) : trie_(std::move(trie)) {}
  static int32_t Child(const Trie& trie, int32_t node, uint8_t byte);
  static int32_t Next(const Trie& trie, int32_t node, uint8_t byte);
  static void Insert(Trie* trie, std::string_view stop);
  static void LinkSuffixes(Trie* trie);
  std::string Take(size_t count);

  std::shared_ptr<const Trie> trie_;
  int32_t node_ = 0;
  bool stopped_ = false;
  std::string buffer_;  // from begin_ on: the text held back
  size_t begin_ = 0;
};

}  // namespace tern
