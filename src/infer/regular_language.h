// Sets of texts that finite automata recognise: what patterns, formats, lengths and number ranges become.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/grammar_chars.h"

namespace tern {

struct RegularAutomaton;

/// What the operations on languages may cost together: one for a whole schema. Not thread-safe.
class RegularBudget {
 public:
  explicit RegularBudget(size_t steps = kSteps) : left_(steps) {}
  /// kExhausted once the steps are used up.
  Status Spend(size_t steps);

  static constexpr size_t kSteps = size_t{1} << 25;        ///< of one schema: about a second
  static constexpr size_t kStates = size_t{1} << 15;       ///< of one automaton
  static constexpr size_t kTransitions = size_t{1} << 21;  ///< of one automaton: states times classes

 private:
  size_t left_;
};

/// The characters that a text of a language may have: from min to max.
struct TextLength {
  static constexpr uint32_t kUnlimited = UINT32_MAX;
  uint32_t min = 0;
  uint32_t max = kUnlimited;
  bool operator==(const TextLength&) const = default;
};

/// A set of texts over Unicode scalar values: those that a minimal deterministic automaton accepts and whose
/// length is within bounds. (Lengths stand apart as an automaton would need a state for each character.) A
/// value; copies share the automaton. Operations that would need more than the budget has fail with
/// kExhausted.
class RegularLanguage {
 public:
  /// No text at all.
  RegularLanguage();
  static RegularLanguage None() { return {}; }
  static RegularLanguage All();
  static RegularLanguage OfLength(TextLength length);
  /// Exactly these texts, which must be UTF-8.
  static Result<RegularLanguage> OfTexts(std::span<const std::string> texts, RegularBudget* budget);
  /// The texts in which an ECMAScript expression matches, anywhere unless ^ and $ say otherwise
  /// (regular_parse.h has the details). kUnsupported, with the byte of the pattern, for what is not regular
  /// or not known.
  static Result<RegularLanguage> OfPattern(std::string_view pattern, RegularBudget* budget);

  /// What a minimal automaton accepts.
  static Result<RegularLanguage> OfAutomaton(RegularAutomaton automaton, RegularBudget* budget);

  Result<RegularLanguage> Intersection(const RegularLanguage& other, RegularBudget* budget) const;
  Result<RegularLanguage> Union(const RegularLanguage& other, RegularBudget* budget) const;
  Result<RegularLanguage> Complement(RegularBudget* budget) const;
  /// The texts of this language that `other` does not have.
  Result<RegularLanguage> Difference(const RegularLanguage& other, RegularBudget* budget) const;
  /// A text of this language followed by one of `other`.
  Result<RegularLanguage> Concatenation(const RegularLanguage& other, RegularBudget* budget) const;

  /// Whether there is no text in it. Exact.
  bool empty() const { return !automaton_; }
  /// Whether every text is in it.
  bool all() const;
  /// Where it is all texts of characters of one set whose length is within bounds: the set.
  std::optional<CharSet> OnlySet() const;
  /// Whether this UTF-8 text is in it; false for what is not UTF-8.
  bool Contains(std::string_view text) const;
  Result<bool> Includes(const RegularLanguage& other, RegularBudget* budget) const;
  Result<bool> Intersects(const RegularLanguage& other, RegularBudget* budget) const;
  Result<bool> Equals(const RegularLanguage& other, RegularBudget* budget) const;
  /// All texts, by length and then by code points, if there are no more than `limit`.
  std::optional<std::vector<std::string>> Texts(size_t limit) const;

  /// Null for the empty language.
  const std::shared_ptr<const RegularAutomaton>& automaton() const { return automaton_; }
  const TextLength& length() const { return length_; }

  /// The automaton with the length built into it: minimal.
  Result<RegularAutomaton> WithLength(RegularBudget* budget) const;

 private:
  static Result<RegularLanguage> Make(RegularAutomaton automaton, TextLength length, RegularBudget* budget);

  std::shared_ptr<const RegularAutomaton> automaton_;
  TextLength length_;  // only what the automaton does not already say
};

}  // namespace tern
