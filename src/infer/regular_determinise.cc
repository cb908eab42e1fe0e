#include "infer/regular_determinise.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace tern {
namespace {

using Kind = RegularTree::Kind;

/// A nondeterministic automaton of a tree (Thompson's construction).
struct Nondeterministic {
  enum class Step : uint8_t {
    kSplit,  ///< to both targets at no cost
    kSet,
    kStart,
    kEnd,
    kBoundary,
    kLookAhead,
    kMatch,
  };
  struct State {
    Step step;
    bool negated = false;
    uint32_t value = 0;  ///< kSet: the set; kLookAhead: the node of the tree
    uint32_t target = 0;
    uint32_t other = kNowhere;  ///< kSplit: the second target
  };
  std::vector<State> states;
  uint32_t start = 0;
};

class NondeterministicBuilder {
 public:
  explicit NondeterministicBuilder(const RegularTree& tree) : tree_(tree) {}

  /// For the texts that begin with a match at their start, or at any place in them.
  Result<Nondeterministic> Build(uint32_t root, bool anywhere) {
    TERN_RETURN_IF_ERROR(CheckSize(root));
    const uint32_t match = Add({.step = Step::kMatch});
    nfa_.start = Compile(root, match);
    if (anywhere) {
      const uint32_t loop = Add({.step = Step::kSplit, .target = nfa_.start});
      nfa_.states[loop].other = Add({.step = Step::kSet, .value = kAnySet, .target = loop});
      nfa_.start = loop;
    }
    return std::move(nfa_);
  }

  static constexpr uint32_t kAnySet = UINT32_MAX;

 private:
  using Step = Nondeterministic::Step;
  static constexpr size_t kMaxStates = size_t{1} << 17;

  uint32_t Add(Nondeterministic::State state) {
    nfa_.states.push_back(state);
    return static_cast<uint32_t>(nfa_.states.size() - 1);
  }

  /// Before anything is built: nested repetitions multiply.
  Status CheckSize(uint32_t root) const {
    std::vector<size_t> size(tree_.nodes.size(), 1);
    for (uint32_t i = 0; i <= root; ++i) {  // children come first
      const RegularTree::Node& node = tree_.nodes[i];
      size_t all = 1;
      if (node.kind != Kind::kLookAhead) {
        for (const uint32_t child : node.children) all += size[child];
      }
      if (node.kind == Kind::kRepeat) {
        const bool unbounded = node.max == RegularTree::kUnbounded;
        all = (size[node.children[0]] + 1) * (std::max<size_t>(1, unbounded ? node.min : node.max) + 1);
      }
      size[i] = std::min(all, kMaxStates + 1);
    }
    if (size[root] <= kMaxStates) return OkStatus();
    return Exhausted("the repetitions are too long: they need more than " + std::to_string(kMaxStates) +
                     " states");
  }

  /// The state from which `node` and then `next` is read. The depth of trees is bounded by their reader.
  uint32_t Compile(uint32_t node_index, uint32_t next) {
    const RegularTree::Node& node = tree_.nodes[node_index];
    switch (node.kind) {
      case Kind::kSet:
        return Add({.step = Step::kSet, .value = node.set, .target = next});
      case Kind::kSequence:
        for (size_t i = node.children.size(); i-- > 0;) next = Compile(node.children[i], next);
        return next;
      case Kind::kChoice: {
        uint32_t way = Compile(node.children.back(), next);
        for (size_t i = node.children.size() - 1; i-- > 0;)
          way = Add({.step = Step::kSplit, .target = Compile(node.children[i], next), .other = way});
        return way;
      }
      case Kind::kRepeat:
        return CompileRepeat(node, next);
      case Kind::kStart:
        return Add({.step = Step::kStart, .target = next});
      case Kind::kEnd:
        return Add({.step = Step::kEnd, .target = next});
      case Kind::kBoundary:
        return Add({.step = Step::kBoundary, .negated = node.negated, .target = next});
      case Kind::kLookAhead:
        return Add(
            {.step = Step::kLookAhead, .negated = node.negated, .value = node.children[0], .target = next});
    }
    return next;
  }

