// The handlers of models: what there is, loading and unloading.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> ModelRoutes(const std::shared_ptr<ServiceContext>& context);

/// A model in lists, with Tern's own facts under "tern".
nlohmann::ordered_json DescribeModel(const ModelEntry& entry);

}  // namespace tern::serve
