// One byte further in a grammar: the algorithm, whatever the stacks are made of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "infer/grammar.h"

namespace tern {

inline uint64_t MixHash(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

/// A state to go on from, the count of its rule, and the stack: `Entry` is what a configuration and a stack's
/// frames are sets of.
template <typename Stack>
struct GrammarEntry {
  uint32_t state;
  uint32_t count;
  Stack stack;
};

/// Sorts entries and drops those that others include. Afterwards equal sets are equal lists.
template <typename Stacks, typename Entry>
void CanonicaliseEntries(const Stacks& stacks, const Grammar& grammar, std::vector<Entry>* entries) {
  if (entries->size() < 2) return;
  std::sort(entries->begin(), entries->end(), [&](const Entry& a, const Entry& b) {
    if (a.state != b.state) return a.state < b.state;
    const uint64_t order_a = stacks.Order(a.stack), order_b = stacks.Order(b.stack);
    return order_a != order_b ? order_a < order_b : a.count < b.count;
  });
  const auto included = [&](const Entry& by, const Entry& entry) {
    return by.state == entry.state && grammar.counter(by.state).Includes(by.count, entry.count) &&
           stacks.Same(by.stack, entry.stack);
  };
  entries->erase(std::unique(entries->begin(), entries->end(), included), entries->end());
}

/// One step: the entries after a byte, found in two rounds. First every entry that the edges lead to, where a
/// rule that is called gets one new stack for all its callers; then the stacks, callers' before their
/// callees', and what is too deep falls away. (There is an order, since no rule calls itself before it has
/// read a byte.) It can be used again and keeps its memory.
///
/// `Stacks` has a copyable `Stack` with Root(), its Key (equal keys: one stack), Order and Same (by
/// structure), Depth, Frames (entries), and Make, which turns canonical frames into a stack.
template <typename Stacks>
class GrammarStep {
 public:
  using Stack = typename Stacks::Stack;
  using Entry = GrammarEntry<Stack>;

  GrammarStep(const Grammar& grammar, Stacks* stacks) : grammar_(grammar), stacks_(*stacks) {}

  void Begin() {
    items_.clear();
    hashed_ = false;
    fresh_count_ = 0;
    more_fresh_.clear();
    complete_ = false;
    work_ = 0;
  }
  void Add(uint32_t state, uint32_t count, Stack stack) { AddItem({state, count, kOld, stack}); }

  /// Canonical entries, each of which reads bytes. False when there are more than `most` on the way.
  bool Finish(size_t most, std::vector<Entry>* entries) {
    most_ = most;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_.size() > most) return false;
      Follow(items_[i]);  // a copy is passed: the list grows
    }
    FinishStacks();
    entries->clear();
    for (const Item& item : items_) Keep(item, entries);
    CanonicaliseEntries(stacks_, grammar_, entries);
    return true;
  }
  /// Whether the text may end here.
  bool complete() const { return complete_; }
  size_t work() const { return work_; }

 private:
  static constexpr int32_t kOld = -1;
  static constexpr uint32_t kFree = UINT32_MAX;
  struct Item {
    uint32_t state;
    uint32_t count;
    int32_t fresh;  ///< index of a stack of this step, or kOld
    Stack old;      ///< with kOld: the stack
  };
  /// A rule called in this step, with the callers' items to go on from.
  struct Fresh {
    uint32_t rule = 0;
    std::vector<Item> frames = {};
    Stack stack = {};
    enum : uint8_t { kNew, kBegun, kTooDeep, kMade } progress = kNew;
  };

  void AddItem(const Item& item) {
    ++work_;
    if (items_.size() > most_ || !IsNew(item)) return;
    items_.push_back(item);
  }

  /// Of the counts that are enough only the least matters: they share an entry of the table.
  uint32_t CountKey(const Item& item) const {
    return grammar_.counter(item.state).may_leave(item.count) ? kFree : item.count;
  }
  bool SameKey(const Item& a, const Item& b) const {
    return a.state == b.state && a.fresh == b.fresh && CountKey(a) == CountKey(b) &&
           (a.fresh != kOld || stacks_.Key(a.old) == stacks_.Key(b.old));
  }

