// The handlers of kept states: list, read and keep, fetch, fork, roll back, delete, download.
#pragma once

#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> StateRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
