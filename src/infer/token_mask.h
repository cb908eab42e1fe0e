// Which tokens of a vocabulary may follow in a grammar, and the constraint that a generation carries along.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "infer/grammar_matcher.h"
#include "infer/lazy_automaton.h"
#include "infer/token_tree.h"
#include "text/tokenizer.h"

namespace tern {

/// A set of tokens: bit t of words[t / 64].
struct TokenMask {
  std::vector<uint64_t> words;
  size_t count = 0;

  bool Contains(int32_t token) const {
    const auto t = static_cast<size_t>(token);
    return token >= 0 && t / 64 < words.size() && (words[t / 64] >> (t % 64) & 1) != 0;
  }
};

/// The masks of one grammar over one vocabulary. Keeps what it found: the states that texts lead to, and the
/// masks of those where a token began. Thread-safe: share it between all generations with the grammar.
class TokenMasks {
 public:
  /// Beyond `most_kept` bytes everything kept is dropped before the next search.
  TokenMasks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tokens,
             size_t most_kept = kKeptBytes);
  TokenMasks(const TokenMasks&) = delete;
  TokenMasks& operator=(const TokenMasks&) = delete;

  /// The tokens whose whole text may follow (the end of the text is not among them: see TokenConstraint).
  /// `matcher` must be of this grammar. kExhausted when the grammar is so ambiguous here that finding out
  /// takes more than kMaxWork, kInvalidArgument when nothing may follow as it would always lead to more than
  /// GrammarMatcher::kMaxItems places.
  Result<std::shared_ptr<const TokenMask>> Find(const GrammarMatcher& matcher);

  const std::shared_ptr<const Grammar>& grammar() const { return grammar_; }
  const TokenTree& tokens() const { return *tokens_; }

  /// The memory of what is kept, about.
  size_t kept_bytes() const;

  static constexpr size_t kMaxWork = size_t{1} << 22;  ///< edges looked at for one mask
  static constexpr size_t kKeptBytes = size_t{8} << 20;

 private:
  using State = LazyAutomaton::State;
  /// A node of a trie and the state that its text leads to.
  struct Visit {
    uint32_t node;
    State state;
  };

  size_t KeptBytes() const;
  Result<std::shared_ptr<const TokenMask>> MaskOf(State state, const GrammarMatcher& matcher);
  void AddSlice(const TokenSlice& slice, State start, std::vector<uint64_t>* words);
  bool AddAllBut(const TokenSlice& slice, State start, std::vector<uint64_t>* words);
  bool IsWhole(CharKind kind, State start, uint8_t byte);
  void Walk(const TokenTrie& trie, std::optional<CharKind> kind, Visit start, std::vector<uint64_t>* words);
  State Next(State from, uint8_t byte);

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTree> tokens_;
  size_t most_kept_;
  mutable std::mutex mutex_;
  LazyAutomaton automaton_;
  std::unordered_map<State, std::shared_ptr<const TokenMask>> masks_;
  std::vector<Visit> open_;     // of a walk
  std::vector<Visit> partial_;  // of AddAllBut
  size_t most_work_ = 0;        // of the automaton, at which the search for a mask gives up
  bool too_many_ = false;       // whether a byte was refused because it leads to too many places
};

/// What one generation may still write. A value: copy it to fork a generation or to roll one back. Not
/// thread-safe; copies are independent.
class TokenConstraint {
 public:
  explicit TokenConstraint(std::shared_ptr<TokenMasks> masks)
      : masks_(std::move(masks)), matcher_(masks_->grammar()) {}

  /// Sets the logits of all tokens that may not follow to -inf; tokens in `ends` (end of document, stop
  /// tokens) may come where the text is complete, and nowhere else. InvalidArgument when nothing may follow
  /// at all.
  Status Apply(std::span<float> logits, std::span<const int32_t> ends);
  /// Reads a token that Apply left; the ends are not read. InvalidArgument, changing nothing, for any other.
  Status Accept(int32_t token);

  /// Whether the text may end here.
  bool complete() const { return matcher_.complete(); }
  /// Whether it must: a generation ends here without sampling an end.
  bool finished() const { return matcher_.complete() && matcher_.exhausted(); }
  const GrammarMatcher& matcher() const { return matcher_; }

 private:
  std::shared_ptr<TokenMasks> masks_;
  GrammarMatcher matcher_;
};

/// A grammar and a vocabulary, ready for generations.
std::shared_ptr<TokenMasks> MakeTokenMasks(std::shared_ptr<const Grammar> grammar,
                                           const Tokenizer& tokenizer);

}  // namespace tern
