// What evaluation reads: documents, LAMBADA's passages, questions with choices. Every error names file and
// line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern::eval {

/// Plain text: one document, or, where `separator` is given, several, cut at the lines that equal it; neither
/// they nor the line breaks before them belong to a document, nor does a line break at the file's end.
/// Documents of white space are passed over, here and in ParseDocuments.
std::vector<std::string> ParseText(std::string_view text, std::string_view separator);

/// Records (text/json_records.h: JSON lines or one JSON array), {"text": "…"} each; other keys are ignored.
Result<std::vector<std::string>> ParseDocuments(std::string_view text, const std::string& path);

/// A passage whose last word is to be guessed.
struct LambadaExample {
  std::string context;  ///< all before the last space
  std::string target;   ///< the last space and the word after it
};
/// Records, {"text": "…"} each, with a space in the text.
Result<std::vector<LambadaExample>> ParseLambada(std::string_view text, const std::string& path);

/// A question: which choice follows its context best? One context and several continuations, or several
/// contexts and one continuation.
struct ChoiceExample {
  std::vector<std::string> contexts;
  std::vector<std::string> continuations;  ///< with what divides them from the context
  std::vector<size_t> answer_bytes;        ///< of each continuation, without what divides it from the context
  size_t gold = 0;                         ///< index of the right choice
};
/// Records, {"query", "choices": […], "gold"} or {"context_options": […], "continuation", "gold"} each.
/// Between a query and a choice stands `delimiter`, between a context option and its continuation a space.
/// White space that would end a context goes to the continuation's start, as vocabularies have it (" word");
/// white space around queries and before choices, and at the end of context options, is dropped.
Result<std::vector<ChoiceExample>> ParseChoices(std::string_view text, const std::string& path,
                                                std::string_view delimiter);

}  // namespace tern::eval
