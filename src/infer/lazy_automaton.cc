#include "infer/lazy_automaton.h"

#include <algorithm>
#include <utility>

namespace tern {
namespace {

uint64_t HashOfEntries(uint64_t hash, std::span<const StackTable::Frame> entries) {
  for (const auto& entry : entries)
    hash = MixHash(MixHash(hash, uint64_t{entry.state} << 32 | entry.count), entry.stack);
  return hash;
}

bool SameEntries(std::span<const StackTable::Frame> a, std::span<const StackTable::Frame> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.state == y.state && x.count == y.count && x.stack == y.stack;
  });
}

/// UTF-8 beyond ASCII: first bytes, what the second ones are limited to, and how many come after that.
struct Utf8Shape {
  ByteInterval first, second;
  int more;
};
constexpr std::array<Utf8Shape, 8> kUtf8Shapes = {{{{0xC2, 0xDF}, {0x80, 0xBF}, 0},
                                                   {{0xE0, 0xE0}, {0xA0, 0xBF}, 1},
                                                   {{0xE1, 0xEC}, {0x80, 0xBF}, 1},
                                                   {{0xED, 0xED}, {0x80, 0x9F}, 1},
                                                   {{0xEE, 0xEF}, {0x80, 0xBF}, 1},
                                                   {{0xF0, 0xF0}, {0x90, 0xBF}, 2},
                                                   {{0xF1, 0xF3}, {0x80, 0xBF}, 2},
                                                   {{0xF4, 0xF4}, {0x80, 0x8F}, 2}}};

/// A kind that holds some of the characters of `kind`; kLetters itself for kLetters.
CharKind PartOf(CharKind kind) {
  switch (kind) {
    case CharKind::kLetters:
    case CharKind::kWords:
      return CharKind::kLetters;
    case CharKind::kAscii:
    case CharKind::kWide:
      return CharKind::kWords;
    case CharKind::kUnicode:
      break;
  }
  return CharKind::kAscii;
}

}  // namespace

void StackTable::Clear() {
  stacks_ = {{0, 0, 0, 0}};
  frames_ = {};
  table_ = std::vector<uint32_t>(64, 0);
}

StackTable::Stack StackTable::Make(const std::vector<Frame>& frames, uint32_t depth) {
  if (2 * stacks_.size() >= table_.size()) Grow();
  const uint64_t hash = HashOfEntries(depth, frames);
  size_t at = hash & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    const Entry& other = stacks_[table_[at]];
    if (other.hash == hash && other.depth == depth && SameEntries(Frames(table_[at]), frames))
      return table_[at];
  }
  table_[at] = static_cast<uint32_t>(stacks_.size());
  stacks_.push_back({frames_.size(), static_cast<uint32_t>(frames.size()), depth, hash});
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  return table_[at];
}

void StackTable::Grow() {
  table_.assign(2 * table_.size(), 0);
  for (size_t i = 1; i < stacks_.size(); ++i) {
    size_t at = stacks_[i].hash & (table_.size() - 1);
    while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
    table_[at] = static_cast<uint32_t>(i);
  }
}

LazyAutomaton::LazyAutomaton(std::shared_ptr<const Grammar> grammar, size_t longest)
    : grammar_(std::move(grammar)), longest_(static_cast<uint32_t>(longest)), step_(*grammar_, &stacks_) {
  Clear();
}

void LazyAutomaton::Clear() {
  stacks_.Clear();
  states_ = std::vector<StateInfo>();
  entries_ = std::vector<Entry>();
  table_ = std::vector<uint32_t>(64, 0);
  rows_ = 0;
}

size_t LazyAutomaton::bytes() const {
  return stacks_.bytes() + states_.size() * sizeof(StateInfo) + rows_ * sizeof(Row) +
         entries_.size() * sizeof(Entry) + table_.size() * sizeof(uint32_t);
}

/// Far from its bounds a count makes no difference to the texts of up to `longest_` bytes, so one count
/// stands for all of them. (A byte completes at most one part that is not empty, and a counter whose part can
/// be empty has no lower bound.) The text that is still to be read is never longer, so counts may be replaced
/// at any byte.
uint32_t LazyAutomaton::Clamp(uint32_t state, uint32_t count) const {
  const GrammarCounter& counter = grammar_->counter(state);
  const uint64_t furthest = uint64_t{count} + longest_ + 2;
  if (furthest < counter.min) return 0;
  if (!counter.may_leave(count)) return count;
  const bool far = counter.max == GrammarCounter::kUnbounded || furthest < counter.max;
  return far && counter.min > 0 ? counter.min - 1 : far ? 0 : count;
}

