// Which tokens of a vocabulary may follow in a grammar, and the constraint that a generation carries along.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "infer/grammar_matcher.h"
#include "text/tokenizer.h"

namespace tern {

/// The texts of a vocabulary's tokens as a tree of bytes, laid out in the order of a walk. Immutable; one for
/// all grammars and threads (16 bytes a node; World: 116,000 nodes).
class TokenTree {
 public:
  struct Node {
    uint32_t end;    ///< the first node that is not below this one
    int32_t token;   ///< whose text ends here; -1: none
    int32_t more;    ///< index into more(): further tokens of the same text, closed by -1; -1: none
    uint16_t depth;  ///< bytes up to here, this one's included
    uint8_t byte;
  };

  /// Tokens without text are left out: only the end of a text is a token without one.
  explicit TokenTree(const Tokenizer& tokenizer);

  const std::vector<Node>& nodes() const { return nodes_; }  ///< without the root
  const std::vector<int32_t>& more() const { return more_; }
  size_t vocab_size() const { return texts_.size(); }
  size_t longest() const { return longest_; }
  std::string_view text(int32_t token) const { return texts_[static_cast<size_t>(token)]; }

 private:
  std::vector<std::string> texts_;
  std::vector<Node> nodes_;
  std::vector<int32_t> more_;
  size_t longest_ = 0;
};

/// A set of tokens: bit t of words[t / 64].
struct TokenMask {
  std::vector<uint64_t> words;
  size_t count = 0;

  bool Contains(int32_t token) const {
    const auto t = static_cast<size_t>(token);
    return token >= 0 && t / 64 < words.size() && (words[t / 64] >> (t % 64) & 1) != 0;
  }
};

/// The masks of one grammar over one vocabulary. What was found is kept: places in the grammar that recur,
/// the bytes that lead from one to another, their masks. Thread-safe: share it between all generations with
/// the grammar.
class TokenMasks {
 public:
  TokenMasks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTree> tokens);
  ~TokenMasks();
  TokenMasks(const TokenMasks&) = delete;
  TokenMasks& operator=(const TokenMasks&) = delete;

  /// The tokens whose whole text may follow (the end of the text is not among them: see TokenConstraint).
  /// `matcher` must be of this grammar. kExhausted when the grammar is so ambiguous here that finding out
  /// takes more than kMaxWork, kInvalidArgument when nothing may follow as it would always lead to more than
  /// GrammarMatcher::kMaxItems places.
  Result<std::shared_ptr<const TokenMask>> Find(const GrammarMatcher& matcher);

  const std::shared_ptr<const Grammar>& grammar() const { return grammar_; }
  const TokenTree& tokens() const { return *tokens_; }

  static constexpr size_t kMaxWork = size_t{1} << 22;  ///< edges looked at for one mask
  static constexpr size_t kKeptWork = size_t{1}
                                      << 22;  ///< edges looked at for all that is kept (bounds its memory)
  static constexpr size_t kKeptPlaces = size_t{1} << 14;  ///< beyond, all that was kept is thrown away
  static constexpr size_t kKeptMasks = size_t{1} << 10;   ///< the same; 8 KB each for World

 private:
  struct Place;
  struct PlaceHash {
    size_t operator()(const GrammarPlaces* places) const { return places->hash; }
  };
  struct PlaceEqual {
    bool operator()(const GrammarPlaces* a, const GrammarPlaces* b) const { return *a == *b; }
  };

  static constexpr int32_t kUnknown = -1, kNowhere = -2, kTooMany = -3;

  void ForgetIfFull();
  int32_t PlaceOf(const GrammarMatcher& matcher);
  int32_t Next(int32_t from, uint8_t byte);
  Result<std::shared_ptr<const TokenMask>> Walk(int32_t start);

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTree> tokens_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Place>> places_;
  std::unordered_map<const GrammarPlaces*, int32_t, PlaceHash, PlaceEqual> numbers_;  // of the places
  size_t masks_ = 0;                                                                  // kept
  size_t kept_work_ = 0;
  size_t work_ = 0;            // for the mask that is being found
  std::vector<int32_t> path_;  // of the walk
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
