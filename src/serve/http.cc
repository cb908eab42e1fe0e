#include "serve/http.h"

#include <nlohmann/json.hpp>

namespace tern::serve {
namespace {

std::string_view FirstOf(const std::vector<std::pair<std::string, std::string>>& fields,
                         std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

nlohmann::ordered_json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

}  // namespace

std::string_view HttpRequest::Header(std::string_view name) const { return FirstOf(headers, name); }
std::string_view HttpRequest::Query(std::string_view name) const { return FirstOf(query, name); }

HttpResponse ErrorResponse(const ApiError& error) {
  const nlohmann::ordered_json json = {{"error",
                                        {{"message", error.message},
                                         {"type", error.type},
                                         {"param", OrNull(error.param)},
                                         {"code", OrNull(error.code)}}}};
  return {.status = error.status,
          .body = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

}  // namespace tern::serve
