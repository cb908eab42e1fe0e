// What a compiled grammar must know of its rules and states, and the grammars that are refused for it.
#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "infer/grammar_compiler.h"

namespace tern {
namespace {

/// Whether an edge reads no byte and makes no call.
bool IsFree(const GrammarEdge& edge) {
  return edge.kind == GrammarEdge::kEmpty || edge.kind == GrammarEdge::kAgain ||
         edge.kind == GrammarEdge::kLeave;
}

/// values[begin[k] … begin[k+1]) are the numbers i with key(i) == k.
template <typename Key>
void GroupBy(size_t keys, size_t count, Key key, std::vector<uint32_t>* begin,
             std::vector<uint32_t>* values) {
  begin->assign(keys + 1, 0);
  for (size_t i = 0; i < count; ++i) {
    if (key(i) < keys) ++(*begin)[key(i) + 1];
  }
  std::partial_sum(begin->begin(), begin->end(), begin->begin());
  values->resize(begin->back());
  std::vector<uint32_t> place(begin->begin(), begin->end() - 1);
  for (size_t i = 0; i < count; ++i) {
    if (key(i) < keys) (*values)[place[key(i)]++] = static_cast<uint32_t>(i);
  }
}

}  // namespace

void GrammarCompiler::IndexEdges() {
  const auto& edges = grammar_->edges_;
  GroupBy(
      states_, edges.size(), [&](size_t i) { return size_t{edges[i].target}; }, &in_begin_, &in_);
  GroupBy(
      finals_.size(), edges.size(),
      [&](size_t i) { return edges[i].kind == GrammarEdge::kCall ? size_t{edges[i].rule} : SIZE_MAX; },
      &call_begin_, &call_);
  started_.assign(states_, kNone);
  for (uint32_t rule = 0; rule < finals_.size(); ++rule) started_[grammar_->starts_[rule]] = rule;
}

/// Backwards from the ends: the states that reach the end of their rule without a byte.
void GrammarCompiler::FindNullable() {
  grammar_->nullable_.assign(finals_.size(), false);
  std::vector<bool> ends(states_, false);
  std::vector<uint32_t> work;
  const auto mark = [&](uint32_t state) {
    if (ends[state]) return;
    ends[state] = true;
    work.push_back(state);
  };
  for (const uint32_t state : finals_) mark(state);
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (uint32_t i = in_begin_[state]; i < in_begin_[state + 1]; ++i) {
      const GrammarEdge& edge = grammar_->edges_[in_[i]];
      const bool free = IsFree(edge) || (edge.kind == GrammarEdge::kCall && grammar_->nullable_[edge.rule]);
      if (free) mark(edge_from_[in_[i]]);
    }
    const uint32_t rule = started_[state];
    if (rule == kNone) continue;
    grammar_->nullable_[rule] = true;
    for (uint32_t i = call_begin_[rule]; i < call_begin_[rule + 1]; ++i) {
      if (ends[grammar_->edges_[call_[i]].target]) mark(edge_from_[call_[i]]);
    }
  }
}

bool GrammarCompiler::IsNullable(Expr expr) const {
  const GrammarBuilder::Node& node = builder_.node(expr);
  const auto nullable = [this](Expr part) { return IsNullable(part); };
  switch (node.kind) {
    case GrammarBuilder::Kind::kText:
      return node.text.empty();
    case GrammarBuilder::Kind::kChars:
      return false;
    case GrammarBuilder::Kind::kSequence:
      return std::all_of(node.parts.begin(), node.parts.end(), nullable);
    case GrammarBuilder::Kind::kChoice:
      return std::any_of(node.parts.begin(), node.parts.end(), nullable);
    case GrammarBuilder::Kind::kRepeat:
      return node.min == 0 || IsNullable(node.parts.front());
    case GrammarBuilder::Kind::kCall:
      return grammar_->nullable_[node.rule];
    case GrammarBuilder::Kind::kAutomaton:
      return node.automaton->accepts[0];
  }
  return false;
}

