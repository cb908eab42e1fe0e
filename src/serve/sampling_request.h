// How a request wants its tokens chosen, under the names of OpenAI, llama.cpp and vLLM.
#pragma once

#include <nlohmann/json.hpp>

#include "infer/sampler.h"
#include "serve/api_result.h"

namespace tern::serve {

/// `body`: checked against its table, without nulls. The defaults are OpenAI's. 400, naming the field, for
/// what the sampler refuses and for two names of one option with different values.
ApiResult<SamplingOptions> ReadSampling(const nlohmann::ordered_json& body);

}  // namespace tern::serve
