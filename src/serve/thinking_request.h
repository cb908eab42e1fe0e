// Whether a request wants the model to think first, under the names of OpenAI and others.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "serve/api_result.h"

namespace tern::serve {

struct ThinkingRequest {
  std::optional<bool> wanted = {};  ///< absent: as the template does
  bool hint = true;                 ///< templates that cannot think do without
};

/// 400, naming the field, for what cannot be honoured and for two fields that disagree. `body`: checked
/// against its table, without nulls.
ApiResult<ThinkingRequest> ReadThinking(const nlohmann::ordered_json& body);

}  // namespace tern::serve
