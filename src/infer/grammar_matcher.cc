#include "infer/grammar_matcher.h"

#include <set>
#include <utility>

#include "infer/grammar.h"

namespace tern {
namespace {

using StackPtr = std::shared_ptr<const GrammarStack>;

constexpr uint64_t kRootHash = 0x51ed270b;

/// Compares stacks by structure. Parts that are one object are equal at once; what was found equal is
/// remembered, or stacks that share much would be walked once per way through them. The depth bounds the
/// recursion.
class StackComparison {
 public:
  bool Same(const GrammarStack* a, const GrammarStack* b) {
    if (a == b) return true;
    if (!a || !b || a->hash != b->hash || a->depth != b->depth || a->frames.size() != b->frames.size())
      return false;
    const bool remember = a->frames.size() > 1;
    if (remember && equal_.contains({a, b})) return true;
    for (size_t i = 0; i < a->frames.size(); ++i) {
      const GrammarStack::Frame &x = a->frames[i], &y = b->frames[i];
      if (x.state != y.state || x.count != y.count || !Same(x.stack.get(), y.stack.get())) return false;
    }
    if (remember) equal_.insert({a, b});
    return true;
  }

 private:
  std::set<std::pair<const GrammarStack*, const GrammarStack*>> equal_;
};

/// Stacks that hold each other; those made in a step live at least until its entries are taken.
class SharedStacks {
 public:
  using Stack = const GrammarStack*;
  static Stack Root() { return nullptr; }
  static uint64_t Key(Stack stack) { return reinterpret_cast<uintptr_t>(stack); }
  static uint64_t Order(Stack stack) { return stack ? stack->hash : kRootHash; }
  static bool Same(Stack a, Stack b) { return StackComparison().Same(a, b); }
  static uint32_t Depth(Stack stack) { return stack ? stack->depth : 0; }
  static const std::vector<GrammarStack::Frame>& Frames(Stack stack) { return stack->frames; }
  static Stack Below(const GrammarStack::Frame& frame) { return frame.stack.get(); }
  static StackPtr Share(Stack stack) { return stack ? stack->shared_from_this() : nullptr; }

  Stack Make(const std::vector<GrammarEntry<Stack>>& frames, uint32_t depth) {
    auto made = std::make_shared<GrammarStack>();
    made->depth = depth;
    made->hash = depth;
    made->frames.reserve(frames.size());
    for (const auto& frame : frames) {
      made->hash = MixHash(MixHash(MixHash(made->hash, frame.state), frame.count), Order(frame.stack));
      made->frames.push_back({frame.state, frame.count, Share(frame.stack)});
    }
    made_.push_back(std::move(made));
    return made_.back().get();
  }

 private:
  std::vector<StackPtr> made_;
};

using Step = GrammarStep<SharedStacks>;

/// Null when the text may be at more than kMaxItems places.
std::shared_ptr<const GrammarPlaces> PlacesAfter(Step* step) {
  std::vector<Step::Entry> entries;
  if (!step->Finish(GrammarMatcher::kMaxItems, &entries)) return nullptr;
  auto places = std::make_shared<GrammarPlaces>();
  places->complete = step->complete();
  places->hash = places->complete ? 1 : 2;
  places->items.reserve(entries.size());
  for (const Step::Entry& entry : entries) {
    places->hash =
        MixHash(MixHash(MixHash(places->hash, entry.state), entry.count), SharedStacks::Order(entry.stack));
    places->items.push_back({entry.state, entry.count, SharedStacks::Share(entry.stack)});
  }
  return places;
}

}  // namespace

bool GrammarPlaces::operator==(const GrammarPlaces& other) const {
  if (hash != other.hash || complete != other.complete || items.size() != other.items.size()) return false;
  StackComparison comparison;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item &a = items[i], &b = other.items[i];
    if (a.state != b.state || a.count != b.count || !comparison.Same(a.stack.get(), b.stack.get()))
      return false;
  }
  return true;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  SharedStacks stacks;
  Step step(*grammar_, &stacks);
  step.Begin();
  step.Add(grammar_->start(grammar_->root()), 0, SharedStacks::Root());
  places_ = PlacesAfter(&step);
  too_ambiguous_ = !places_;
  if (!places_) places_ = std::make_shared<GrammarPlaces>();
}

bool GrammarMatcher::Advance(uint8_t byte) {
  SharedStacks stacks;
  Step step(*grammar_, &stacks);
  step.Begin();
  for (const GrammarPlaces::Item& item : places_->items) {
    for (const GrammarEdge& edge : grammar_->edges(item.state)) {
      if (edge.kind == GrammarEdge::kByte && edge.low <= byte && byte <= edge.high)
        step.Add(edge.target, item.count, item.stack.get());
    }
  }
  auto next = PlacesAfter(&step);
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
