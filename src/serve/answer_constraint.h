// What a request says its answer must be: JSON, a schema, a grammar, one of several texts, a regular
// expression.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "serve/api_result.h"

namespace tern::serve {

/// What an answer must be: its kind and the text that says so.
struct ConstraintText {
  enum class Kind { kNone, kJsonObject, kJsonSchema, kGrammar, kChoice, kRegex } kind = Kind::kNone;
  std::string text = {};   ///< of the schema, the grammar or the expression; of choices: their JSON array
  std::string param = {};  ///< the field it came from, for errors
};

/// Reads every field that can say what the answer must be, under the names that OpenAI, vLLM, llama.cpp,
/// SGLang, Fireworks, Together, TGI and Ollama have for them. kNone where none does. 400, naming the field,
/// for what cannot be honoured and for two at once. `body`: checked against its table, without nulls.
ApiResult<ConstraintText> ReadConstraint(const nlohmann::ordered_json& body);

}  // namespace tern::serve