StackTable::Stack LazyAutomaton::StackOf(const GrammarStack* stack,
                                         std::unordered_map<const GrammarStack*, StackTable::Stack>* known) {
  if (!stack) return StackTable::kRoot;
  const bool shared = stack->frames.size() > 1;  // a stack with one way down may be walked again
  if (!known->empty()) {
    const auto found = known->find(stack);
    if (found != known->end()) return found->second;
  }
  std::vector<Entry> frames;
  frames.reserve(stack->frames.size());
  for (const GrammarStack::Frame& frame : stack->frames)
    frames.push_back({frame.state, Clamp(frame.state, frame.count), StackOf(frame.stack.get(), known)});
  CanonicaliseEntries(stacks_, *grammar_, &frames);
  const StackTable::Stack number = stacks_.Make(frames, stack->depth);
  if (shared) known->emplace(stack, number);
  return number;
}

LazyAutomaton::State LazyAutomaton::StateOf(const GrammarMatcher& matcher) {
  std::unordered_map<const GrammarStack*, StackTable::Stack> known;
  found_.clear();
  const GrammarStack* before = nullptr;
  StackTable::Stack stack = StackTable::kRoot;
  for (const GrammarPlaces::Item& item : matcher.places().items) {
    if (item.stack.get() != before) {
      before = item.stack.get();
      stack = StackOf(before, &known);
    }
    found_.push_back({item.state, Clamp(item.state, item.count), stack});
  }
  CanonicaliseEntries(stacks_, *grammar_, &found_);
  return StateWith(found_, matcher.complete());
}

LazyAutomaton::State LazyAutomaton::StateWith(const std::vector<Entry>& entries, bool complete) {
  if (2 * states_.size() >= table_.size()) Grow();
  const uint64_t hash = HashOfEntries(complete ? 1 : 2, entries);
  size_t at = hash & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    const StateInfo& other = states_[table_[at] - 1];
    if (other.hash == hash && other.complete == complete && SameEntries(EntriesOf(other), entries))
      return static_cast<State>(table_[at] - 1);
  }
  states_.push_back({entries_.size(), static_cast<uint32_t>(entries.size()), complete, hash});
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  table_[at] = static_cast<uint32_t>(states_.size());
  return static_cast<State>(states_.size() - 1);
}

void LazyAutomaton::Grow() {
  table_.assign(2 * table_.size(), 0);
  for (size_t i = 0; i < states_.size(); ++i) {
    size_t at = states_[i].hash & (table_.size() - 1);
    while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
    table_[at] = static_cast<uint32_t>(i + 1);
  }
}

/// Finds the edges that the byte takes, and how far around it all bytes take the same.
LazyAutomaton::State LazyAutomaton::Find(State from, uint8_t byte) {
  int low = 0, high = 255;
  fired_.clear();
  for (const Entry entry : EntriesOf(states_[static_cast<size_t>(from)])) {
    for (const GrammarEdge& edge : grammar_->edges(entry.state)) {
      ++work_;
      if (edge.kind != GrammarEdge::kByte) continue;
      if (byte < edge.low) {
        high = std::min(high, edge.low - 1);
      } else if (byte > edge.high) {
        low = std::max(low, edge.high + 1);
      } else {
        low = std::max<int>(low, edge.low);
        high = std::min<int>(high, edge.high);
        fired_.push_back({edge.target, entry.count, entry.stack});
      }
    }
  }
  const State next = After(fired_);
  Learn(from, {static_cast<uint8_t>(low), static_cast<uint8_t>(high), next});
  return next;
}

void LazyAutomaton::Learn(State from, Step step) {
  StateInfo& info = states_[static_cast<size_t>(from)];
  if (!info.row && info.steps < kFewSteps) {
    info.step[info.steps++] = step;
    return;
  }
  const auto fill = [&info](const Step& known) {
    std::fill(info.row->begin() + known.low, info.row->begin() + known.high + 1, known.next);
  };
  if (!info.row) {
    info.row = std::make_unique<Row>();
    info.row->fill(kUnknown);
    ++rows_;
    for (const Step& known : info.step) fill(known);
  }
  fill(step);
}

LazyAutomaton::State LazyAutomaton::After(const std::vector<Entry>& fired) {
  if (fired.empty()) return kNowhere;
  if (fired.size() == 1 && grammar_->only_reads(fired[0].state)) {
    const uint32_t need = stacks_.Depth(fired[0].stack) + grammar_->need(fired[0].state);
    return need > GrammarLimits::kStackDepth ? kNowhere : StateWith(fired, false);
  }
  step_.Begin();
  for (const Entry& entry : fired) step_.Add(entry.state, entry.count, entry.stack);
  const bool finished = step_.Finish(GrammarMatcher::kMaxItems, &found_);
  work_ += step_.work();
  if (!finished) return kTooMany;
  for (Entry& entry : found_) entry.count = Clamp(entry.state, entry.count);
  CanonicaliseEntries(stacks_, *grammar_, &found_);
  return found_.empty() && !step_.complete() ? kNowhere : StateWith(found_, step_.complete());
}