  uint32_t CompileRepeat(const RegularTree::Node& node, uint32_t next) {
    const uint32_t part = node.children[0];
    uint32_t begin = next;
    if (node.max == RegularTree::kUnbounded) {
      const uint32_t loop = Add({.step = Step::kSplit, .target = next});
      const uint32_t body = Compile(part, loop);
      nfa_.states[loop].other = body;
      begin = loop;
    } else {
      for (uint32_t i = node.min; i < node.max; ++i)
        begin = Add({.step = Step::kSplit, .target = Compile(part, begin), .other = next});
    }
    for (uint32_t i = 0; i < node.min; ++i) begin = Compile(part, begin);
    return begin;
  }

  const RegularTree& tree_;
  Nondeterministic nfa_;
};

/// Where a text stands: what was read last decides ^, \b and \B.
struct Context {
  bool at_start = false;
  bool after_word = false;
  bool operator==(const Context&) const = default;
};

/// What an automaton of look-ahead bodies is asked for.
struct LookAhead {
  uint32_t node;
  Context context;
  bool operator<(const LookAhead& other) const {
    return std::tie(node, context.at_start, context.after_word) <
           std::tie(other.node, other.context.at_start, other.context.after_word);
  }
};

/// What must (or must not) still be read for a look-ahead that was passed: a state of its body's automaton.
struct Demand {
  uint32_t body;  ///< index of the automaton
  uint32_t state;
  bool negated;
  auto operator<=>(const Demand&) const = default;
};

class Determiniser {
 public:
  Determiniser(const RegularTree& tree, RegularBudget* budget) : tree_(tree), budget_(*budget) {
    std::vector<CharSet> sets = tree.sets;
    const auto is_boundary = [](const RegularTree::Node& node) { return node.kind == Kind::kBoundary; };
    has_boundary_ = std::any_of(tree.nodes.begin(), tree.nodes.end(), is_boundary);
    const CharSet word({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}});
    if (has_boundary_) sets.push_back(word);
    classes_ = CharClasses::OfSets(sets);
    is_word_.assign(classes_.count(), false);
    if (has_boundary_) {
      for (const uint32_t c : classes_.ClassesOf(word)) is_word_[c] = true;
    }
    for (const CharSet& set : tree.sets) {
      std::vector<bool> members(classes_.count(), false);
      for (const uint32_t c : classes_.ClassesOf(set)) members[c] = true;
      members_.push_back(std::move(members));
    }
    demands_.push_back({});
    demand_numbers_.emplace(std::vector<Demand>(), 0);
  }

  Result<RegularAutomaton> Run() {
    TERN_RETURN_IF_ERROR(budget_.Spend(classes_.starts().size() * (tree_.sets.size() + 1)));
    return Build(tree_.root, {.at_start = true}, !StartsAtStart(tree_.root));
  }

 private:
  using Step = Nondeterministic::Step;
  /// A state of the nondeterministic automaton and the number of a set of demands.
  using Thread = uint64_t;
  static Thread MakeThread(uint32_t state, uint32_t demands) { return uint64_t{state} << 32 | demands; }

  /// Whether every match begins with ^: then it need not be looked for elsewhere.
  bool StartsAtStart(uint32_t index) const {
    const RegularTree::Node& node = tree_.nodes[index];
    const auto starts = [this](uint32_t child) { return StartsAtStart(child); };
    if (node.kind == Kind::kStart) return true;
    if (node.kind == Kind::kChoice) return std::all_of(node.children.begin(), node.children.end(), starts);
    return node.kind == Kind::kSequence && !node.children.empty() && starts(node.children.front());
  }

