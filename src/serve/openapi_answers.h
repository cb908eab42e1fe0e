// The JSON Schemas of the service's answers, for its description.
#pragma once

#include <nlohmann/json.hpp>

namespace tern::serve {

/// By name: ChatAnswer, CompletionAnswer … They refer to each other as #/components/schemas/NAME.
nlohmann::ordered_json AnswerSchemas();

}  // namespace tern::serve
