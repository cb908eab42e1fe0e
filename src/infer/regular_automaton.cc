#include "infer/regular_automaton.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

namespace tern {
namespace {

uint64_t PairKey(uint32_t a, uint32_t b) { return uint64_t{a} << 32 | b; }

Status CheckSize(size_t states, size_t classes) {
  if (states <= RegularBudget::kStates && states * classes <= RegularBudget::kTransitions) return OkStatus();
  return Exhausted("the automaton needs too many states");
}

}  // namespace

Status RegularBudget::Spend(size_t steps) {
  if (steps <= left_) {
    left_ -= steps;
    return OkStatus();
  }
  left_ = 0;
  return Exhausted("patterns, formats and lengths together need too much work");
}

template <typename Key>
CharClasses CharClasses::OfKeys(const std::vector<int32_t>& starts, const std::vector<Key>& keys) {
  CharClasses classes;
  classes.starts_.clear();
  classes.class_of_.clear();
  std::map<Key, uint32_t> numbers;
  for (size_t i = 0; i < starts.size(); ++i) {
    const bool last = i + 1 == starts.size();
    if (starts[i] >= 0xD800 && !last && starts[i + 1] <= 0xE000) continue;  // surrogates alone
    const auto number = numbers.try_emplace(keys[i], static_cast<uint32_t>(numbers.size())).first->second;
    if (!classes.class_of_.empty() && classes.class_of_.back() == number) continue;
    // What begins among the surrogates begins after them.
    const bool among = starts[i] > 0xD800 && starts[i] < 0xE000;
    classes.starts_.push_back(among || starts[i] == 0xD800 ? 0xE000 : starts[i]);
    classes.class_of_.push_back(number);
  }
  classes.count_ = numbers.size();
  return classes;
}

CharClasses CharClasses::OfSets(std::span<const CharSet> sets) {
  std::vector<int32_t> starts = {0};
  for (const CharSet& set : sets) {
    for (const CharRange range : set.ranges()) {
      starts.push_back(range.first);
      if (range.last < 0x10FFFF) starts.push_back(range.last + 1);
    }
  }
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  // The key of an interval: the class so far and whether the set has it, set by set.
  std::vector<uint32_t> keys(starts.size(), 0);
  for (const CharSet& set : sets) {
    std::vector<bool> in(starts.size(), false);
    for (const CharRange range : set.ranges()) {
      auto at = std::lower_bound(starts.begin(), starts.end(), range.first);
      for (; at != starts.end() && *at <= range.last; ++at)
        in[static_cast<size_t>(at - starts.begin())] = true;
    }
    std::unordered_map<uint32_t, uint32_t> split;
    uint32_t used = 1 + *std::max_element(keys.begin(), keys.end());
    for (size_t i = 0; i < starts.size(); ++i) {
      if (!in[i]) continue;
      const auto [it, added] = split.try_emplace(keys[i], used);
      used += added ? 1u : 0u;
      keys[i] = it->second;
    }
  }
  return OfKeys(starts, keys);
}

CharClasses CharClasses::Common(const CharClasses& a, const CharClasses& b, std::vector<uint32_t>* class_in_a,
                                std::vector<uint32_t>* class_in_b) {
  std::vector<int32_t> starts;
  std::set_union(a.starts_.begin(), a.starts_.end(), b.starts_.begin(), b.starts_.end(),
                 std::back_inserter(starts));
  std::vector<uint64_t> keys;
  size_t in_a = 0, in_b = 0;
  for (const int32_t start : starts) {
    while (in_a + 1 < a.starts_.size() && a.starts_[in_a + 1] <= start) ++in_a;
    while (in_b + 1 < b.starts_.size() && b.starts_[in_b + 1] <= start) ++in_b;
    keys.push_back(PairKey(a.class_of_[in_a], b.class_of_[in_b]));
  }
  CharClasses common = OfKeys(starts, keys);
  class_in_a->clear();
  class_in_b->clear();
  for (const int32_t first : common.FirstOfEach()) {
    class_in_a->push_back(a.ClassOf(first));
    class_in_b->push_back(b.ClassOf(first));
  }
  return common;
}

CharClasses CharClasses::Join(std::span<const uint32_t> joined, size_t count) const {
  CharClasses classes;
  classes.starts_.clear();
  classes.class_of_.clear();
  for (size_t i = 0; i < starts_.size(); ++i) {
    const uint32_t number = joined[class_of_[i]];
    if (!classes.class_of_.empty() && classes.class_of_.back() == number) continue;
    classes.starts_.push_back(starts_[i]);
    classes.class_of_.push_back(number);
  }
  classes.count_ = count;
  return classes;
}

uint32_t CharClasses::ClassOf(int32_t character) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), character);
  return class_of_[static_cast<size_t>(after - starts_.begin()) - 1];
}