  /// A state of the automaton that is made: the threads that a text may have come to, and its context.
  struct Place {
    std::vector<Thread> threads;
    Context context;
    bool operator==(const Place&) const = default;
  };
  struct PlaceHash {
    size_t operator()(const Place& place) const {
      uint64_t hash = (place.context.at_start ? 1u : 0u) + (place.context.after_word ? 2u : 0u);
      for (const Thread thread : place.threads) {
        hash = (hash ^ thread) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
      }
      return hash;
    }
  };
  /// One subset construction; look-ahead bodies begin others, one inside another.
  struct Construction {
    Nondeterministic nfa;
    RegularAutomaton automaton;
    std::unordered_map<Place, uint32_t, PlaceHash> names;
    std::vector<const Place*> order;
    std::vector<uint32_t> seen;      // by state of the nfa: the walk that has seen it without demands
    std::set<Thread> seen_demanded;  // those with demands
    uint32_t walk = 0;
  };

  Result<RegularAutomaton> Build(uint32_t root, Context context, bool anywhere) {
    Construction made;
    TERN_ASSIGN_OR_RETURN(made.nfa, NondeterministicBuilder(tree_).Build(root, anywhere));
    TERN_RETURN_IF_ERROR(budget_.Spend(made.nfa.states.size()));
    made.automaton.classes = classes_;
    made.seen.assign(made.nfa.states.size(), 0);
    TERN_ASSIGN_OR_RETURN(std::vector<Thread> start,
                          Reached(&made, {MakeThread(made.nfa.start, 0)}, context));
    if (start.empty()) return RegularAutomaton();
    Name(&made, std::move(start), context);
    for (size_t i = 0; i < made.order.size(); ++i) TERN_RETURN_IF_ERROR(Expand(&made, i));
    return Minimised(std::move(made.automaton), &budget_);
  }

  uint32_t Name(Construction* made, std::vector<Thread> threads, Context context) {
    if (threads.empty()) return kNowhere;
    const auto [it, added] =
        made->names.try_emplace({std::move(threads), context}, static_cast<uint32_t>(made->order.size()));
    if (added) made->order.push_back(&it->first);
    return it->second;
  }

  /// The transitions of the state that was named i-th.
  Status Expand(Construction* made, size_t i) {
    const std::vector<Thread>& threads = made->order[i]->threads;
    const Context context = made->order[i]->context;
    const size_t classes = classes_.count();
    if (made->order.size() > RegularBudget::kStates ||
        made->order.size() * classes > RegularBudget::kTransitions)
      return Exhausted("it needs more than " + std::to_string(RegularBudget::kStates) + " states");
    const Nondeterministic& nfa = made->nfa;
    const auto matched = [&](Thread thread) { return IsMatched(nfa, thread); };
    if (std::any_of(threads.begin(), threads.end(), matched)) {  // whatever follows
      made->automaton.accepts.push_back(true);
      made->automaton.next.insert(made->automaton.next.end(), classes, static_cast<uint32_t>(i));
      return OkStatus();
    }
    TERN_ASSIGN_OR_RETURN(const std::vector<Thread> at_end, Resolved(made, threads, Next::kEnd, context));
    made->automaton.accepts.push_back(
        std::any_of(at_end.begin(), at_end.end(), [&](Thread thread) { return AcceptsAtEnd(nfa, thread); }));
    TERN_ASSIGN_OR_RETURN(const std::vector<Thread> before_other,
                          Resolved(made, threads, Next::kOther, context));
    TERN_ASSIGN_OR_RETURN(const std::vector<Thread> before_word,
                          Resolved(made, threads, Next::kWord, context));
    for (uint32_t c = 0; c < classes; ++c) {
      const std::vector<Thread>& from = is_word_[c] ? before_word : before_other;
      TERN_RETURN_IF_ERROR(budget_.Spend(from.size() + 1));
      std::vector<Thread> to;
      for (const Thread thread : from) {
        const Nondeterministic::State& state = nfa.states[thread >> 32];
        const auto demands = static_cast<uint32_t>(thread);
        const bool reads = state.step == Step::kMatch ||
                           (state.step == Step::kSet &&
                            (state.value == NondeterministicBuilder::kAnySet || members_[state.value][c]));
        if (!reads) continue;
        const uint32_t left = demands == 0 ? 0 : AfterClass(demands, c);
        if (left == kNowhere) continue;
        to.push_back(MakeThread(
            state.step == Step::kMatch ? static_cast<uint32_t>(thread >> 32) : state.target, left));
      }
      const Context after{.after_word = is_word_[c]};
      TERN_ASSIGN_OR_RETURN(to, Reached(made, std::move(to), after));
      made->automaton.next.push_back(Name(made, std::move(to), after));
    }
    return OkStatus();
  }

