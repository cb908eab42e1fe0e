// From expressions to automata: states and edges, then what must be known of each state.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "infer/grammar_builder.h"

namespace tern {

/// Used once. The builder must outlive it.
class GrammarCompiler {
 public:
  GrammarCompiler(const GrammarBuilder& builder, FunctionRef<std::string(size_t)> describe)
      : builder_(builder), describe_(describe) {}
  Result<std::shared_ptr<const Grammar>> Compile(GrammarBuilder::Rule root);

 private:
  using Expr = GrammarBuilder::Expr;
  static constexpr uint32_t kNone = UINT32_MAX;

  // grammar_compiler.cc: the automata
  uint32_t NewState();
  void AddEdge(uint32_t from, GrammarEdge edge);
  void AddEmpty(uint32_t from, uint32_t to) { AddEdge(from, {.kind = GrammarEdge::kEmpty, .target = to}); }
  void CompileRules();
  void CompileExpr(Expr expr, uint32_t from, uint32_t to);
  void CompileAutomaton(const ByteAutomaton& automaton, uint32_t from, uint32_t to);
  std::vector<uint32_t> CompileCounts(const ByteAutomaton& automaton, const std::vector<uint32_t>& states);
  void CompileText(const std::string& text, uint32_t from, uint32_t to);
  void CompileChars(const std::vector<Utf8Sequence>& sequences, uint32_t from, uint32_t to);
  void CompileRepeat(const GrammarBuilder::Node& node, uint32_t from, uint32_t to);
  void CompileCopy(Expr part, bool called, uint32_t from, uint32_t to);
  bool IsSmall(Expr expr) const;
  Expr Inlined(Expr expr) const;
  bool IsFlat(Expr expr, size_t* size) const;
  uint32_t RuleOfRepeated(Expr expr);
  uint32_t RuleOfCounted(Expr part, int32_t min, int32_t max);
  void CompileCounted(const GrammarCounter& counter, Expr part, uint32_t start, uint32_t end);
  void SortEdges();

  // grammar_analysis.cc: what is known of them
  void IndexEdges();
  void FindNullable();
  Status CheckEmptyLoops() const;
  bool IsNullable(Expr expr) const;
  Status CheckLeftRecursion() const;
  std::vector<std::vector<uint32_t>> FirstCalls() const;
  void TurnTailCallsToJumps();
  void FreeNullableCounters();
  void FindNeeds();
  Status CheckNeeds() const;
  void DropDeadEnds();
  void FindTraits();
  /// "line 3, column 7: ", or nothing.
  std::string Where(size_t place) const;
  std::string WhereRule(uint32_t rule) const;
  std::string NameOf(uint32_t rule) const;

  const GrammarBuilder& builder_;
  FunctionRef<std::string(size_t)> describe_;
  std::shared_ptr<Grammar> grammar_;
  std::vector<uint32_t> finals_;  // by rule: the state it ends in
  /// A rule to compile. Those beyond the builder's rules are repeated parts, with or without a count.
  struct Body {
    Expr expr;
    bool counted = false;
    GrammarCounter counter = {};
  };
  std::vector<Body> bodies_;                                        // by rule
  std::map<Expr, uint32_t> repeated_;                               // the rules of repeated parts
  std::map<std::tuple<Expr, int32_t, int32_t>, uint32_t> counted_;  // by part, min and max
  std::vector<uint32_t> from_;  // by edge, until the edges are sorted by it
  uint32_t states_ = 0;
  bool too_large_ = false;

  std::vector<uint32_t> edge_from_;          // by sorted edge
  std::vector<uint32_t> in_begin_, in_;      // by state: the edges that lead to it
  std::vector<uint32_t> call_begin_, call_;  // by rule: the edges that call it
  std::vector<uint32_t> started_;            // by state: the rule that starts there, or kNone
};

}  // namespace tern
