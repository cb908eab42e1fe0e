// Server-sent events: how an answer comes in pieces.
#pragma once

#include <string>
#include <string_view>

#include "serve/http.h"

namespace tern::serve {

/// One event, of any text: each of its lines gets its own "data: ".
std::string FormatEvent(std::string_view data);

/// An answer made of events. Errors are those of Exchange: kUnavailable when the client has gone.
class EventStream {
 public:
  /// `exchange` outlives it.
  explicit EventStream(Exchange& exchange) : exchange_(exchange) {}

  Task<Status> Begin();
  Task<Status> Send(std::string_view data);
  /// An error in mid-stream, {"error": …} as an event: the status was told long ago.
  Task<Status> Fail(const ApiError& error);
  /// "[DONE]", and the end.
  Task<Status> Done();

 private:
  Exchange& exchange_;
};

}  // namespace tern::serve
