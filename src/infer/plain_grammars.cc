#include "infer/plain_grammars.h"

#include <utility>

#include "infer/grammar_builder.h"
#include "infer/regular_bytes.h"
#include "infer/regular_language.h"
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

/// The pattern between ^ and $. Flags at its beginning stay at the beginning.
std::string WholePattern(std::string_view pattern) {
  std::string_view flags;
  const size_t end = pattern.find(')');
  if (pattern.starts_with("(?") && end != std::string_view::npos) {
    const bool only_letters = pattern.substr(2, end - 2).find_first_not_of("ims") == std::string_view::npos;
    if (only_letters && end > 2) flags = pattern.substr(0, end + 1);
  }
  return std::string(flags) + "^(?:" + std::string(pattern.substr(flags.size())) + ")$";
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
  RegularBudget budget;
  // The pattern alone first: errors then count its own bytes, and "a)(b" stays an error in spite of the group around it.
  TERN_RETURN_IF_ERROR(RegularLanguage::OfPattern(pattern, &budget).status());
  TERN_ASSIGN_OR_RETURN(const RegularLanguage texts, RegularLanguage::OfPattern(WholePattern(pattern), &budget));
  if (texts.empty()) return InvalidArgument("no text matches the pattern");
  TERN_ASSIGN_OR_RETURN(const RegularAutomaton automaton, texts.WithLength(&budget));
  TERN_ASSIGN_OR_RETURN(ByteAutomaton bytes, BytesOf(automaton, TextSpelling::kPlain, &budget));
  GrammarBuilder builder;
  const Expr text = builder.Automaton(std::make_shared<const ByteAutomaton>(std::move(bytes)));
  return BuildPlain(text, &builder);
}

}  // namespace tern
