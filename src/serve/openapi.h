// /openapi.json: the interface described, from the tables that check the requests.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "serve/service.h"

namespace tern::serve {

/// An OpenAPI 3.1 document.
nlohmann::ordered_json OpenApiDocument(const std::string& version);

Route OpenApiRoute(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