std::vector<int32_t> CharClasses::FirstOfEach() const {
  std::vector<int32_t> first(count_, -1);
  for (size_t i = 0; i < starts_.size(); ++i) {
    if (first[class_of_[i]] < 0) first[class_of_[i]] = starts_[i];
  }
  return first;
}

CharSet CharClasses::SetOf(uint32_t char_class) const {
  std::vector<CharRange> ranges;
  for (size_t i = 0; i < starts_.size(); ++i) {
    if (class_of_[i] == char_class)
      ranges.push_back({starts_[i], i + 1 < starts_.size() ? starts_[i + 1] - 1 : 0x10FFFF});
  }
  return CharSet(std::move(ranges));
}

std::vector<uint32_t> CharClasses::ClassesOf(const CharSet& set) const {
  std::vector<uint32_t> classes;
  for (const CharRange range : set.ranges()) {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), range.first);
    for (auto i = static_cast<size_t>(after - starts_.begin()) - 1;
         i < starts_.size() && starts_[i] <= range.last; ++i)
      classes.push_back(class_of_[i]);
  }
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  return classes;
}

namespace {

/// Transitions backwards: for each state, those that lead to it.
struct Backwards {
  explicit Backwards(const RegularAutomaton& automaton) : begin(automaton.states() + 1, 0) {
    const size_t classes = automaton.classes.count();
    for (const uint32_t target : automaton.next) {
      if (target != kNowhere) ++begin[target + 1];
    }
    for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    from.resize(begin.back());
    std::vector<size_t> at(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < automaton.next.size(); ++i) {
      if (automaton.next[i] != kNowhere)
        from[at[automaton.next[i]]++] = {static_cast<uint32_t>(i / classes),
                                         static_cast<uint32_t>(i % classes)};
    }
  }
  std::span<const std::pair<uint32_t, uint32_t>> To(uint32_t state) const {
    return {from.data() + begin[state], begin[state + 1] - begin[state]};
  }
  std::vector<size_t> begin;
  std::vector<std::pair<uint32_t, uint32_t>> from;  // state and class
};

/// Which states reach acceptance.
std::vector<bool> LiveStates(const RegularAutomaton& automaton, const Backwards& backwards) {
  std::vector<bool> live(automaton.accepts);
  std::vector<uint32_t> work;
  for (uint32_t state = 0; state < automaton.states(); ++state) {
    if (live[state]) work.push_back(state);
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (const auto& [from, char_class] : backwards.To(state)) {
      if (live[from]) continue;
      live[from] = true;
      work.push_back(from);
    }
  }
  return live;
}

/// Renames the states in the order of a breadth-first walk from `start`, leaving out what it does not reach;
/// a transition into a state that is not live leads nowhere. `block` maps states onto those that stand for
/// them.
RegularAutomaton Walked(const RegularAutomaton& automaton, const std::vector<bool>& live,
                        const std::vector<uint32_t>& block, const std::vector<uint32_t>& chosen) {
  const size_t classes = automaton.classes.count();
  RegularAutomaton walked;
  walked.classes = automaton.classes;
  if (automaton.states() == 0 || !live[0]) return walked;
  std::vector<uint32_t> name(chosen.size(), kNowhere);
  std::vector<uint32_t> order = {block[0]};
  name[block[0]] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const uint32_t state = chosen[order[i]];
    walked.accepts.push_back(automaton.accepts[state]);
    for (uint32_t c = 0; c < classes; ++c) {
      const uint32_t target = automaton.Next(state, c);
      if (target == kNowhere || !live[target]) {
        walked.next.push_back(kNowhere);
        continue;
      }
      uint32_t& named = name[block[target]];
      if (named == kNowhere) {
        named = static_cast<uint32_t>(order.size());
        order.push_back(block[target]);
      }
      walked.next.push_back(named);
    }
  }
  return walked;
}

