// Messages for the person at the terminal, on standard error. Libraries log sparingly: errors are returned.
#pragma once

#include <utility>

#include <spdlog/spdlog.h>

namespace tern {

template <typename... Args>
void LogInfo(spdlog::format_string_t<Args...> format, Args&&... args) {
  spdlog::info(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogWarning(spdlog::format_string_t<Args...> format, Args&&... args) {
  spdlog::warn(format, std::forward<Args>(args)...);
}

/// Short lines on standard error ("warning: …"), no time stamps. Called once by programs; libraries leave it alone.
void InitLogging(bool quiet);

}  // namespace tern