Status GrammarCompiler::CheckEmptyLoops() const {
  for (const GrammarBuilder::Node& node : builder_.nodes()) {
    if (node.kind != GrammarBuilder::Kind::kRepeat || node.max != GrammarBuilder::kUnbounded) continue;
    if (node.place == GrammarBuilder::kNoPlace || !IsNullable(node.parts.front())) continue;
    return InvalidArgument(Where(node.place) + "an endless repetition of what can be empty");
  }
  return OkStatus();
}

std::string GrammarCompiler::Where(size_t place) const {
  return place == GrammarBuilder::kNoPlace ? std::string() : describe_(place) + ": ";
}

std::string GrammarCompiler::WhereRule(uint32_t rule) const {
  return Where(rule < builder_.rules().size() ? builder_.rules()[rule].place : GrammarBuilder::kNoPlace);
}

std::string GrammarCompiler::NameOf(uint32_t rule) const {
  return rule < builder_.rules().size() ? builder_.rules()[rule].name : "(a repeated part)";
}

/// By rule: the rules it may call before it has read a byte.
std::vector<std::vector<uint32_t>> GrammarCompiler::FirstCalls() const {
  std::vector<std::vector<uint32_t>> calls(finals_.size());
  std::vector<uint32_t> seen(states_, kNone);  // the rule whose walk has seen the state
  std::vector<uint32_t> work;
  for (uint32_t rule = 0; rule < finals_.size(); ++rule) {
    const auto visit = [&](uint32_t state) {
      if (std::exchange(seen[state], rule) != rule) work.push_back(state);
    };
    visit(grammar_->starts_[rule]);
    while (!work.empty()) {
      const uint32_t state = work.back();
      work.pop_back();
      for (const GrammarEdge& edge : grammar_->edges(state)) {
        if (edge.kind == GrammarEdge::kCall) calls[rule].push_back(edge.rule);
        if (IsFree(edge)) visit(edge.target);
        if (edge.kind == GrammarEdge::kCall && grammar_->nullable_[edge.rule]) visit(edge.target);
      }
    }
  }
  return calls;
}

/// A walk in depth, without recursion of its own: a cycle of first calls is left recursion.
Status GrammarCompiler::CheckLeftRecursion() const {
  const auto calls = FirstCalls();
  enum : uint8_t { kNew, kOnPath, kDone };
  std::vector<uint8_t> colour(calls.size(), kNew);
  std::vector<std::pair<uint32_t, size_t>> path;  // rule, next of its calls
  for (uint32_t root = 0; root < calls.size(); ++root) {
    if (colour[root] == kNew) path.push_back({root, 0});
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      colour[rule] = kOnPath;
      if (next == calls[rule].size()) {
        colour[rule] = kDone;
        path.pop_back();
        continue;
      }
      const uint32_t called = calls[rule][next++];
      if (colour[called] == kNew) path.push_back({called, 0});
      if (colour[called] != kOnPath) continue;
      auto begin =
          std::find_if(path.begin(), path.end(), [called](const auto& step) { return step.first == called; });
      std::string cycle;
      for (; begin != path.end() && cycle.size() < 200; ++begin) cycle += NameOf(begin->first) + " -> ";
      return InvalidArgument(WhereRule(called) + NameOf(called) +
                             " refers to itself before any character (left recursion): " + cycle +
                             NameOf(called));
    }
  }
  return OkStatus();
}

/// A call at the very end of a rule needs no return: lists written by recursion then take no stack.
void GrammarCompiler::TurnTailCallsToJumps() {
  for (GrammarEdge& edge : grammar_->edges_) {
    if (edge.kind != GrammarEdge::kCall || !grammar_->is_final(edge.target)) continue;
    edge = {.kind = GrammarEdge::kEmpty, .target = grammar_->starts_[edge.rule]};
  }
}