/// Hopcroft's partition refinement: blocks of states that no text tells apart. Nowhere is a state here, in a
/// block of its own as all others are live.
class Refinement {
 public:
  Refinement(const RegularAutomaton& automaton, const std::vector<bool>& live, const Backwards& backwards)
      : automaton_(automaton),
        live_(live),
        backwards_(backwards),
        block_(automaton.states(), 0),
        at_(automaton.states(), 0) {}

  /// By state its block; states that are not live are in none.
  Status Run(RegularBudget* budget) {
    const size_t classes = automaton_.classes.count();
    std::vector<uint32_t> accepting, others;
    for (uint32_t state = 0; state < automaton_.states(); ++state) {
      if (live_[state]) (automaton_.accepts[state] ? accepting : others).push_back(state);
    }
    for (const auto* first : {&accepting, &others}) {
      if (first->empty()) continue;
      for (uint32_t i = 0; i < first->size(); ++i) {
        block_[(*first)[i]] = static_cast<uint32_t>(blocks_.size());
        at_[(*first)[i]] = i;
      }
      blocks_.push_back(*first);
    }
    for (uint32_t block = 0; block < blocks_.size(); ++block) Queue(block);
    std::vector<std::pair<uint32_t, uint32_t>> sources;  // class, state
    while (!queue_.empty()) {
      const uint32_t splitter = queue_.back();
      queue_.pop_back();
      queued_[splitter] = false;
      sources.clear();
      for (const uint32_t state : blocks_[splitter]) {
        for (const auto& [from, char_class] : backwards_.To(state)) {
          if (live_[from]) sources.emplace_back(char_class, from);
        }
      }
      TERN_RETURN_IF_ERROR(budget->Spend(sources.size() + classes));
      std::sort(sources.begin(), sources.end());
      for (size_t begin = 0, end = 0; begin < sources.size(); begin = end) {
        while (end < sources.size() && sources[end].first == sources[begin].first) ++end;
        Split({sources.data() + begin, end - begin});
      }
    }
    return OkStatus();
  }

  const std::vector<uint32_t>& block() const { return block_; }
  std::vector<uint32_t> Chosen() const {
    std::vector<uint32_t> chosen;
    for (const auto& states : blocks_) chosen.push_back(states.front());
    return chosen;
  }

 private:
  void Queue(uint32_t block) {
    if (queued_.size() <= block) queued_.resize(block + 1, false);
    if (queued_[block]) return;
    queued_[block] = true;
    queue_.push_back(block);
  }

  /// Takes the sources, which no other states of their blocks are like, out of their blocks.
  void Split(std::span<const std::pair<uint32_t, uint32_t>> sources) {
    std::unordered_map<uint32_t, std::vector<uint32_t>> by_block;
    for (const auto& [char_class, state] : sources) by_block[block_[state]].push_back(state);
    for (auto& [block, inside] : by_block) {
      if (inside.size() == blocks_[block].size()) continue;
      const auto fresh = static_cast<uint32_t>(blocks_.size());
      auto& outside = blocks_[block];
      for (uint32_t i = 0; i < inside.size(); ++i) {
        const uint32_t state = inside[i];
        const uint32_t last = outside.back();
        outside[at_[state]] = last;
        at_[last] = at_[state];
        outside.pop_back();
        block_[state] = fresh;
        at_[state] = i;
      }
      blocks_.push_back(std::move(inside));
      // A block that waits is split into two that wait; else the smaller part is enough.
      if (queued_.size() > block && queued_[block])
        Queue(fresh);
      else
        Queue(blocks_[fresh].size() <= blocks_[block].size() ? fresh : block);
    }
  }

