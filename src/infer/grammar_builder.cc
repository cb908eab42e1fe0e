#include "infer/grammar_builder.h"

#include <algorithm>
#include <utility>

#include "infer/grammar_compiler.h"

namespace tern {

GrammarBuilder::Expr GrammarBuilder::Add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size() - 1);
}

GrammarBuilder::Expr GrammarBuilder::Text(std::string_view bytes) {
  return Add({.kind = Kind::kText, .text = std::string(bytes)});
}

GrammarBuilder::Expr GrammarBuilder::OneOf(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return OneOfSorted(texts, 0);
}

/// What follows `from` bytes that all have in common.
GrammarBuilder::Expr GrammarBuilder::OneOfSorted(std::span<const std::string> texts, size_t from) {
  const std::string &first = texts.front(), &last = texts.back();
  if (texts.size() == 1) return Text(first.substr(from));
  size_t to = from;  // what the first and the last have in common, those between them have as well
  while (to < first.size() && first[to] == last[to]) ++to;
  std::vector<Expr> ways;
  for (size_t begin = 0, end = 0; begin < texts.size(); begin = end) {
    end = begin + 1;
    if (texts[begin].size() == to) {
      ways.push_back(Empty());
      continue;
    }
    while (end < texts.size() && texts[end][to] == texts[begin][to]) ++end;
    ways.push_back(OneOfSorted(texts.subspan(begin, end - begin), to));
  }
  const Expr rest = Choice(std::move(ways));
  return to == from ? rest : Sequence({Text(first.substr(from, to - from)), rest});
}

GrammarBuilder::Expr GrammarBuilder::Chars(const CharSet& set) {
  return Add({.kind = Kind::kChars, .sequences = Utf8Sequences(set)});
}

GrammarBuilder::Expr GrammarBuilder::Sequence(std::vector<Expr> parts) {
  if (parts.size() == 1) return parts.front();
  return Add({.kind = Kind::kSequence, .parts = std::move(parts)});
}

GrammarBuilder::Expr GrammarBuilder::Choice(std::vector<Expr> alternatives) {
  if (alternatives.size() == 1) return alternatives.front();
  return Add({.kind = Kind::kChoice, .parts = std::move(alternatives)});
}

GrammarBuilder::Expr GrammarBuilder::Repeat(Expr part, int32_t min, int32_t max, size_t place) {
  return Add({.kind = Kind::kRepeat, .parts = {part}, .min = min, .max = max, .place = place});
}

GrammarBuilder::Expr GrammarBuilder::Call(Rule rule) { return Add({.kind = Kind::kCall, .rule = rule}); }

GrammarBuilder::Expr GrammarBuilder::Automaton(const std::shared_ptr<const ByteAutomaton>& automaton) {
  const auto [it, added] = automata_.try_emplace(automaton.get(), 0);
  if (added)
    it->second = RuleOf(Add({.kind = Kind::kAutomaton, .automaton = automaton}), "(a pattern)", kNoPlace);
  return Call(it->second);
}

GrammarBuilder::Rule GrammarBuilder::NewRule(std::string name, size_t place) {
  rules_.push_back({std::move(name), place, 0});
  return static_cast<Rule>(rules_.size() - 1);
}

GrammarBuilder::Rule GrammarBuilder::RuleOf(Expr body, std::string name, size_t place) {
  const Rule rule = NewRule(std::move(name), place);
  Define(rule, body);
  return rule;
}

Result<std::shared_ptr<const Grammar>> GrammarBuilder::Build(
    Rule root, FunctionRef<std::string(size_t)> describe) const {
  return GrammarCompiler(*this, describe).Compile(root);
}

}  // namespace tern
