// The handler that tells what texts mean, as vectors.
#pragma once

#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> EmbeddingRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
