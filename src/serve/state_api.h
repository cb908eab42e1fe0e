// The handlers of kept states: list, read and keep, fetch, fork, roll back, delete, download.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

/// The largest `limit` of a list of states.
inline constexpr int64_t kMaxStatesInAnswer = 1000;

std::vector<Route> StateRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
