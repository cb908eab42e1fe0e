// /openapi.json: the interface described, from the tables that check the requests.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "serve/service.h"

namespace tern::serve {

/// An OpenAPI 3.1 document.
/// `max_choices`: the most answers that a request may ask for.
nlohmann::ordered_json OpenApiDocument(const std::string& version, int max_choices);

Route OpenApiRoute(const std::shared_ptr<ServiceContext>& context);

}  // namespace tern::serve