/// A part that can be empty can be repeated without a byte, so its minimum is always reached.
void GrammarCompiler::FreeNullableCounters() {
  for (uint32_t rule = 0; rule < finals_.size(); ++rule) {
    const uint32_t counter = grammar_->counter_of_[grammar_->starts_[rule]];
    if (counter != 0 && grammar_->nullable_[rule]) grammar_->counters_[counter].min = 0;
  }
}

/// Shortest paths to the ends, where a call costs the most of what it and the rest need (Knuth's
/// generalisation of Dijkstra's method: costs never fall on the way, so the least open one is final). A count
/// makes no difference: where one part was read, another one can be, by the same calls.
void GrammarCompiler::FindNeeds() {
  std::vector<uint32_t>& need = grammar_->need_;
  need.assign(states_, kNone);
  std::vector<bool> done(states_, false);
  std::vector<std::vector<uint32_t>> open(1);  // by need
  const auto offer = [&](uint32_t state, uint32_t value) {
    if (value >= need[state]) return;
    need[state] = value;
    if (open.size() <= value) open.resize(value + 1);
    open[value].push_back(state);
  };
  for (const uint32_t state : finals_) offer(state, 0);
  for (uint32_t value = 0; value < open.size(); ++value) {
    while (!open[value].empty()) {
      const uint32_t state = open[value].back();
      open[value].pop_back();
      if (done[state] || need[state] != value) continue;
      done[state] = true;
      for (uint32_t i = in_begin_[state]; i < in_begin_[state + 1]; ++i) {
        const GrammarEdge& edge = grammar_->edges_[in_[i]];
        const uint32_t start = edge.kind == GrammarEdge::kCall ? grammar_->starts_[edge.rule] : state;
        if (!done[start]) continue;
        const uint32_t call = edge.kind == GrammarEdge::kCall ? need[start] + 1 : 0;
        offer(edge_from_[in_[i]], std::max(value, call));
      }
      if (started_[state] == kNone) continue;
      const uint32_t rule = started_[state];
      for (uint32_t i = call_begin_[rule]; i < call_begin_[rule + 1]; ++i) {
        const uint32_t target = grammar_->edges_[call_[i]].target;
        if (done[target]) offer(edge_from_[call_[i]], std::max(value + 1, need[target]));
      }
    }
  }
}

Status GrammarCompiler::CheckNeeds() const {
  for (uint32_t rule = 0; rule < builder_.rules().size(); ++rule) {
    const uint32_t need = grammar_->need_[grammar_->starts_[rule]];
    if (need == kNone) {
      return InvalidArgument(WhereRule(rule) + NameOf(rule) +
                             " can never end: every way through it needs itself again");
    }
    if (need > GrammarLimits::kStackDepth) {
      return Exhausted(WhereRule(rule) + NameOf(rule) + " needs rules nested " + std::to_string(need) +
                       " deep; the limit is " + std::to_string(GrammarLimits::kStackDepth));
    }
  }
  return OkStatus();
}

void GrammarCompiler::DropDeadEnds() {
  std::vector<GrammarEdge>& edges = grammar_->edges_;
  std::vector<uint32_t>& begin = grammar_->begin_;
  size_t kept = 0;
  for (uint32_t state = 0; state < states_; ++state) {
    const size_t first = begin[state];
    begin[state] = static_cast<uint32_t>(kept);
    for (size_t i = first; i < begin[state + 1]; ++i) {
      const GrammarEdge edge = edges[i];
      const bool dead =
          grammar_->need_[edge.target] == kNone ||
          (edge.kind == GrammarEdge::kCall && grammar_->need_[grammar_->starts_[edge.rule]] == kNone);
      if (!dead) edges[kept++] = edge;
    }
  }
  begin[states_] = static_cast<uint32_t>(kept);
  edges.resize(kept);
}

void GrammarCompiler::FindTraits() {
  grammar_->traits_.assign(states_, 0);
  for (uint32_t state = 0; state < states_; ++state) {
    for (const GrammarEdge& edge : grammar_->edges(state))
      grammar_->traits_[state] |= edge.kind == GrammarEdge::kByte ? Grammar::kReads : Grammar::kMoves;
  }
}

}  // namespace tern
