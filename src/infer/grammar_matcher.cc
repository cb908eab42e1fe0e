#include "infer/grammar_matcher.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "infer/grammar.h"

namespace tern {
namespace {

using StackPtr = std::shared_ptr<const GrammarStack>;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}
uint64_t HashOf(const StackPtr& stack) { return stack ? stack->hash : 0x51ed270b; }

/// Compares stacks by structure. Parts that are one object are equal at once; what was found equal is
/// remembered, or stacks that share much would be walked once per way through them. The depth bounds the
/// recursion.
class StackComparison {
 public:
  bool Same(const StackPtr& a, const StackPtr& b) {
    if (a == b) return true;
    if (!a || !b || a->hash != b->hash || a->depth != b->depth || a->frames.size() != b->frames.size())
      return false;
    const bool remember = a->frames.size() > 1;
    if (remember && equal_.contains({a.get(), b.get()})) return true;
    for (size_t i = 0; i < a->frames.size(); ++i) {
      if (a->frames[i].state != b->frames[i].state || !Same(a->frames[i].below, b->frames[i].below))
        return false;
    }
    if (remember) equal_.insert({a.get(), b.get()});
    return true;
  }

 private:
  std::set<std::pair<const GrammarStack*, const GrammarStack*>> equal_;
};
bool Same(const StackPtr& a, const StackPtr& b) { return StackComparison().Same(a, b); }

uint32_t DepthOf(const StackPtr& stack) { return stack ? stack->depth : 0; }

/// One step: the places after a byte, found in two rounds. First every place that the edges lead to, where a
/// rule that is called gets one new stack for all its callers; then the stacks, callers' before their
/// callees', and what is too deep falls away. (There is an order, since no rule calls itself before it has
/// read a byte.)
class Step {
 public:
  explicit Step(const Grammar& grammar) : grammar_(grammar) {}

  void Add(uint32_t state, const StackPtr& stack) { AddItem({state, kOld, &stack}); }