  const RegularAutomaton& automaton_;
  const std::vector<bool>& live_;
  const Backwards& backwards_;
  std::vector<uint32_t> block_;                // by state
  std::vector<uint32_t> at_;                   // by state: its index in the block
  std::vector<std::vector<uint32_t>> blocks_;  // states
  std::vector<uint32_t> queue_;
  std::vector<bool> queued_;
};

/// Joins the classes whose columns are equal, in the order of their first characters.
RegularAutomaton WithFewestClasses(RegularAutomaton automaton) {
  const size_t classes = automaton.classes.count();
  std::vector<std::pair<int32_t, uint32_t>> order;  // first character, class
  const std::vector<int32_t> first = automaton.classes.FirstOfEach();
  for (uint32_t c = 0; c < classes; ++c) order.emplace_back(first[c], c);
  std::sort(order.begin(), order.end());
  std::map<std::vector<uint32_t>, uint32_t> columns;
  std::vector<uint32_t> joined(classes, 0);
  std::vector<uint32_t> kept;
  for (const auto& [character, c] : order) {
    std::vector<uint32_t> column(automaton.states());
    for (uint32_t state = 0; state < automaton.states(); ++state) column[state] = automaton.Next(state, c);
    const auto [it, added] = columns.try_emplace(std::move(column), static_cast<uint32_t>(columns.size()));
    joined[c] = it->second;
    if (added) kept.push_back(c);
  }
  std::vector<uint32_t> next;
  next.reserve(automaton.states() * kept.size());
  for (uint32_t state = 0; state < automaton.states(); ++state) {
    for (const uint32_t c : kept) next.push_back(automaton.Next(state, c));
  }
  automaton.classes = automaton.classes.Join(joined, kept.size());
  automaton.next = std::move(next);
  return automaton;
}

}  // namespace

Result<RegularAutomaton> Minimised(RegularAutomaton automaton, RegularBudget* budget) {
  TERN_RETURN_IF_ERROR(budget->Spend(automaton.next.size() + 1));
  const Backwards backwards(automaton);
  const std::vector<bool> live = LiveStates(automaton, backwards);
  if (automaton.states() == 0 || !live[0]) return RegularAutomaton();
  Refinement refinement(automaton, live, backwards);
  TERN_RETURN_IF_ERROR(refinement.Run(budget));
  RegularAutomaton minimal =
      WithFewestClasses(Walked(automaton, live, refinement.block(), refinement.Chosen()));
  // Columns that were joined may have led the walk: walk once more, now by the final classes.
  const std::vector<bool> all(minimal.states(), true);
  std::vector<uint32_t> same(minimal.states());
  for (uint32_t state = 0; state < minimal.states(); ++state) same[state] = state;
  return Walked(minimal, all, same, same);
}

Result<RegularAutomaton> Combined(const RegularAutomaton& a, const RegularAutomaton& b,
                                  FunctionRef<bool(bool in_a, bool in_b)> accepts, RegularBudget* budget) {
  RegularAutomaton both;
  std::vector<uint32_t> class_a, class_b;
  both.classes = CharClasses::Common(a.classes, b.classes, &class_a, &class_b);
  const size_t classes = both.classes.count();
  const bool one_is_enough = accepts(true, false), other_is_enough = accepts(false, true);
  const bool none_is_enough = accepts(false, false);
  std::unordered_map<uint64_t, uint32_t> names;
  std::vector<std::pair<uint32_t, uint32_t>> order;
  const auto name = [&](uint32_t state_a, uint32_t state_b) {
    if (!none_is_enough) {
      if (state_a == kNowhere && !other_is_enough) state_b = kNowhere;
      if (state_b == kNowhere && !one_is_enough) state_a = kNowhere;
      if (state_a == kNowhere && state_b == kNowhere) return kNowhere;
    }
    const auto [it, added] =
        names.try_emplace(PairKey(state_a, state_b), static_cast<uint32_t>(order.size()));
    if (added) order.emplace_back(state_a, state_b);
    return it->second;
  };
  if (name(a.states() > 0 ? 0 : kNowhere, b.states() > 0 ? 0 : kNowhere) == kNowhere)
    return RegularAutomaton();
  for (size_t i = 0; i < order.size(); ++i) {
    const auto [state_a, state_b] = order[i];
    TERN_RETURN_IF_ERROR(CheckSize(order.size(), classes));
    TERN_RETURN_IF_ERROR(budget->Spend(classes));
    both.accepts.push_back(
        accepts(state_a != kNowhere && a.accepts[state_a], state_b != kNowhere && b.accepts[state_b]));
    for (size_t c = 0; c < classes; ++c) {
      const uint32_t to_a = state_a == kNowhere ? kNowhere : a.Next(state_a, class_a[c]);
      const uint32_t to_b = state_b == kNowhere ? kNowhere : b.Next(state_b, class_b[c]);
      both.next.push_back(name(to_a, to_b));
    }
  }
  return Minimised(std::move(both), budget);
}

