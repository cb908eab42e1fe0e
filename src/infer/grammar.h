// Which texts a generation may write: a context-free grammar, compiled to automata over UTF-8 bytes.
// docs/grammar.md has the language, the JSON Schema table and the limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern {

/// What a grammar may cost. A grammar from a stranger beyond any of these is refused, never half understood.
struct GrammarLimits {
  static constexpr size_t kTextBytes = size_t{1} << 20;  ///< of a grammar's or a schema's text
  static constexpr int32_t kNesting = 200;               ///< of groups in a text, of schemas in a schema
  static constexpr int32_t kRepeats = 1 << 16;           ///< {m,n}: n at most
  static constexpr size_t kStates = size_t{1} << 18;     ///< of all automata; edges: four times as many
  /// Calls of rules within one another. A text that would need more is never begun: see GrammarMatcher.
  static constexpr uint32_t kStackDepth = 256;
};

/// One way on from a state of a rule's automaton.
struct GrammarEdge {
  enum Kind : uint8_t {
    kByte,   ///< a byte from low to high leads to `target`
    kEmpty,  ///< `target`, at no cost
    kCall,   ///< the text of `rule`, then `target`
    kAgain,  ///< in a counting rule: one more part is complete and another may follow; counts it
    kLeave,  ///< in a counting rule: one more part is complete and there are enough
  };
  Kind kind;
  uint8_t low = 0, high = 0;
  uint32_t target = 0;
  uint32_t rule = 0;
};

/// A rule that repeats a part `min` to `max` times has one automaton for the part, and a count of the
/// complete parts beside the state. Other rules do not count: their count is always 0.
struct GrammarCounter {
  static constexpr uint32_t kUnbounded = UINT32_MAX;
  uint32_t min = 0, max = 0;

  /// With `count` complete parts before this one: whether the rule may end after it, or go on.
  bool may_leave(uint32_t count) const { return count + 1 >= min; }
  bool may_go_on(uint32_t count) const { return max == kUnbounded || count + 1 < max; }
  /// Without an upper bound no count beyond the lower one makes a difference.
  uint32_t Next(uint32_t count) const { return max == kUnbounded && count >= min ? count : count + 1; }
  /// Whether what may follow `count` may also follow `less` (≤ count), so that only `less` needs to be kept.
  bool Includes(uint32_t less, uint32_t count) const { return less == count || may_leave(less); }
};

/// A compiled grammar: an automaton per rule, the states numbered through. No rule calls itself before a byte
/// was read (no left recursion), and from every state the end of its rule can be reached. Immutable; share it
/// between threads.
class Grammar {
 public:
  uint32_t root() const { return root_; }
  uint32_t start(uint32_t rule) const { return starts_[rule]; }
  /// Whether the rule matches the empty text.
  bool nullable(uint32_t rule) const { return nullable_[rule]; }
  /// Whether a rule ends in this state. Such a state has no edges.
  bool is_final(uint32_t state) const { return begin_[state] == begin_[state + 1]; }
  std::span<const GrammarEdge> edges(uint32_t state) const {
    return {edges_.data() + begin_[state], begin_[state + 1] - begin_[state]};
  }
  /// Whether bytes may be read in the state.
  bool reads(uint32_t state) const { return (traits_[state] & kReads) != 0; }
  /// Whether reading bytes is all that can be done in the state.
  bool only_reads(uint32_t state) const { return traits_[state] == kReads; }
  /// The least number of calls within one another that reaching the end of the rule takes from here.
  uint32_t need(uint32_t state) const { return need_[state]; }
  /// Of the rule that the state belongs to.
  const GrammarCounter& counter(uint32_t state) const { return counters_[counter_of_[state]]; }
  size_t states() const { return need_.size(); }
  size_t rules() const { return starts_.size(); }

 private:
  friend class GrammarCompiler;
  Grammar() = default;

  uint32_t root_ = 0;
  std::vector<uint32_t> starts_;              // by rule
  std::vector<bool> nullable_;                // by rule
  std::vector<uint32_t> begin_;               // by state, and one more: where its edges begin
  std::vector<GrammarEdge> edges_;            // by state
  std::vector<uint32_t> need_;                // by state
  enum : uint8_t { kReads = 1, kMoves = 2 };  // moves: has edges that read no byte
  std::vector<uint8_t> traits_;               // by state
  std::vector<GrammarCounter> counters_;      // the first is that of rules that do not count
  std::vector<uint32_t> counter_of_;          // by state
};

/// Reads a grammar in the language of docs/grammar.md (llama.cpp's GBNF, without its token literals). The
/// rule `root` is the whole text. An error names line and column.
Result<std::shared_ptr<const Grammar>> ParseGrammar(std::string_view text);

}  // namespace tern