  /// Null when it is too ambiguous.
  std::shared_ptr<const GrammarPlaces> Finish() {
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_.size() > GrammarMatcher::kMaxItems) return nullptr;
      Follow(items_[i]);  // a copy is passed: the list grows
    }
    auto places = std::make_shared<GrammarPlaces>();
    places->complete = complete_;
    FinishStacks();
    for (const Item& item : items_) Keep(item, &places->items);
    std::sort(places->items.begin(), places->items.end(), [](const auto& a, const auto& b) {
      return std::pair(a.state, HashOf(a.stack)) < std::pair(b.state, HashOf(b.stack));
    });
    const auto same = [](const auto& a, const auto& b) {
      return a.state == b.state && Same(a.stack, b.stack);
    };
    places->items.erase(std::unique(places->items.begin(), places->items.end(), same), places->items.end());
    places->hash = complete_ ? 1 : 2;
    for (const auto& item : places->items)
      places->hash = Mix(Mix(places->hash, item.state), HashOf(item.stack));
    return places;
  }
  size_t work() const { return work_; }

 private:
  static constexpr int32_t kOld = -1;
  struct Item {
    uint32_t state;
    int32_t fresh;        ///< index of a stack of this step, or kOld
    const StackPtr* old;  ///< with kOld: the stack, which may be null
    const GrammarStack* key() const { return fresh == kOld ? old->get() : nullptr; }
  };
  struct FreshFrame {
    uint32_t state;
    int32_t fresh;
    const StackPtr* old;
  };
  /// A rule called in this step.
  struct Fresh {
    uint32_t rule;
    std::vector<FreshFrame> frames = {};
    StackPtr stack = nullptr;  ///< still null when finished: too deep
  };

  void AddItem(Item item) {
    ++work_;
    if (items_.size() > GrammarMatcher::kMaxItems || !IsNew(item)) return;
    items_.push_back(item);
  }

  /// Open addressing over the items' indices.
  bool IsNew(const Item& item) {
    if (2 * items_.size() >= table_.size()) Rehash();
    const size_t at = Find(item);
    if (table_[at] != kFree) return false;
    table_[at] = static_cast<uint32_t>(items_.size());
    return true;
  }
  size_t Find(const Item& item) const {
    uint64_t hash = Mix(item.state, static_cast<uint64_t>(item.fresh));
    hash = Mix(hash, reinterpret_cast<uintptr_t>(item.key()));
    for (size_t at = hash & (table_.size() - 1);; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at] == kFree) return at;
      const Item& other = items_[table_[at]];
      if (other.state == item.state && other.fresh == item.fresh && other.key() == item.key()) return at;
    }
  }
  void Rehash() {
    table_.assign(std::max<size_t>(32, table_.size() * 2), kFree);
    for (size_t i = 0; i < items_.size(); ++i) table_[Find(items_[i])] = static_cast<uint32_t>(i);
  }

  /// Everything that a place leads to without a byte.
  void Follow(const Item item) {
    for (const GrammarEdge& edge : grammar_.edges(item.state)) {
      ++work_;
      if (edge.kind == GrammarEdge::kEmpty) AddItem({edge.target, item.fresh, item.old});
      if (edge.kind == GrammarEdge::kCall) Call(edge, item);
    }
    // A rule that has read nothing does not return: its caller has gone on without it (nullable).
    if (!grammar_.is_final(item.state) || item.fresh != kOld) return;
    const StackPtr& stack = *item.old;
    if (!stack) {
      complete_ = true;
      return;
    }
    for (const GrammarStack::Frame& frame : stack->frames) AddItem({frame.state, kOld, &frame.below});
  }

  void Call(const GrammarEdge& edge, const Item& caller) {
    const int32_t fresh = FreshOf(edge.rule);
    auto& frames = fresh_[static_cast<size_t>(fresh)].frames;
    frames.push_back({edge.target, caller.fresh, caller.old});
    if (frames.size() == 1) AddItem({grammar_.start(edge.rule), fresh, nullptr});
    if (grammar_.nullable(edge.rule)) AddItem({edge.target, caller.fresh, caller.old});
  }

  int32_t FreshOf(uint32_t rule) {
    constexpr size_t kFew = 16;  // fewer are found quicker one by one
    for (size_t i = 0; i < std::min(fresh_.size(), kFew); ++i) {
      if (fresh_[i].rule == rule) return static_cast<int32_t>(i);
    }
    const auto next = static_cast<int32_t>(fresh_.size());
    if (fresh_.size() >= kFew) {
      const auto [it, added] = more_fresh_.try_emplace(rule, next);
      if (!added) return it->second;
    }
    fresh_.push_back({rule});
    return next;
  }

  /// Callers before callees (Kahn's order: those whose callers are all finished).
  void FinishStacks() {
    std::vector<size_t> waiting(fresh_.size(), 0);
    std::vector<std::vector<size_t>> callees(fresh_.size());
    std::vector<size_t> ready;
    for (size_t i = 0; i < fresh_.size(); ++i) {
      for (const FreshFrame& frame : fresh_[i].frames) {
        if (frame.fresh == kOld) continue;
        callees[static_cast<size_t>(frame.fresh)].push_back(i);
        ++waiting[i];
      }
      if (waiting[i] == 0) ready.push_back(i);
    }
    while (!ready.empty()) {
      const size_t next = ready.back();
      ready.pop_back();
      FinishStack(&fresh_[next]);
      for (const size_t callee : callees[next]) {
        if (--waiting[callee] == 0) ready.push_back(callee);
      }
    }
  }

  /// Whether there is such a stack: false when all of it was too deep.
  bool StackOf(int32_t fresh, const StackPtr* old, StackPtr* stack) const {
    *stack = fresh == kOld ? *old : fresh_[static_cast<size_t>(fresh)].stack;
    return fresh == kOld || *stack != nullptr;
  }

  void FinishStack(Fresh* fresh) {
    auto made = std::make_shared<GrammarStack>();
    for (const FreshFrame& frame : fresh->frames) {
      ++work_;
      StackPtr below;
      if (!StackOf(frame.fresh, frame.old, &below)) continue;
      const uint32_t depth = DepthOf(below);
      const uint32_t inside = depth + 1 + grammar_.need(grammar_.start(fresh->rule));
      if (std::max(inside, depth + grammar_.need(frame.state)) > GrammarLimits::kStackDepth) continue;
      made->depth = std::max(made->depth, depth + 1);
      made->frames.push_back({frame.state, std::move(below)});
    }
    if (made->frames.empty()) return;
    Canonicalise(made.get());
    fresh->stack = std::move(made);
  }

  static void Canonicalise(GrammarStack* stack) {
    auto& frames = stack->frames;
    if (frames.size() > 1) {
      std::sort(frames.begin(), frames.end(), [](const auto& a, const auto& b) {
        return std::pair(a.state, HashOf(a.below)) < std::pair(b.state, HashOf(b.below));
      });
      const auto same = [](const auto& a, const auto& b) {
        return a.state == b.state && Same(a.below, b.below);
      };
      frames.erase(std::unique(frames.begin(), frames.end(), same), frames.end());
    }
    stack->hash = stack->depth;
    for (const auto& frame : frames) stack->hash = Mix(Mix(stack->hash, frame.state), HashOf(frame.below));
  }

  void Keep(const Item& item, std::vector<GrammarPlaces::Item>* items) {
    const auto edges = grammar_.edges(item.state);
    const bool reads =
        std::any_of(edges.begin(), edges.end(), [](const auto& e) { return e.kind == GrammarEdge::kByte; });
    StackPtr stack;
    if (!reads || !StackOf(item.fresh, item.old, &stack)) return;
    if (DepthOf(stack) + grammar_.need(item.state) > GrammarLimits::kStackDepth) return;
    items->push_back({item.state, std::move(stack)});
  }

  static constexpr uint32_t kFree = UINT32_MAX;
  const Grammar& grammar_;
  std::vector<Item> items_;
  std::vector<uint32_t> table_;
  std::vector<Fresh> fresh_;
  std::unordered_map<uint32_t, int32_t> more_fresh_;  // by rule: those beyond the first few
  bool complete_ = false;
  size_t work_ = 0;
};

}  // namespace