Result<RegularAutomaton> Concatenated(const RegularAutomaton& a, const RegularAutomaton& b,
                                      RegularBudget* budget) {
  if (a.states() == 0 || b.states() == 0) return RegularAutomaton();
  RegularAutomaton both;
  std::vector<uint32_t> class_a, class_b;
  both.classes = CharClasses::Common(a.classes, b.classes, &class_a, &class_b);
  const size_t classes = both.classes.count();
  // A state: one of a's, or none, and the set of b's that a text so far may be at.
  using State = std::pair<uint32_t, std::vector<uint32_t>>;
  std::map<State, uint32_t> names;
  std::vector<State> order;
  const auto name = [&](uint32_t in_a, std::vector<uint32_t> in_b) {
    if (in_a != kNowhere && a.accepts[in_a]) in_b.push_back(0);
    std::sort(in_b.begin(), in_b.end());
    in_b.erase(std::unique(in_b.begin(), in_b.end()), in_b.end());
    if (in_a == kNowhere && in_b.empty()) return kNowhere;
    State state{in_a, std::move(in_b)};
    const auto [it, added] = names.try_emplace(state, static_cast<uint32_t>(order.size()));
    if (added) order.push_back(std::move(state));
    return it->second;
  };
  name(0, {});
  for (size_t i = 0; i < order.size(); ++i) {
    const State state = order[i];
    TERN_RETURN_IF_ERROR(CheckSize(order.size(), classes));
    TERN_RETURN_IF_ERROR(budget->Spend((state.second.size() + 1) * classes));
    both.accepts.push_back(
        std::any_of(state.second.begin(), state.second.end(), [&](uint32_t s) { return b.accepts[s]; }));
    for (size_t c = 0; c < classes; ++c) {
      std::vector<uint32_t> in_b;
      for (const uint32_t s : state.second) {
        if (b.Next(s, class_b[c]) != kNowhere) in_b.push_back(b.Next(s, class_b[c]));
      }
      both.next.push_back(
          name(state.first == kNowhere ? kNowhere : a.Next(state.first, class_a[c]), std::move(in_b)));
    }
  }
  return Minimised(std::move(both), budget);
}

std::vector<TextLength> RemainingLengths(const RegularAutomaton& automaton) {
  const Backwards backwards(automaton);
  const size_t states = automaton.states();
  std::vector<TextLength> lengths(states, {TextLength::kUnlimited, TextLength::kUnlimited});
  std::deque<uint32_t> near;
  for (uint32_t state = 0; state < states; ++state) {
    if (!automaton.accepts[state]) continue;
    lengths[state].min = 0;
    near.push_back(state);
  }
  while (!near.empty()) {
    const uint32_t state = near.front();
    near.pop_front();
    for (const auto& [from, char_class] : backwards.To(state)) {
      if (lengths[from].min != TextLength::kUnlimited) continue;
      lengths[from].min = lengths[state].min + 1;
      near.push_back(from);
    }
  }
  // The greatest, from the ends backwards: a state is known once all that it leads to are. Cycles never are.
  std::vector<size_t> open(states, 0);
  for (size_t i = 0; i < automaton.next.size(); ++i) {
    if (automaton.next[i] != kNowhere) ++open[i / automaton.classes.count()];
  }
  std::vector<uint32_t> known;
  std::vector<uint32_t> greatest(states, 0);
  for (uint32_t state = 0; state < states; ++state) {
    if (open[state] == 0) known.push_back(state);
  }
  while (!known.empty()) {
    const uint32_t state = known.back();
    known.pop_back();
    lengths[state].max = greatest[state];
    for (const auto& [from, char_class] : backwards.To(state)) {
      greatest[from] = std::max(greatest[from], greatest[state] + 1);
      if (--open[from] == 0) known.push_back(from);
    }
  }
  return lengths;
}

