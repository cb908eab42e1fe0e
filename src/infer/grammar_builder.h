// Builds a grammar from expressions: what the readers of grammar texts, patterns and JSON Schemas have in
// common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/status.h"
#include "infer/byte_automaton.h"
#include "infer/grammar.h"
#include "infer/grammar_chars.h"

namespace tern {

/// Expressions are numbers that live as long as the builder and may be used any number of times. Not
/// thread-safe.
class GrammarBuilder {
 public:
  using Expr = uint32_t;
  using Rule = uint32_t;
  static constexpr int32_t kUnbounded = -1;
  static constexpr size_t kNoPlace =
      SIZE_MAX;  ///< places are numbers that mean something to the reader alone

  Expr Empty() { return Sequence({}); }
  /// These bytes. Only whole UTF-8 together with what surrounds them, or the texts will not be UTF-8.
  Expr Text(std::string_view bytes);
  /// Any of these texts, at least one: as a tree of their common beginnings, since in a Choice each of a
  /// thousand texts that begin alike is a place of its own (GrammarMatcher::kMaxItems).
  Expr OneOf(std::vector<std::string> texts);
  /// One character. The set must not be empty.
  Expr Chars(const CharSet& set);
  Expr Sequence(std::vector<Expr> parts);
  /// At least one alternative; those of equal texts do no harm.
  Expr Choice(std::vector<Expr> alternatives);
  /// 0 ≤ min ≤ max, or max = kUnbounded; neither above GrammarLimits::kRepeats. With a place, an unbounded
  /// repetition of what can be empty is an error of Build.
  Expr Repeat(Expr part, int32_t min, int32_t max, size_t place = kNoPlace);
  Expr Optional(Expr part) { return Choice({part, Empty()}); }
  Expr Call(Rule rule);
  /// The bytes that an automaton accepts: a call of one rule, however often it is used.
  Expr Automaton(const std::shared_ptr<const ByteAutomaton>& automaton);

  /// A rule to be defined later, once. `name` and `place` are for errors.
  Rule NewRule(std::string name, size_t place);
  void Define(Rule rule, Expr body) { rules_[rule].body = body; }
  void SetPlace(Rule rule, size_t place) { rules_[rule].place = place; }
  /// A rule for an expression that is used often: Call it instead.
  Rule RuleOf(Expr body, std::string name, size_t place);

  /// Every rule must be defined. InvalidArgument for left recursion, a rule that cannot end and an empty
  /// loop; kExhausted beyond GrammarLimits. `describe` puts a place into words for the error.
  Result<std::shared_ptr<const Grammar>> Build(Rule root,
                                               FunctionRef<std::string(size_t place)> describe) const;

  enum class Kind : uint8_t { kText, kChars, kSequence, kChoice, kRepeat, kCall, kAutomaton };
  struct Node {
    Kind kind;
    std::string text = {};                                ///< kText: the bytes
    std::vector<Utf8Sequence> sequences = {};             ///< kChars
    std::vector<Expr> parts = {};                         ///< kSequence, kChoice, kRepeat (one)
    int32_t min = 0, max = 0;                             ///< kRepeat
    size_t place = kNoPlace;                              ///< kRepeat
    Rule rule = 0;                                        ///< kCall
    std::shared_ptr<const ByteAutomaton> automaton = {};  ///< kAutomaton, which is the whole body of a rule
  };
  struct RuleInfo {
    std::string name;
    size_t place = kNoPlace;
    Expr body = 0;
  };
  const Node& node(Expr expr) const { return nodes_[expr]; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<RuleInfo>& rules() const { return rules_; }

 private:
  Expr Add(Node node);
  Expr OneOfSorted(std::span<const std::string> texts, size_t from);
  std::vector<Node> nodes_;
  std::vector<RuleInfo> rules_;
  std::map<const ByteAutomaton*, Rule> automata_;
};

}  // namespace tern