  /// One by one while they are few, then by open addressing over the items' indices.
  bool IsNew(const Item& item) {
    constexpr size_t kFew = 12;
    if (items_.size() < kFew) {
      for (Item& other : items_) {
        if (SameKey(other, item) && other.count <= item.count) return false;
      }
      return true;
    }
    if (!hashed_ || 2 * items_.size() >= table_.size()) Rehash();
    uint32_t& at = table_[Find(item)];
    if (at != kFree && items_[at].count <= item.count) return false;
    at = static_cast<uint32_t>(items_.size());
    return true;
  }
  size_t Find(const Item& item) const {
    uint64_t hash = MixHash(item.state, static_cast<uint64_t>(item.fresh));
    hash = MixHash(hash, CountKey(item));
    if (item.fresh == kOld) hash = MixHash(hash, stacks_.Key(item.old));
    for (size_t at = hash & (table_.size() - 1);; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at] == kFree || SameKey(items_[table_[at]], item)) return at;
    }
  }
  void Rehash() {
    size_t size = 64;
    while (size <= 4 * items_.size()) size *= 2;
    table_.assign(size, kFree);
    hashed_ = true;
    for (size_t i = 0; i < items_.size(); ++i) {
      uint32_t& at = table_[Find(items_[i])];
      if (at == kFree || items_[at].count > items_[i].count) at = static_cast<uint32_t>(i);
    }
  }

  /// Everything that an item leads to without a byte.
  void Follow(const Item item) {
    for (const GrammarEdge& edge : grammar_.edges(item.state)) {
      ++work_;
      switch (edge.kind) {
        case GrammarEdge::kByte:
          break;
        case GrammarEdge::kEmpty:
          AddItem({edge.target, item.count, item.fresh, item.old});
          break;
        case GrammarEdge::kCall:
          Call(edge, item);
          break;
        case GrammarEdge::kAgain: {
          const GrammarCounter& counter = grammar_.counter(item.state);
          if (counter.may_go_on(item.count))
            AddItem({edge.target, counter.Next(item.count), item.fresh, item.old});
          break;
        }
        case GrammarEdge::kLeave:
          if (grammar_.counter(item.state).may_leave(item.count))
            AddItem({edge.target, 0, item.fresh, item.old});
          break;
      }
    }
    // A rule that has read nothing does not return: its caller has gone on without it (nullable).
    if (!grammar_.is_final(item.state) || item.fresh != kOld) return;
    if (item.old == stacks_.Root()) {
      complete_ = true;
      return;
    }
    for (const auto& frame : stacks_.Frames(item.old))
      AddItem({frame.state, frame.count, kOld, stacks_.Below(frame)});
  }

  void Call(const GrammarEdge& edge, const Item& caller) {
    const int32_t fresh = FreshOf(edge.rule);
    auto& frames = fresh_[static_cast<size_t>(fresh)].frames;
    frames.push_back({edge.target, caller.count, caller.fresh, caller.old});
    if (frames.size() == 1) AddItem({grammar_.start(edge.rule), 0, fresh, stacks_.Root()});
    if (grammar_.nullable(edge.rule)) AddItem({edge.target, caller.count, caller.fresh, caller.old});
  }

  int32_t FreshOf(uint32_t rule) {
    constexpr size_t kFew = 16;  // fewer are found quicker one by one
    for (size_t i = 0; i < std::min(fresh_count_, kFew); ++i) {
      if (fresh_[i].rule == rule) return static_cast<int32_t>(i);
    }
    const auto next = static_cast<int32_t>(fresh_count_);
    if (fresh_count_ >= kFew) {
      const auto [it, added] = more_fresh_.try_emplace(rule, next);
      if (!added) return it->second;
    }
    if (fresh_.size() == fresh_count_) fresh_.emplace_back();
    Fresh& fresh = fresh_[fresh_count_++];
    fresh.rule = rule;
    fresh.frames.clear();
    fresh.progress = Fresh::kNew;
    return next;
  }

  /// In depth, without recursion: a stack is made when all its callers' are.
  void FinishStacks() {
    for (size_t i = 0; i < fresh_count_; ++i) {
      path_.assign(1, {i, 0});
      while (!path_.empty()) {
        auto& [index, next] = path_.back();
        Fresh& fresh = fresh_[index];
        if (fresh.progress > Fresh::kBegun) {
          path_.pop_back();
          continue;
        }
        fresh.progress = Fresh::kBegun;
        while (next < fresh.frames.size() && !IsWaitingFor(fresh.frames[next])) ++next;
        if (next < fresh.frames.size()) {
          path_.push_back({static_cast<size_t>(fresh.frames[next].fresh), 0});
        } else {
          MakeStack(&fresh);
        }
      }
    }
  }
  bool IsWaitingFor(const Item& frame) const {
    return frame.fresh != kOld && fresh_[static_cast<size_t>(frame.fresh)].progress <= Fresh::kBegun;
  }

  /// False when all of the stack was too deep.
  bool StackOf(const Item& item, Stack* stack) const {
    if (item.fresh == kOld) {
      *stack = item.old;
      return true;
    }
    const Fresh& fresh = fresh_[static_cast<size_t>(item.fresh)];
    *stack = fresh.stack;
    return fresh.progress == Fresh::kMade;
  }

  void MakeStack(Fresh* fresh) {
    frames_.clear();
    uint32_t deepest = 0;
    const uint32_t need = grammar_.need(grammar_.start(fresh->rule));
    for (const Item& frame : fresh->frames) {
      ++work_;
      Stack below;
      if (!StackOf(frame, &below)) continue;
      const uint32_t depth = stacks_.Depth(below);
      const uint32_t inside = depth + 1 + need;
      if (std::max(inside, depth + grammar_.need(frame.state)) > GrammarLimits::kStackDepth) continue;
      deepest = std::max(deepest, depth + 1);
      frames_.push_back({frame.state, frame.count, below});
    }
    fresh->progress = frames_.empty() ? Fresh::kTooDeep : Fresh::kMade;
    if (frames_.empty()) return;
    CanonicaliseEntries(stacks_, grammar_, &frames_);
    fresh->stack = stacks_.Make(frames_, deepest);
  }

  void Keep(const Item& item, std::vector<Entry>* entries) {
    if (!grammar_.reads(item.state)) return;
    Stack stack;
    if (!StackOf(item, &stack)) return;
    if (stacks_.Depth(stack) + grammar_.need(item.state) > GrammarLimits::kStackDepth) return;
    entries->push_back({item.state, item.count, stack});
  }

  const Grammar& grammar_;
  Stacks& stacks_;
  size_t most_ = SIZE_MAX;
  std::vector<Item> items_;
  std::vector<uint32_t> table_;
  bool hashed_ = false;       // whether the table is in use
  std::vector<Fresh> fresh_;  // those up to fresh_count_ are of this step; the others wait for reuse
  size_t fresh_count_ = 0;
  std::unordered_map<uint32_t, int32_t> more_fresh_;  // by rule: those beyond the first few
  std::vector<std::pair<size_t, size_t>> path_;
  std::vector<Entry> frames_;
  bool complete_ = false;
  size_t work_ = 0;
};

}  // namespace tern