Result<bool> AcceptsLength(const RegularAutomaton& automaton, TextLength length, RegularBudget* budget) {
  if (automaton.states() == 0 || length.min > length.max) return false;
  const std::vector<TextLength> remaining = RemainingLengths(automaton);
  if (remaining[0].min > length.max || remaining[0].max < length.min) return false;
  if (remaining[0].min >= length.min) return true;
  // The states that texts of `min` characters lead to.
  const size_t classes = automaton.classes.count();
  std::vector<bool> at(automaton.states(), false);
  std::vector<uint32_t> now = {0}, then;
  for (uint32_t i = 0; i < length.min && !now.empty(); ++i) {
    TERN_RETURN_IF_ERROR(budget->Spend(now.size() * classes));
    then.clear();
    for (const uint32_t state : now) {
      for (uint32_t c = 0; c < classes; ++c) {
        const uint32_t target = automaton.Next(state, c);
        if (target == kNowhere || at[target]) continue;
        at[target] = true;
        then.push_back(target);
      }
    }
    for (const uint32_t state : then) at[state] = false;
    std::swap(now, then);
  }
  return std::any_of(now.begin(), now.end(),
                     [&](uint32_t state) { return remaining[state].min <= length.max - length.min; });
}

Result<RegularAutomaton> Bounded(const RegularAutomaton& automaton, TextLength length,
                                 RegularBudget* budget) {
  const size_t classes = automaton.classes.count();
  RegularAutomaton bounded;
  bounded.classes = automaton.classes;
  if (automaton.states() == 0 || length.min > length.max) return bounded;
  const std::vector<TextLength> remaining = RemainingLengths(automaton);
  constexpr uint32_t kFree = UINT32_MAX;  // the count no longer matters
  std::unordered_map<uint64_t, uint32_t> names;
  std::vector<std::pair<uint32_t, uint32_t>> order;  // state and characters so far
  const auto name = [&](uint32_t state, uint32_t count) {
    if (state == kNowhere) return kNowhere;
    const TextLength rest = remaining[state];
    if (count != kFree) {
      const uint64_t greatest = rest.max == TextLength::kUnlimited ? UINT64_MAX : uint64_t{count} + rest.max;
      if (uint64_t{count} + rest.min > length.max || greatest < length.min) return kNowhere;
      const bool long_enough = uint64_t{count} + rest.min >= length.min;
      if (long_enough && (length.max == TextLength::kUnlimited || greatest <= length.max)) count = kFree;
      // Beyond the least length of an unlimited text nothing depends on how long it is.
      if (count != kFree && length.max == TextLength::kUnlimited) count = std::min(count, length.min);
    }
    const auto [it, added] = names.try_emplace(PairKey(state, count), static_cast<uint32_t>(order.size()));
    if (added) order.emplace_back(state, count);
    return it->second;
  };
  if (name(0, 0) == kNowhere) return bounded;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto [state, count] = order[i];
    TERN_RETURN_IF_ERROR(CheckSize(order.size(), classes));
    TERN_RETURN_IF_ERROR(budget->Spend(classes));
    bounded.accepts.push_back(automaton.accepts[state] && (count == kFree || count >= length.min));
    for (uint32_t c = 0; c < classes; ++c)
      bounded.next.push_back(name(automaton.Next(state, c), count == kFree ? kFree : count + 1));
  }
  return Minimised(std::move(bounded), budget);
}

}  // namespace tern
