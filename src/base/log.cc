#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace tern {

void InitLogging(bool quiet) {
  auto logger = spdlog::stderr_color_mt("tern");
  logger->set_pattern("%^%l:%$ %v");
  logger->set_level(quiet ? spdlog::level::err : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace tern
