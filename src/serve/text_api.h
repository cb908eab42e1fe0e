// The handlers of texts: chat, completions; tokenize, detokenize.
#pragma once

#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> TextRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
