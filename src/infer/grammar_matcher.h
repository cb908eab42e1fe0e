// How far a text has come in a grammar: which bytes may follow, and whether it may end here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/grammar.h"
#include "infer/grammar_step.h"

namespace tern {

/// Where a rule's text goes on when it has ended: one of several ways where the grammar is ambiguous.
/// Immutable; stacks share what is below.
struct GrammarStack : std::enable_shared_from_this<GrammarStack> {
  using Frame = GrammarEntry<std::shared_ptr<const GrammarStack>>;  ///< stack: null in the root rule
  std::vector<Frame> frames;                                        ///< never empty; canonical
  uint32_t depth = 1;                                               ///< of the deepest way
  uint64_t hash = 0;                                                ///< of all of it
};

/// All the places in a grammar that a text may have come to. Immutable.
struct GrammarPlaces {
  using Item = GrammarStack::Frame;
  std::vector<Item> items;  ///< states with bytes to read; canonical
  bool complete = false;    ///< the text so far is one of the grammar's
  uint64_t hash = 0;

  /// Whether the same bytes may follow, by structure: wherever in their texts the two stand.
  bool operator==(const GrammarPlaces& other) const;
};

/// A place in a text. A value: copying it is two pointers, so keep a copy to roll back, hand one on to fork.
///
/// A byte is accepted only if some text of the grammar goes on so: what was accepted can always be completed,
/// also within GrammarLimits::kStackDepth (a rule that would need more is not entered). Ambiguous places are
/// held together, those begun at the same byte as one, so that their number grows with the text's nesting and
/// not with the number of ways to read it; a byte that would lead to more than kMaxItems is refused. Not
/// thread-safe; copies are independent.
class GrammarMatcher {
 public:
  static constexpr size_t kMaxItems = 8192;

  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);

  /// Reads a byte; false, changing nothing, when it may not follow.
  bool Advance(uint8_t byte);
  /// Reads all of them, or nothing and false.
  bool Advance(std::string_view bytes);
  /// Whether the text may end here.
  bool complete() const { return places_->complete; }
  /// Whether it must: no byte may follow.
  bool exhausted() const { return places_->items.empty(); }
  /// Whether the last byte was refused because it would have led to more than kMaxItems places; before any
  /// byte: whether the beginning is that ambiguous, so that none may follow.
  bool too_ambiguous() const { return too_ambiguous_; }

  const Grammar& grammar() const { return *grammar_; }
  const GrammarPlaces& places() const { return *places_; }
  /// How much the last Advance of a byte looked at: for those who must bound their work.
  size_t work() const { return work_; }

 private:
  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const GrammarPlaces> places_;
  size_t work_ = 0;
  bool too_ambiguous_ = false;
};

}  // namespace tern
