#include "infer/regular_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tern {
namespace {

/// How characters are spelled, whatever the state: a tree of ranges of bytes whose leaves are classes. Ranges
/// of one node are apart, as the classes are and UTF-8 is cut so that all bytes after an inexact one are
/// free.
class SpellingTree {
 public:
  struct Branch {
    uint8_t low, high;
    uint32_t char_class;  ///< kNowhere: the character goes on in the node `child`
    uint32_t child;
  };
  using Node = std::vector<Branch>;

  SpellingTree(const CharClasses& classes, TextSpelling spelling) : nodes_(1) {
    for (uint32_t c = 0; c < classes.count(); ++c) {
      CharSet raw = classes.SetOf(c);
      if (spelling == TextSpelling::kJsonString) {
        const CharSet must_escape({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
        const CharSet escaped = raw.Intersection(must_escape);
        for (const CharRange range : escaped.ranges()) {
          for (int32_t character = range.first; character <= range.last; ++character) {
            std::vector<ByteRange> bytes;
            for (const char byte : JsonEscape(character))
              bytes.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte)});
            Add(bytes, c);
          }
        }
        raw = raw.Minus(must_escape);
      }
      for (const Utf8Sequence& sequence : Utf8Sequences(raw))
        Add({sequence.bytes.begin(), sequence.bytes.begin() + sequence.length}, c);
    }
    for (Node& node : nodes_) {
      std::sort(node.begin(), node.end(), [](const Branch& a, const Branch& b) { return a.low < b.low; });
    }
  }

  const Node& node(uint32_t index) const { return nodes_[index]; }

 private:
  void Add(const std::vector<ByteRange>& bytes, uint32_t char_class) {
    uint32_t at = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const bool last = i + 1 == bytes.size();
      Node& node = nodes_[at];
      const auto same = [&](const Branch& branch) {
        return branch.low == bytes[i].low && branch.high == bytes[i].high && branch.char_class == kNowhere;
      };
      const auto found = last ? node.end() : std::find_if(node.begin(), node.end(), same);
      if (found != node.end()) {
        at = found->child;
        continue;
      }
      const auto child = static_cast<uint32_t>(nodes_.size());
      node.push_back({bytes[i].low, bytes[i].high, last ? char_class : kNowhere, last ? 0 : child});
      if (last) return;
      nodes_.emplace_back();
      at = child;
    }
  }

  std::vector<Node> nodes_;  // the first is the root
};

class ByteWriter {
 public:
  using Edge = ByteAutomaton::Edge;

  ByteWriter(const RegularAutomaton& automaton, TextSpelling spelling, RegularBudget* budget)
      : automaton_(automaton),
        quoted_(spelling == TextSpelling::kJsonString),
        budget_(*budget),
        tree_(automaton.classes, spelling) {}

  Result<ByteAutomaton> Write() {
    // The automaton's states first; with quotes the start before them and the end after them.
    const auto states = static_cast<uint32_t>(automaton_.states());
    first_ = quoted_ ? 1 : 0;
    edges_.resize(states + (quoted_ ? 2 : 0));
    const uint32_t end = states + 1;
    for (uint32_t state = 0; state < states; ++state) {
      TERN_ASSIGN_OR_RETURN(std::vector<Edge> edges, EdgesOf(0, state));
      if (quoted_ && automaton_.accepts[state]) edges.push_back({'"', '"', end});
      std::sort(edges.begin(), edges.end());
      edges_[first_ + state] = std::move(edges);
    }
    if (quoted_) edges_[0] = {{'"', '"', first_}};
    ByteAutomaton bytes;
    bytes.accepts.assign(edges_.size(), false);
    if (quoted_) bytes.accepts[end] = true;
    for (uint32_t state = 0; !quoted_ && state < states; ++state)
      bytes.accepts[state] = automaton_.accepts[state];
    for (const std::vector<Edge>& edges : edges_) {
      bytes.edges.insert(bytes.edges.end(), edges.begin(), edges.end());
      bytes.begin.push_back(static_cast<uint32_t>(bytes.edges.size()));
    }
    return bytes;
  }

 private:
  struct EdgesHash {
    size_t operator()(const std::vector<Edge>& edges) const {
      uint64_t hash = edges.size();
      for (const Edge& edge : edges) {
        hash = (hash ^ (uint64_t{edge.target} << 16 | uint64_t{edge.low} << 8 | edge.high)) *
               0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
      }
      return hash;
    }
  };

  /// What a node of the tree becomes when it is read in a state.
  Result<std::vector<Edge>> EdgesOf(uint32_t node, uint32_t state) {
    std::vector<Edge> edges;
    TERN_RETURN_IF_ERROR(budget_.Spend(tree_.node(node).size()));
    for (const SpellingTree::Branch& branch : tree_.node(node)) {
      uint32_t target = kNowhere;
      if (branch.char_class != kNowhere) {
        target = automaton_.Next(state, branch.char_class);
        if (target != kNowhere) target += first_;
      } else {
        TERN_ASSIGN_OR_RETURN(std::vector<Edge> inner, EdgesOf(branch.child, state));
        if (inner.empty()) continue;
        TERN_ASSIGN_OR_RETURN(target, StateOf(std::move(inner)));
      }
      if (target == kNowhere) continue;
      if (!edges.empty() && edges.back().target == target && edges.back().high + 1 == branch.low)
        edges.back().high = branch.high;
      else
        edges.push_back({branch.low, branch.high, target});
    }
    return edges;
  }

