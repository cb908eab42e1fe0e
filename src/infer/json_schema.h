// Grammars of JSON: any object, or what a JSON Schema describes. docs/grammar.md has the table of keywords.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "infer/grammar.h"

namespace tern {

/// Any JSON object, compact but for single spaces.
Result<std::shared_ptr<const Grammar>> JsonObjectGrammar();

/// Texts that are JSON and valid against the schema (drafts 4 to 2020-12). Not all valid texts: described
/// properties come in the schema's order and the others after them, white space is a single space here and
/// there, numbers have a bounded length. Unknown keywords and formats are annotations. What cannot be promised
/// is refused: the error begins with the JSON pointer of the keyword. Up to 4 MiB.
Result<std::shared_ptr<const Grammar>> JsonSchemaGrammar(std::string_view schema);

}  // namespace tern
