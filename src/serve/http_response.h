// The head of an answer as bytes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace tern::serve {

/// How the body's end is told to the client.
enum class BodyEnd {
  kLength,   ///< Content-Length
  kChunked,  ///< the last chunk
  kClose,    ///< the end of the connection (HTTP/1.0)
  kNone,     ///< there is no body and nothing to say of it (204, 304)
};

struct ResponseHead {
  int status = 200;
  std::string_view content_type = {};  ///< not written when empty
  BodyEnd end = BodyEnd::kLength;
  size_t length = 0;  ///< for kLength
  bool keep_alive = true;
  std::string_view request_id = {};
};

/// Status line, the server's own fields, then `fields` (those of a handler and of CORS); what could break out
/// of a field's line is replaced by spaces. Where `fields` has Cache-Control or Content-Security-Policy, the
/// server's are left out.
std::string FormatHead(const ResponseHead& head, const Headers& fields);

/// "Not Found".
std::string_view ReasonOf(int status);

/// "2026-11-21T14:03:09.123Z".
std::string FormatTime(std::chrono::system_clock::time_point time);

}  // namespace tern::serve
