// Deterministic finite automata over Unicode characters, and what is computed with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/status.h"
#include "infer/grammar_chars.h"
#include "infer/regular_language.h"

namespace tern {

/// A partition of all characters: those of one class are never told apart.
class CharClasses {
 public:
  /// One class of all characters.
  CharClasses() : starts_{0}, class_of_{0}, count_(1) {}
  /// The coarsest partition in which each of the sets is a union of classes.
  static CharClasses OfSets(std::span<const CharSet> sets);
  /// The coarsest partition that refines both; by its classes, the class of each.
  static CharClasses Common(const CharClasses& a, const CharClasses& b, std::vector<uint32_t>* class_in_a,
                            std::vector<uint32_t>* class_in_b);
  /// Joins classes: `joined` maps each onto one of fewer, numbered from 0 in the order of their first
  /// characters.
  CharClasses Join(std::span<const uint32_t> joined, size_t count) const;

  size_t count() const { return count_; }
  uint32_t ClassOf(int32_t character) const;
  /// Any character of each class; the first.
  std::vector<int32_t> FirstOfEach() const;
  CharSet SetOf(uint32_t char_class) const;
  /// The classes that a set, which is a union of classes, consists of.
  std::vector<uint32_t> ClassesOf(const CharSet& set) const;

  /// Ascending; from starts()[i] to the next one less one all characters are of class_of()[i].
  const std::vector<int32_t>& starts() const { return starts_; }
  const std::vector<uint32_t>& class_of() const { return class_of_; }
  bool operator==(const CharClasses&) const = default;

 private:
  /// By key of each interval between starts: equal keys are one class. Surrogates never matter.
  template <typename Key>
  static CharClasses OfKeys(const std::vector<int32_t>& starts, const std::vector<Key>& keys);

  std::vector<int32_t> starts_;
  std::vector<uint32_t> class_of_;
  size_t count_;
};

/// State 0 is the start. A missing transition leads nowhere: the text is not accepted, whatever follows.
struct RegularAutomaton {
  static constexpr uint32_t kNowhere = UINT32_MAX;

  CharClasses classes;
  std::vector<uint32_t> next;  ///< by state and class
  std::vector<bool> accepts;   ///< by state

  size_t states() const { return accepts.size(); }
  uint32_t Next(uint32_t state, uint32_t char_class) const {
    return next[state * classes.count() + char_class];
  }
  bool operator==(const RegularAutomaton&) const = default;
};
inline constexpr uint32_t kNowhere = RegularAutomaton::kNowhere;

/// The minimal automaton of the same texts, in a form that is the same for equal languages: no state that
/// cannot be reached or cannot accept, states in the order of a breadth-first walk. Without states: there is
/// no text.
Result<RegularAutomaton> Minimised(RegularAutomaton automaton, RegularBudget* budget);

/// Accepts what `accepts` says of whether each of the two does. Minimal.
Result<RegularAutomaton> Combined(const RegularAutomaton& a, const RegularAutomaton& b,
                                  FunctionRef<bool(bool in_a, bool in_b)> accepts, RegularBudget* budget);
/// A text of `a`, then one of `b`. Minimal.
Result<RegularAutomaton> Concatenated(const RegularAutomaton& a, const RegularAutomaton& b,
                                      RegularBudget* budget);
/// The texts whose length is within bounds. Minimal. The automaton must be.
Result<RegularAutomaton> Bounded(const RegularAutomaton& automaton, TextLength length, RegularBudget* budget);

/// By state: the least and the greatest number of characters that lead to acceptance from it (kUnlimited when
/// there is no greatest). The automaton must be minimal.
std::vector<TextLength> RemainingLengths(const RegularAutomaton& automaton);
/// Whether it accepts a text whose length is within bounds. The automaton must be minimal.
Result<bool> AcceptsLength(const RegularAutomaton& automaton, TextLength length, RegularBudget* budget);

}  // namespace tern
