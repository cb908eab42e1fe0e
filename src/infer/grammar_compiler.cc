#include "infer/grammar_compiler.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tern {

Result<std::shared_ptr<const Grammar>> GrammarCompiler::Compile(GrammarBuilder::Rule root) {
  grammar_ = std::shared_ptr<Grammar>(new Grammar());
  grammar_->root_ = root;
  CompileRules();
  if (too_large_) {
    return Exhausted("the grammar is too large: more than " + std::to_string(GrammarLimits::kStates) +
                     " states; its repetitions may be too long");
  }
  SortEdges();
  IndexEdges();
  FindNullable();
  TERN_RETURN_IF_ERROR(CheckEmptyLoops());
  TERN_RETURN_IF_ERROR(CheckLeftRecursion());
  TurnTailCallsToJumps();
  FreeNullableCounters();
  IndexEdges();
  FindNeeds();
  TERN_RETURN_IF_ERROR(CheckNeeds());
  DropDeadEnds();
  FindTraits();
  return std::shared_ptr<const Grammar>(std::move(grammar_));
}

uint32_t GrammarCompiler::NewState() {
  if (states_ >= GrammarLimits::kStates) too_large_ = true;
  return too_large_ ? 0 : states_++;
}

void GrammarCompiler::AddEdge(uint32_t from, GrammarEdge edge) {
  if (from_.size() >= 4 * GrammarLimits::kStates) too_large_ = true;
  if (too_large_) return;
  from_.push_back(from);
  grammar_->edges_.push_back(edge);
}

/// The list of rules grows while it is walked: repeated parts become rules.
void GrammarCompiler::CompileRules() {
  for (const auto& rule : builder_.rules()) bodies_.push_back({rule.body});
  grammar_->counters_.push_back({});
  for (size_t rule = 0; rule < bodies_.size() && !too_large_; ++rule) {
    const uint32_t start = NewState();
    const uint32_t end = NewState();
    grammar_->starts_.push_back(start);
    finals_.push_back(end);
    const Body body = bodies_[rule];  // a copy: the list grows
    const ByteAutomaton* automaton = builder_.node(body.expr).automaton.get();
    const bool counting = automaton != nullptr && automaton->count > 0;
    if (counting) grammar_->counters_.push_back({automaton->count, automaton->count});
    if (body.counted)
      CompileCounted(body.counter, body.expr, start, end);
    else
      CompileExpr(body.expr, start, end);
    const bool counted = counting || body.counted;
    grammar_->counter_of_.resize(states_,
                                 counted ? static_cast<uint32_t>(grammar_->counters_.size() - 1) : 0);
  }
}

/// Adds what reads `expr` between two states. It leads nothing to `from` and nothing out of `to`, so that
/// alternatives can share both.
void GrammarCompiler::CompileExpr(Expr expr, uint32_t from, uint32_t to) {
  if (too_large_) return;
  const GrammarBuilder::Node& node = builder_.node(expr);
  switch (node.kind) {
    case GrammarBuilder::Kind::kText:
      return CompileText(node.text, from, to);
    case GrammarBuilder::Kind::kChars:
      return CompileChars(node.sequences, from, to);
    case GrammarBuilder::Kind::kSequence: {
      if (node.parts.empty()) return AddEmpty(from, to);
      for (size_t i = 0; i < node.parts.size(); ++i) {
        const uint32_t next = i + 1 == node.parts.size() ? to : NewState();
        CompileExpr(node.parts[i], from, next);
        from = next;
      }
      return;
    }
    case GrammarBuilder::Kind::kChoice:
      for (const Expr part : node.parts) CompileExpr(part, from, to);
      return;
    case GrammarBuilder::Kind::kRepeat:
      return CompileRepeat(node, from, to);
    case GrammarBuilder::Kind::kCall:
      return AddEdge(from, {.kind = GrammarEdge::kCall, .target = to, .rule = node.rule});
    case GrammarBuilder::Kind::kAutomaton:
      return CompileAutomaton(*node.automaton, from, to);
  }
}

