#include "infer/plain_grammars.h"

#include <utility>

#include "infer/grammar_builder.h"
#include "infer/grammar_pattern.h"
#include "text/utf8.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

Status CheckSize(std::string_view what, size_t bytes) {
  if (bytes <= GrammarLimits::kTextBytes) return OkStatus();
  return Exhausted(std::string(what) + " " + std::to_string(bytes) + " bytes, more than " +
                   std::to_string(GrammarLimits::kTextBytes));
}

Result<std::shared_ptr<const Grammar>> BuildPlain(const Expr text, GrammarBuilder* builder) {
  return builder->Build(builder->RuleOf(text, "text", GrammarBuilder::kNoPlace),
                        [](size_t) { return std::string(); });
}

/// Where the pattern's alternatives end: its bars outside of groups and classes, and its end.
std::vector<size_t> AlternativeEnds(std::string_view pattern) {
  std::vector<size_t> ends;
  int depth = 0;
  bool in_class = false;
  for (size_t at = 0; at < pattern.size(); ++at) {
    switch (pattern[at]) {
      case '\\':
        ++at;
        break;
      case '[':
        in_class = true;
        break;
      case ']':
        in_class = false;
        break;
      case '(':
        depth += in_class ? 0 : 1;
        break;
      case ')':
        depth -= in_class ? 0 : 1;
        break;
      case '|':
        if (!in_class && depth == 0) ends.push_back(at);
        break;
      default:
        break;
    }
  }
  ends.push_back(pattern.size());
  return ends;
}

/// Whether an alternative ends in a backslash that escapes what follows.
bool EndsInEscape(std::string_view alternative) {
  size_t escapes = 0;
  while (escapes < alternative.size() && alternative[alternative.size() - 1 - escapes] == '\\') ++escapes;
  return escapes % 2 == 1;
}

/// Whether an alternative ends in `$` that is not escaped.
bool EndsBound(std::string_view alternative) {
  return alternative.ends_with('$') && !EndsInEscape(alternative.substr(0, alternative.size() - 1));
}

/// The pattern with each alternative bound at both ends: `a|b` becomes `^a$|^b$`.
std::string WholePattern(std::string_view pattern) {
  std::string whole;
  size_t begin = 0;
  for (const size_t end : AlternativeEnds(pattern)) {
    const std::string_view alternative = pattern.substr(begin, end - begin);
    if (begin > 0) whole += '|';
    if (!alternative.starts_with('^')) whole += '^';
    whole += alternative;
    // Behind an escape that escapes nothing it would be a character: the pattern stays as it is, and is
    // refused.
    if (!EndsBound(alternative) && !EndsInEscape(alternative)) whole += '$';
    begin = end + 1;
  }
  return whole;
}

}  // namespace

Result<std::shared_ptr<const Grammar>> ChoiceGrammar(std::vector<std::string> texts) {
  if (texts.empty()) return InvalidArgument("there is nothing to choose from");
  size_t bytes = 0;
  for (const std::string& text : texts) {
    if (!IsUtf8(text)) return InvalidArgument("a choice is not valid UTF-8");
    bytes += text.size();
  }
  TERN_RETURN_IF_ERROR(CheckSize("the choices have", bytes));
  GrammarBuilder builder;
  return BuildPlain(builder.OneOf(std::move(texts)), &builder);
}

Result<std::shared_ptr<const Grammar>> RegexGrammar(std::string_view pattern) {
  TERN_RETURN_IF_ERROR(CheckSize("the pattern has", pattern.size()));
  GrammarBuilder builder;
  TERN_ASSIGN_OR_RETURN(const Expr text, PatternExpr(WholePattern(pattern), &builder,
                                                     [&](const CharSet& set) { return builder.Chars(set); }));
  return BuildPlain(text, &builder);
}

}  // namespace tern
