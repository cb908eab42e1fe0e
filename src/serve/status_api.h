// The handlers about the service itself: health, status for the page, metrics for Prometheus.
#pragma once

#include <memory>
#include <vector>

#include "serve/service.h"

namespace tern::serve {

std::vector<Route> StatusRoutes(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