/// Its states are copied; those that accept and go on lead to `to` as well. It may lead back to `from`: it is
/// all of its rule.
void GrammarCompiler::CompileAutomaton(const ByteAutomaton& automaton, uint32_t from, uint32_t to) {
  std::vector<uint32_t> states(automaton.states(), from);
  for (uint32_t state = 0; state < states.size(); ++state) {
    const bool ends = automaton.accepts[state] && automaton.EdgesOf(state).empty();
    if (state > 0) states[state] = ends ? to : NewState();
    if (automaton.accepts[state] && states[state] != to) AddEmpty(states[state], to);
  }
  const std::vector<uint32_t> counted = CompileCounts(automaton, states);
  for (uint32_t state = 0; state < states.size(); ++state) {
    for (const ByteAutomaton::Edge& edge : automaton.EdgesOf(state)) {
      const uint32_t target = state == 0 ? states[edge.target] : counted[edge.target];
      AddEdge(states[state],
              {.kind = GrammarEdge::kByte, .low = edge.low, .high = edge.high, .target = target});
    }
  }
}

/// By state of the automaton: where an edge leads that ends a counted part with it, or the state itself.
std::vector<uint32_t> GrammarCompiler::CompileCounts(const ByteAutomaton& automaton,
                                                     const std::vector<uint32_t>& states) {
  std::vector<uint32_t> counted = states;
  for (uint32_t state = 0; automaton.count > 0 && state < states.size(); ++state) {
    const uint32_t last = automaton.last[state];
    if (last == ByteAutomaton::kNone) continue;
    counted[state] = NewState();
    AddEdge(counted[state], {.kind = GrammarEdge::kAgain, .target = states[state]});
    AddEdge(counted[state], {.kind = GrammarEdge::kLeave, .target = states[last]});
  }
  return counted;
}

void GrammarCompiler::CompileText(const std::string& text, uint32_t from, uint32_t to) {
  if (text.empty()) return AddEmpty(from, to);
  for (size_t i = 0; i < text.size(); ++i) {
    const uint32_t next = i + 1 == text.size() ? to : NewState();
    const auto byte = static_cast<uint8_t>(text[i]);
    AddEdge(from, {.kind = GrammarEdge::kByte, .low = byte, .high = byte, .target = next});
    from = next;
  }
}

/// Sequences that end alike share their last states: what follows most first bytes is any continuation.
void GrammarCompiler::CompileChars(const std::vector<Utf8Sequence>& sequences, uint32_t from, uint32_t to) {
  uint32_t any[4] = {to, kNone, kNone, kNone};  // from any[n], n continuation bytes of any value lead to `to`
  const auto is_any = [](ByteRange range) { return range.low == 0x80 && range.high == 0xBF; };
  for (const Utf8Sequence& sequence : sequences) {
    size_t free = 0;
    while (free + 1 < sequence.length && is_any(sequence.bytes[sequence.length - 1 - free])) ++free;
    for (size_t n = 1; n <= free; ++n) {
      if (any[n] != kNone) continue;
      any[n] = NewState();
      AddEdge(any[n], {.kind = GrammarEdge::kByte, .low = 0x80, .high = 0xBF, .target = any[n - 1]});
    }
    uint32_t at = from;
    for (size_t i = 0; i + free < sequence.length; ++i) {
      const uint32_t next = i + free + 1 == sequence.length ? any[free] : NewState();
      AddEdge(at, {.kind = GrammarEdge::kByte,
                   .low = sequence.bytes[i].low,
                   .high = sequence.bytes[i].high,
                   .target = next});
      at = next;
    }
  }
}

/// `min` copies in a row, then either a loop or copies from each of which `to` is near; a rule that counts
/// where these would be many.
void GrammarCompiler::CompileRepeat(const GrammarBuilder::Node& node, uint32_t from, uint32_t to) {
  const Expr part = Inlined(node.parts.front());
  const bool unbounded = node.max == GrammarBuilder::kUnbounded;
  if (!unbounded && node.max == 0) return AddEmpty(from, to);
  const int32_t before_loop = unbounded ? std::max(node.min - 1, 0) : node.max;
  const bool small = IsSmall(part);
  constexpr int32_t kFewSmall = 20, kFew = 4;
  if (before_loop > (small ? kFewSmall : kFew)) {
    if (node.min == 0) AddEmpty(from, to);
    return AddEdge(from, {.kind = GrammarEdge::kCall,
                          .target = to,
                          .rule = RuleOfCounted(part, std::max(node.min, 1), node.max)});
  }
  const bool called = before_loop > 1 && !small;
  for (int32_t i = 0; i < before_loop && !too_large_; ++i) {
    if (!unbounded && i >= node.min) AddEmpty(from, to);
    const uint32_t next = !unbounded && i + 1 == before_loop ? to : NewState();
    CompileCopy(part, called, from, next);
    from = next;
  }
  if (!unbounded) return;
  const uint32_t begin = NewState();
  const uint32_t end = NewState();
  AddEmpty(from, begin);
  CompileCopy(part, called, begin, end);
  AddEmpty(end, begin);
  AddEmpty(node.min == 0 ? begin : end, to);
}