/// The state that all bytes from low to high lead to; kNowhere when there is no such one.
LazyAutomaton::State LazyAutomaton::Common(State from, uint8_t low, uint8_t high) {
  const State first = Next(from, low);
  if (first < 0) return kNowhere;
  for (int byte = low + 1; byte <= high; ++byte) {
    if (Next(from, static_cast<uint8_t>(byte)) != first) return kNowhere;
  }
  return first;
}

bool LazyAutomaton::RefusesAll(State from, uint8_t low, uint8_t high) {
  for (int byte = low; byte <= high; ++byte) {
    if (Next(from, static_cast<uint8_t>(byte)) != kNowhere) return false;
  }
  return true;
}

bool LazyAutomaton::RefusesKind(CharKind kind, State state) {
  if (HasMoreThanAscii(kind) && !RefusesAll(state, 0x80, 0xFF)) return false;
  const auto intervals = AsciiBytesOf(kind);
  return std::all_of(intervals.begin(), intervals.end(),
                     [&](ByteInterval interval) { return RefusesAll(state, interval.low, interval.high); });
}

/// The state after any character of the kind; kNowhere when there is no such one.
LazyAutomaton::State LazyAutomaton::NextOfKind(CharKind kind, State state) {
  const auto k = static_cast<size_t>(kind);
  State next = states_[static_cast<size_t>(state)].next_of_kind[k];
  if (next != kUnknown) return next;
  const auto intervals = AsciiBytesOf(kind);
  next = Next(state, intervals.front().low);
  for (const ByteInterval interval : intervals) {
    if (next >= 0 && Common(state, interval.low, interval.high) != next) next = kNowhere;
  }
  if (HasMoreThanAscii(kind) && next >= 0 && NextBeyondAscii(state) != next) next = kNowhere;
  next = std::max(next, kNowhere);
  return states_[static_cast<size_t>(state)].next_of_kind[k] = next;
}

/// The state after any character from U+0080 on; kNowhere when there is no such one.
LazyAutomaton::State LazyAutomaton::NextBeyondAscii(State state) {
  State next = states_[static_cast<size_t>(state)].next_beyond_ascii;
  if (next != kUnknown) return next;
  for (const Utf8Shape& shape : kUtf8Shapes) {
    State at = Common(state, shape.first.low, shape.first.high);
    if (at >= 0) at = Common(at, shape.second.low, shape.second.high);
    for (int i = 0; i < shape.more && at >= 0; ++i) at = Common(at, 0x80, 0xBF);
    next = next == kUnknown || at == next ? at : kNowhere;
    if (next < 0) break;
  }
  return states_[static_cast<size_t>(state)].next_beyond_ascii = next;
}

bool LazyAutomaton::IsFree(CharKind kind, State state) {
  const auto k = static_cast<size_t>(kind);
  if (states_[static_cast<size_t>(state)].free[k] == Answer::kUnknown) {
    const CharKind part = PartOf(kind);  // cheaper, and often known already
    if (part != kind && !IsFree(part, state)) return false;
    Explore(kind, state);
  }
  return states_[static_cast<size_t>(state)].free[k] == Answer::kYes;
}

/// Every text of the kind may follow where none of the states that such texts lead to refuses a character.
/// These are then all free; otherwise those on the way to the refusal are not.
void LazyAutomaton::Explore(CharKind kind, State start) {
  const auto answer = [this, kind](State state) -> Answer& {
    return states_[static_cast<size_t>(state)].free[static_cast<size_t>(kind)];
  };
  explored_.assign(1, {start, 0});
  for (size_t i = 0; i < explored_.size(); ++i) {
    const State state = explored_[i].state;
    if (answer(state) == Answer::kYes) continue;
    targets_.clear();
    const bool free = answer(state) == Answer::kUnknown && explored_.size() <= kMostExplored &&
                      AddTargetsOfKind(kind, state, &targets_);
    if (!free) {
      for (; i > 0; i = explored_[i].from) answer(explored_[i].state) = Answer::kNo;
      answer(start) = Answer::kNo;
      return;
    }
    for (const State target : targets_) {
      const bool known = std::any_of(explored_.begin(), explored_.end(),
                                     [target](const Explored& other) { return other.state == target; });
      if (!known) explored_.push_back({target, i});
    }
  }
  for (const Explored& explored : explored_) answer(explored.state) = Answer::kYes;
}

