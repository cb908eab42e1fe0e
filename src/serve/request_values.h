// Values of a body that was checked against its table.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>

#include "serve/api_result.h"

namespace tern::serve {

/// What is wrong, or nothing.
using Checked = std::optional<ApiError>;
inline constexpr std::nullopt_t kFine = std::nullopt;

/// A text; empty where there is none.
inline std::string TextOf(const nlohmann::ordered_json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

/// A number that may be written as 3 or as 3.0.
template <typename T>
T NumberOf(const nlohmann::ordered_json& object, const char* name, T otherwise) {
  const auto found = object.find(name);
  if (found == object.end()) return otherwise;
  if constexpr (std::is_integral_v<T>) {
    // The table has checked the range; casting a double beyond it would be undefined.
    if (found->is_number_float()) return static_cast<T>(found->get<double>());
  }
  return found->get<T>();
}

inline bool FlagOf(const nlohmann::ordered_json& object, const char* name) {
  return object.value(name, false);
}

}  // namespace tern::serve