/// The part from the start to `complete`, and from there back to the start or to the end.
void GrammarCompiler::CompileCounted(const GrammarCounter& counter, Expr part, uint32_t start, uint32_t end) {
  grammar_->counters_.push_back(counter);
  const uint32_t complete = NewState();
  CompileExpr(part, start, complete);
  AddEdge(complete, {.kind = GrammarEdge::kAgain, .target = start});
  AddEdge(complete, {.kind = GrammarEdge::kLeave, .target = end});
}

void GrammarCompiler::CompileCopy(Expr part, bool called, uint32_t from, uint32_t to) {
  if (!called) return CompileExpr(part, from, to);
  AddEdge(from, {.kind = GrammarEdge::kCall, .target = to, .rule = RuleOfRepeated(part)});
}

/// Whether copies of it cost no more than calls.
bool GrammarCompiler::IsSmall(Expr expr) const {
  const GrammarBuilder::Node& node = builder_.node(expr);
  switch (node.kind) {
    case GrammarBuilder::Kind::kText:
      return node.text.size() <= 2;
    case GrammarBuilder::Kind::kChars:
      return node.sequences.size() <= 4 && std::all_of(node.sequences.begin(), node.sequences.end(),
                                                       [](const auto& s) { return s.length == 1; });
    case GrammarBuilder::Kind::kCall:
      return true;
    default:
      return false;
  }
}

/// What a call of a short rule that calls nothing would read: a repetition of it needs no calls.
GrammarBuilder::Expr GrammarCompiler::Inlined(Expr expr) const {
  const GrammarBuilder::Node& node = builder_.node(expr);
  if (node.kind != GrammarBuilder::Kind::kCall) return expr;
  const Expr body = builder_.rules()[node.rule].body;
  size_t size = 0;
  return IsFlat(body, &size) ? body : expr;
}

bool GrammarCompiler::IsFlat(Expr expr, size_t* size) const {
  constexpr size_t kMostNodes = 64;
  const GrammarBuilder::Node& node = builder_.node(expr);
  const bool leaf = node.kind == GrammarBuilder::Kind::kText || node.kind == GrammarBuilder::Kind::kChars;
  const bool inner =
      node.kind == GrammarBuilder::Kind::kSequence || node.kind == GrammarBuilder::Kind::kChoice;
  if (++*size > kMostNodes || (!leaf && !inner)) return false;
  return std::all_of(node.parts.begin(), node.parts.end(), [&](Expr part) { return IsFlat(part, size); });
}

uint32_t GrammarCompiler::RuleOfRepeated(Expr expr) {
  const auto [it, added] = repeated_.try_emplace(expr, static_cast<uint32_t>(bodies_.size()));
  if (added) bodies_.push_back({expr});
  return it->second;
}

uint32_t GrammarCompiler::RuleOfCounted(Expr part, int32_t min, int32_t max) {
  const auto [it, added] = counted_.try_emplace({part, min, max}, static_cast<uint32_t>(bodies_.size()));
  const uint32_t most =
      max == GrammarBuilder::kUnbounded ? GrammarCounter::kUnbounded : static_cast<uint32_t>(max);
  if (added) bodies_.push_back({part, true, {static_cast<uint32_t>(min), most}});
  return it->second;
}

void GrammarCompiler::SortEdges() {
  std::vector<uint32_t>& begin = grammar_->begin_;
  begin.assign(size_t{states_} + 1, 0);
  for (const uint32_t from : from_) ++begin[from + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<uint32_t> place(begin.begin(), begin.end() - 1);
  std::vector<GrammarEdge> sorted(from_.size());
  edge_from_.resize(from_.size());
  for (size_t i = 0; i < from_.size(); ++i) {
    const uint32_t at = place[from_[i]]++;
    sorted[at] = grammar_->edges_[i];
    edge_from_[at] = from_[i];
  }
  grammar_->edges_ = std::move(sorted);
  from_.clear();
}

}  // namespace tern