/// Adds the states that bytes of the interval lead to, each once; false when one may not follow. Takes the
/// bytes of a known transition in one step.
bool LazyAutomaton::AddTargets(State from, ByteInterval bytes, std::vector<State>* targets) {
  for (int byte = bytes.low; byte <= bytes.high; ++byte) {
    const State next = Next(from, static_cast<uint8_t>(byte));
    if (next < 0) return false;
    if (std::find(targets->begin(), targets->end(), next) == targets->end()) targets->push_back(next);
    const StateInfo& info = states_[static_cast<size_t>(from)];
    for (uint32_t i = 0; i < info.steps && !info.row; ++i) {
      if (info.step[i].low <= byte && byte <= info.step[i].high) byte = info.step[i].high;
    }
  }
  return true;
}

bool LazyAutomaton::AddTargetsBeyondAscii(State from, std::vector<State>* targets) {
  for (const Utf8Shape& shape : kUtf8Shapes) {
    std::vector<State> at = {from}, next;
    const std::array<ByteInterval, 4> bytes = {{shape.first, shape.second, {0x80, 0xBF}, {0x80, 0xBF}}};
    const size_t length = 2 + static_cast<size_t>(shape.more);
    for (size_t i = 0; i < length; ++i) {
      for (const State state : at) {
        if (!AddTargets(state, bytes[i], i + 1 == length ? targets : &next)) return false;
      }
      at.swap(next);
      next.clear();
    }
  }
  return true;
}

bool LazyAutomaton::AddTargetsOfKind(CharKind kind, State from, std::vector<State>* targets) {
  for (const ByteInterval interval : AsciiBytesOf(kind)) {
    if (!AddTargets(from, interval, targets)) return false;
  }
  return !HasMoreThanAscii(kind) || AddTargetsBeyondAscii(from, targets);
}

bool LazyAutomaton::IsFreeBeyondAscii(CharKind kind, State state) {
  const auto k = static_cast<size_t>(kind);
  Answer answer = states_[static_cast<size_t>(state)].free_beyond_ascii[k];
  if (answer == Answer::kUnknown) {
    beyond_ascii_.clear();
    const bool free = AddTargetsBeyondAscii(state, &beyond_ascii_) &&
                      std::all_of(beyond_ascii_.begin(), beyond_ascii_.end(),
                                  [this, kind](State next) { return IsFree(kind, next); });
    answer = free ? Answer::kYes : Answer::kNo;
    states_[static_cast<size_t>(state)].free_beyond_ascii[k] = answer;
  }
  return answer == Answer::kYes;
}

/// When all that a character changed is one count, which grew by one, further characters of the kind do the
/// same until the counter's answers change. Returns the state after as many of these as possible, `most` at
/// most.
LazyAutomaton::State LazyAutomaton::SkipCounts(State before, State after, size_t most, size_t* skipped) {
  *skipped = 0;
  const StateInfo &from = states_[static_cast<size_t>(before)], &to = states_[static_cast<size_t>(after)];
  if (from.size != to.size || from.complete != to.complete) return after;
  size_t counted = from.size;  // the entry whose count grew
  for (size_t i = 0; i < from.size; ++i) {
    const Entry &a = entries_[from.begin + i], &b = entries_[to.begin + i];
    if (a.state != b.state || a.stack != b.stack) return after;
    if (i > 0 && b.state == entries_[to.begin + i - 1].state && b.stack == entries_[to.begin + i - 1].stack)
      return after;  // several counts: their order might change
    if (a.count == b.count) continue;
    if (b.count != a.count + 1 || counted < from.size) return after;
    counted = i;
  }
  if (counted == from.size) return after;
  const auto entries = EntriesOf(to);
  found_.assign(entries.begin(), entries.end());
  Entry& entry = found_[counted];
  const GrammarCounter& counter = grammar_->counter(entry.state);
  const bool enough = counter.may_leave(entry.count - 1);
  if (enough != counter.may_leave(entry.count)) return after;
  const uint32_t last = (enough ? counter.max : std::min(counter.min, counter.max)) - 1;
  if (entry.count >= last) return after;
  *skipped = std::min<size_t>(most, last - entry.count);
  entry.count += static_cast<uint32_t>(*skipped);
  return StateWith(found_, to.complete);
}

LazyAutomaton::Run LazyAutomaton::RunOf(CharKind kind, State state, size_t most) {
  for (size_t chars = 0; chars < most; ++chars) {
    const State next = NextOfKind(kind, state);
    if (next == state) break;
    if (next < 0) return {chars, RefusesKind(kind, state)};
    size_t skipped = 0;
    state = SkipCounts(state, next, most - chars - 1, &skipped);
    chars += skipped;
  }
  return {most, false};
}

}  // namespace tern