  bool IsMatched(const Nondeterministic& nfa, Thread thread) const {
    return nfa.states[thread >> 32].step == Step::kMatch && static_cast<uint32_t>(thread) == 0;
  }

  bool AcceptsAtEnd(const Nondeterministic& nfa, Thread thread) const {
    if (nfa.states[thread >> 32].step != Step::kMatch) return false;
    const std::vector<Demand>& demands = demands_[static_cast<uint32_t>(thread)];
    return std::all_of(demands.begin(), demands.end(), [this](const Demand& demand) {
      return bodies_[demand.body].accepts[demand.state] != demand.negated;
    });
  }

  /// Follows what needs no character. The threads that are left read one, match, or wait for what comes next.
  Result<std::vector<Thread>> Reached(Construction* made, std::vector<Thread> work, Context context) {
    const Nondeterministic& nfa = made->nfa;
    std::vector<Thread> reached;
    made->seen_demanded.clear();
    ++made->walk;
    while (!work.empty()) {
      const Thread thread = work.back();
      work.pop_back();
      if (!IsNew(made, thread)) continue;
      TERN_RETURN_IF_ERROR(budget_.Spend(1));
      const Nondeterministic::State& state = nfa.states[thread >> 32];
      const auto demands = static_cast<uint32_t>(thread);
      if (state.step == Step::kSplit) {
        work.push_back(MakeThread(state.other, demands));
        work.push_back(MakeThread(state.target, demands));
      } else if (state.step == Step::kStart) {
        if (context.at_start) work.push_back(MakeThread(state.target, demands));
      } else if (state.step == Step::kLookAhead) {
        TERN_ASSIGN_OR_RETURN(const uint32_t more, WithLookAhead(demands, state, context));
        if (more != kNowhere) work.push_back(MakeThread(state.target, more));
      } else {
        reached.push_back(thread);
      }
    }
    // A match without demands makes all else superfluous.
    for (const Thread thread : reached) {
      if (IsMatched(nfa, thread)) return std::vector<Thread>{thread};
    }
    std::sort(reached.begin(), reached.end());
    return reached;
  }

  /// Whether this walk has not seen the thread.
  static bool IsNew(Construction* made, Thread thread) {
    if (static_cast<uint32_t>(thread) != 0) return made->seen_demanded.insert(thread).second;
    return std::exchange(made->seen[thread >> 32], made->walk) != made->walk;
  }

  enum class Next : uint8_t { kEnd, kWord, kOther };

  /// Follows $ and \b, too, now that it is known what comes next.
  Result<std::vector<Thread>> Resolved(Construction* made, const std::vector<Thread>& threads, Next next,
                                       Context context) {
    std::vector<Thread> all = threads;
    for (size_t i = 0; i < all.size(); ++i) {
      const Nondeterministic::State& state = made->nfa.states[all[i] >> 32];
      const bool boundary = (next == Next::kWord) != context.after_word;
      const bool passes = (state.step == Step::kEnd && next == Next::kEnd) ||
                          (state.step == Step::kBoundary && boundary != state.negated);
      if (!passes) continue;
      const Thread further = MakeThread(state.target, static_cast<uint32_t>(all[i]));
      TERN_ASSIGN_OR_RETURN(const std::vector<Thread> more, Reached(made, {further}, context));
      TERN_RETURN_IF_ERROR(budget_.Spend(all.size() * more.size()));
      for (const Thread thread : more) {
        if (std::find(all.begin(), all.end(), thread) == all.end()) all.push_back(thread);
      }
    }
    return all;
  }

