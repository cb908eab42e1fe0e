// JSON out of files that nobody vouches for. Private to src/formats.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace tern {

/// Parses `text`, of which objects and arrays may be nested up to `max_depth` deep. kCorrupt on bad syntax,
/// ill-formed UTF-8, deeper nesting and a key used twice in one object (readers would disagree about which
/// one counts).
Result<nlohmann::json> ParseJson(std::string_view text, size_t max_depth);

}  // namespace tern
