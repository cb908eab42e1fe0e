#include "serve/event_stream.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>

namespace tern::serve {

std::string FormatEvent(std::string_view data) {
  std::string event;
  event.reserve(data.size() + 16);
  for (;;) {
    const size_t end = std::min(data.find_first_of("\r\n"), data.size());
    event += "data: ";
    event += data.substr(0, end);
    event += '\n';
    if (end == data.size()) break;
    data.remove_prefix(end + (data.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return event += '\n';
}

Task<Status> EventStream::Begin() {
  HttpResponse head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.headers.emplace_back("Cache-Control", "no-cache, no-transform");
  head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx would collect the pieces
  co_return co_await exchange_.Begin(std::move(head));
}

Task<Status> EventStream::Send(std::string_view data) {
  const std::string event = FormatEvent(data);
  co_return co_await exchange_.Write(event);
}

Task<Status> EventStream::Fail(const ApiError& error) {
  const std::string event = FormatEvent(ErrorResponse(error).body);
  co_return co_await exchange_.Write(event);
}

Task<Status> EventStream::Done() {
  const Status status = co_await Send("[DONE]");
  if (!status.ok()) co_return status;
  co_return co_await exchange_.End();
}

}  // namespace tern::serve