  Result<uint32_t> WithLookAhead(uint32_t demands, const Nondeterministic::State& state, Context context) {
    TERN_ASSIGN_OR_RETURN(const uint32_t body, BodyOf({state.value, context}));
    std::vector<Demand> more = demands_[demands];
    if (bodies_[body].states() == 0) return state.negated ? demands : kNowhere;
    if (IsUniversal(body, 0)) return state.negated ? kNowhere : demands;
    more.push_back({body, 0, state.negated});
    return DemandsOf(std::move(more));
  }

  /// The automaton of the texts that begin with the body.
  Result<uint32_t> BodyOf(const LookAhead& wanted) {
    const auto known = body_numbers_.find(wanted);
    if (known != body_numbers_.end()) return known->second;
    TERN_ASSIGN_OR_RETURN(const RegularAutomaton built, Build(wanted.node, wanted.context, false));
    RegularAutomaton body = OverAllClasses(built);
    const auto number = static_cast<uint32_t>(bodies_.size());
    body_numbers_.emplace(wanted, number);
    bodies_.push_back(std::move(body));
    return number;
  }

  /// The same automaton with a transition for each of our classes.
  RegularAutomaton OverAllClasses(const RegularAutomaton& built) const {
    RegularAutomaton all;
    all.classes = classes_;
    all.accepts = built.accepts;
    const std::vector<int32_t> first = classes_.FirstOfEach();
    for (uint32_t state = 0; state < built.states(); ++state) {
      for (const int32_t character : first)
        all.next.push_back(built.Next(state, built.classes.ClassOf(character)));
    }
    return all;
  }

  bool IsUniversal(uint32_t body, uint32_t state) const {
    const RegularAutomaton& automaton = bodies_[body];
    if (!automaton.accepts[state]) return false;
    for (uint32_t c = 0; c < classes_.count(); ++c) {
      if (automaton.Next(state, c) != state) return false;
    }
    return true;
  }

  Result<uint32_t> DemandsOf(std::vector<Demand> demands) {
    std::sort(demands.begin(), demands.end());
    demands.erase(std::unique(demands.begin(), demands.end()), demands.end());
    TERN_RETURN_IF_ERROR(budget_.Spend(demands.size()));
    const auto [it, added] = demand_numbers_.try_emplace(demands, static_cast<uint32_t>(demands_.size()));
    if (added) demands_.push_back(std::move(demands));
    return it->second;
  }

  /// The demands that are left after a character; kNowhere when one has failed.
  uint32_t AfterClass(uint32_t demands, uint32_t char_class) {
    const uint64_t key = uint64_t{demands} << 32 | char_class;
    const auto known = after_.find(key);
    if (known != after_.end()) return known->second;
    std::vector<Demand> left;
    bool failed = false;
    for (Demand demand : demands_[demands]) {
      demand.state = bodies_[demand.body].Next(demand.state, char_class);
      const bool impossible = demand.state == kNowhere;
      const bool certain = !impossible && IsUniversal(demand.body, demand.state);
      if (!impossible && !certain) left.push_back(demand);
      failed |= demand.negated ? certain : impossible;
    }
    uint32_t number = kNowhere;
    if (!failed) {
      const auto made = DemandsOf(std::move(left));
      if (!made.ok()) return kNowhere;  // the budget is spent: the next call that spends returns the error
      number = *made;
    }
    after_.emplace(key, number);
    return number;
  }

  const RegularTree& tree_;
  RegularBudget& budget_;
  bool has_boundary_ = false;
  CharClasses classes_;
  std::vector<bool> is_word_;               // by class
  std::vector<std::vector<bool>> members_;  // by set of the tree and class

  std::map<LookAhead, uint32_t> body_numbers_;
  std::vector<RegularAutomaton> bodies_;
  std::map<std::vector<Demand>, uint32_t> demand_numbers_;
  std::vector<std::vector<Demand>> demands_;
  std::unordered_map<uint64_t, uint32_t> after_;  // by demands and class
};

}  // namespace

Result<RegularAutomaton> AutomatonOf(const RegularTree& tree, RegularBudget* budget) {
  return Determiniser(tree, budget).Run();
}

}  // namespace tern