bool GrammarPlaces::operator==(const GrammarPlaces& other) const {
  if (hash != other.hash || complete != other.complete || items.size() != other.items.size()) return false;
  StackComparison comparison;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].state != other.items[i].state || !comparison.Same(items[i].stack, other.items[i].stack))
      return false;
  }
  return true;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  const StackPtr root;
  Step step(*grammar_);
  step.Add(grammar_->start(grammar_->root()), root);
  places_ = step.Finish();
  too_ambiguous_ = !places_;
  if (!places_) places_ = std::make_shared<GrammarPlaces>();
}

bool GrammarMatcher::Advance(uint8_t byte) {
  Step step(*grammar_);
  for (const GrammarPlaces::Item& item : places_->items) {
    for (const GrammarEdge& edge : grammar_->edges(item.state)) {
      if (edge.kind == GrammarEdge::kByte && edge.low <= byte && byte <= edge.high)
        step.Add(edge.target, item.stack);
    }
  }
  auto next = step.Finish();
  work_ = step.work() + places_->items.size();
  too_ambiguous_ = !next;
  if (!next || (next->items.empty() && !next->complete)) return false;
  places_ = std::move(next);
  return true;
}

bool GrammarMatcher::Advance(std::string_view bytes) {
  const auto before = places_;
  for (const char byte : bytes) {
    if (Advance(static_cast<uint8_t>(byte))) continue;
    places_ = before;
    return false;
  }
  return true;
}

}  // namespace tern
