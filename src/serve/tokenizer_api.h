// The tokenizer at the root, in vLLM's shape: /tokenize, /detokenize, /tokenizer_info.
#pragma once

#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> TokenizerRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