  /// A state within a character, shared by all that go on alike.
  Result<uint32_t> StateOf(std::vector<Edge> edges) {
    const auto [it, added] = inner_.try_emplace(edges, static_cast<uint32_t>(edges_.size()));
    if (added) edges_.push_back(std::move(edges));
    if (edges_.size() <= kMaxByteStates) return it->second;
    return Exhausted("it needs more than " + std::to_string(kMaxByteStates) + " states");
  }

  const RegularAutomaton& automaton_;
  const bool quoted_;
  RegularBudget& budget_;
  SpellingTree tree_;
  uint32_t first_ = 0;
  std::vector<std::vector<Edge>> edges_;  // by state
  std::unordered_map<std::vector<Edge>, uint32_t, EdgesHash> inner_;
};

}  // namespace

std::string JsonEscape(int32_t character) {
  switch (character) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return character < 0x20 ? fmt::format("\\u{:04x}", character) : std::string();
  }
}

namespace {

/// An automaton with copies of its states in which only so many characters may follow as a text of the
/// greatest length has left.
struct TailedAutomaton {
  RegularAutomaton automaton;  ///< first the states that it had
  std::vector<uint32_t> tail;  ///< by state that it had: the copy to go on in
};

class TailBuilder {
 public:
  /// `left` characters may follow in the copies where a text comes to them; no state needs more to end.
  TailBuilder(const RegularAutomaton& automaton, std::vector<TextLength> remaining, uint32_t left)
      : source_(automaton), remaining_(std::move(remaining)) {
    made_.automaton = automaton;
    for (uint32_t state = 0; state < automaton.states(); ++state) made_.tail.push_back(NameOf(state, left));
  }
  Result<TailedAutomaton> Build(RegularBudget* budget) && {
    const size_t classes = source_.classes.count();
    for (size_t i = 0; i < copies_.size(); ++i) {
      TERN_RETURN_IF_ERROR(budget->Spend(classes));
      if (copies_.size() > RegularBudget::kStates)
        return Exhausted("its length needs more than " + std::to_string(RegularBudget::kStates) + " states");
      const auto [state, left] = copies_[i];
      made_.automaton.accepts.push_back(source_.accepts[state]);
      for (uint32_t c = 0; c < classes; ++c) {
        const uint32_t next = source_.Next(state, c);
        const bool fits = next != kNowhere && left > 0 && remaining_[next].min < left;
        made_.automaton.next.push_back(fits ? NameOf(next, left - 1) : kNowhere);
      }
    }
    return std::move(made_);
  }

 private:
  uint32_t NameOf(uint32_t state, uint32_t left) {
    left = std::min(left, remaining_[state].max);
    const auto states = static_cast<uint32_t>(source_.states());
    const uint64_t key = uint64_t{state} << 32 | left;
    const auto [it, added] = names_.try_emplace(key, states + static_cast<uint32_t>(copies_.size()));
    if (added) copies_.emplace_back(state, left);
    return it->second;
  }

  const RegularAutomaton& source_;
  const std::vector<TextLength> remaining_;
  TailedAutomaton made_;
  std::unordered_map<uint64_t, uint32_t> names_;
  std::vector<std::pair<uint32_t, uint32_t>> copies_;  // state and the characters that may follow
};

}  // namespace

Result<ByteAutomaton> StringBytesOf(const RegularLanguage& language, RegularBudget* budget) {
  constexpr size_t kUnrolled = 2048;  // states
  const TextLength length = language.length();
  const auto unrolled = [&]() -> Result<ByteAutomaton> {
    TERN_ASSIGN_OR_RETURN(const RegularAutomaton automaton, language.WithLength(budget));
    return BytesOf(automaton, TextSpelling::kJsonString, budget);
  };
  const bool small = language.automaton()->states() * size_t{length.max} <= kUnrolled;
  if (length.max == TextLength::kUnlimited || small) return unrolled();
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton automaton,
                        Bounded(*language.automaton(), {length.min, TextLength::kUnlimited}, budget));
  std::vector<TextLength> remaining = RemainingLengths(automaton);
  uint32_t left = 1;  // at least one, so that a text that was counted to its end may be longer
  for (const TextLength& rest : remaining) left = std::max(left, rest.min);
  const bool shorter =
      automaton.states() * size_t{left} < language.automaton()->states() * size_t{length.max};
  if (left >= length.max || !shorter) return unrolled();
  TERN_ASSIGN_OR_RETURN(const TailedAutomaton tailed,
                        TailBuilder(automaton, std::move(remaining), left).Build(budget));
  TERN_ASSIGN_OR_RETURN(ByteAutomaton bytes, BytesOf(tailed.automaton, TextSpelling::kJsonString, budget));
  bytes.count = length.max - left;
  bytes.last.assign(bytes.states(), ByteAutomaton::kNone);
  for (uint32_t state = 0; state < tailed.tail.size(); ++state)  // the first is the one before the quote
    bytes.last[state + 1] = tailed.tail[state] + 1;
  return bytes;
}

Result<ByteAutomaton> BytesOf(const RegularAutomaton& automaton, TextSpelling spelling,
                              RegularBudget* budget) {
  return ByteWriter(automaton, spelling, budget).Write();
}

}  // namespace tern
