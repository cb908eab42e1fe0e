// A grammar as a deterministic automaton over bytes, made as far as it is asked for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "infer/grammar_matcher.h"
#include "infer/grammar_step.h"
#include "infer/token_tree.h"

namespace tern {

/// Stacks as numbers: equal stacks have one number.
class StackTable {
 public:
  using Stack = uint32_t;
  using Frame = GrammarEntry<Stack>;
  static constexpr Stack kRoot = 0;

  StackTable() { Clear(); }
  static Stack Root() { return kRoot; }
  static uint64_t Key(Stack stack) { return stack; }
  static uint64_t Order(Stack stack) { return stack; }
  static bool Same(Stack a, Stack b) { return a == b; }
  static Stack Below(const Frame& frame) { return frame.stack; }
  uint32_t Depth(Stack stack) const { return stacks_[stack].depth; }
  std::span<const Frame> Frames(Stack stack) const {
    return {frames_.data() + stacks_[stack].begin, stacks_[stack].size};
  }
  /// `frames`: canonical.
  Stack Make(const std::vector<Frame>& frames, uint32_t depth);
  void Clear();
  size_t bytes() const {
    return stacks_.size() * sizeof(Entry) + frames_.size() * sizeof(Frame) + table_.size() * sizeof(uint32_t);
  }

 private:
  struct Entry {
    size_t begin;
    uint32_t size, depth;
    uint64_t hash;
  };
  void Grow();

  std::vector<Entry> stacks_;    // the first is the root's
  std::vector<Frame> frames_;    // of all stacks
  std::vector<uint32_t> table_;  // open addressing; 0: free
};

/// The states are sets of entries, as in a matcher, numbered as they are met. Texts of up to `longest` bytes
/// will be read from a state that StateOf returned. Counts that are too far from their bounds to make a
/// difference within so many bytes are taken for one another. Not thread-safe.
class LazyAutomaton {
 public:
  using State = int32_t;
  static constexpr State kNowhere = -1;  ///< the byte may not follow
  static constexpr State kTooMany = -2;  ///< the same, as there would be more than kMaxItems entries

  LazyAutomaton(std::shared_ptr<const Grammar> grammar, size_t longest);

  /// The state of a matcher of the grammar.
  State StateOf(const GrammarMatcher& matcher);
  /// Where a byte leads: a state, kNowhere or kTooMany.
  State Next(State from, uint8_t byte) {
    const State next = Known(states_[static_cast<size_t>(from)], byte);
    return next == kUnknown ? Find(from, byte) : next;
  }

  /// How many characters of a kind may follow one another, whichever they are.
  struct Run {
    size_t chars = 0;
    bool exact = false;  ///< no text of more characters of the kind may follow; never with chars == most
  };
  Run RunOf(CharKind kind, State state, size_t most);
  /// Whether every text of the kind may follow. May also say no where more than kMostExplored states would
  /// have to be looked at.
  bool IsFree(CharKind kind, State state);
  /// Whether every text of the kind may follow that begins with a character from U+0080 on; no as above.
  bool IsFreeBeyondAscii(CharKind kind, State state);
  static constexpr size_t kMostExplored = 160;

  size_t work() const { return work_; }  ///< edges looked at since the beginning
  size_t bytes() const;                  ///< of memory, about
  void Clear();                          ///< forgets all states and gives their memory back

 private:
  using Entry = StackTable::Frame;
  static constexpr State kUnknown = -3;
  enum class Answer : uint8_t { kUnknown, kYes, kNo };
  static constexpr size_t kFewSteps = 4;
  using Row = std::array<State, 256>;  // by byte; kUnknown where Find was not asked
  struct Step {
    uint8_t low, high;
    State next;
  };
  struct StateInfo {
    size_t begin;   // of its entries
    uint32_t size;  // their number
    bool complete;
    uint64_t hash;
    uint32_t steps = 0;
    std::array<Step, kFewSteps> step = {};  // what is known, until there is a row
    std::unique_ptr<Row> row = {};
    std::array<State, kCharKinds> next_of_kind = {kUnknown, kUnknown, kUnknown, kUnknown, kUnknown};
    State next_beyond_ascii = kUnknown;
    std::array<Answer, kCharKinds> free = {};
    std::array<Answer, kCharKinds> free_beyond_ascii = {};
  };
  struct Explored {
    State state;
    size_t from;  // index of the state that led to it
  };

  static State Known(const StateInfo& info, uint8_t byte) {
    if (info.row) return (*info.row)[byte];
    for (uint32_t i = 0; i < info.steps; ++i) {
      if (info.step[i].low <= byte && byte <= info.step[i].high) return info.step[i].next;
    }
    return kUnknown;
  }
  State Find(State from, uint8_t byte);
  void Learn(State from, Step step);
  State After(const std::vector<Entry>& fired);
  State StateWith(const std::vector<Entry>& entries, bool complete);
  std::span<const Entry> EntriesOf(const StateInfo& info) const {
    return {entries_.data() + info.begin, info.size};
  }
  uint32_t Clamp(uint32_t state, uint32_t count) const;
  StackTable::Stack StackOf(const GrammarStack* stack,
                            std::unordered_map<const GrammarStack*, StackTable::Stack>* known);
  State Common(State from, uint8_t low, uint8_t high);
  bool RefusesAll(State from, uint8_t low, uint8_t high);
  bool RefusesKind(CharKind kind, State state);
  State NextOfKind(CharKind kind, State state);
  State NextBeyondAscii(State state);
  void Explore(CharKind kind, State start);
  bool AddTargets(State from, ByteInterval bytes, std::vector<State>* targets);
  bool AddTargetsBeyondAscii(State from, std::vector<State>* targets);
  bool AddTargetsOfKind(CharKind kind, State from, std::vector<State>* targets);
  State SkipCounts(State before, State after, size_t most, size_t* skipped);
  void Grow();

  std::shared_ptr<const Grammar> grammar_;
  uint32_t longest_;
  StackTable stacks_;
  GrammarStep<StackTable> step_;
  std::vector<StateInfo> states_;
  std::vector<Entry> entries_;   // of all states
  std::vector<uint32_t> table_;  // open addressing: a state's number and 1; 0: free
  std::vector<Entry> fired_, found_;
  std::vector<Explored> explored_;
  std::vector<State> targets_, beyond_ascii_;
  size_t rows_ = 0;
  size_t work_ = 0;
};

}  // namespace tern
