#include "serve/handler.h"

#include <utility>

#include "serve/openai_answer.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one half of Asio's allocation of coroutines and misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace tern::serve {

using nlohmann::ordered_json;

Route MakeRoute(const std::shared_ptr<ServiceContext>& context, std::string method, std::string pattern,
                Task<void> (*handler)(ServiceContext&, Exchange&), Access access) {
  return {.method = std::move(method),
          .pattern = std::move(pattern),
          .access = access,
          .handler = [context, handler](Exchange& exchange) { return handler(*context, exchange); }};
}

Task<void> Answer(ServiceContext& context, Exchange& exchange, bool aside,
                  std::function<ApiResult<ordered_json>(const HttpRequest&)> make) {
  std::optional<ApiResult<ordered_json>> made;
  std::function<void()> work = [&] { made.emplace(make(exchange.request())); };
  if (aside) {
    co_await context.preparing.Run(exchange.executor(), std::move(work));
  } else {
    work();
  }
  if (!made->ok()) co_return co_await SendError(exchange, made->status());
  co_await SendJson(exchange, **made);
}

Task<void> SendError(Exchange& exchange, const ApiError& error) {
  const Status sent = co_await exchange.Send(ToResponse(error));
  static_cast<void>(sent);  // a client that has gone needs no answer
}

Task<void> SendJson(Exchange& exchange, const ordered_json& document) {
  HttpResponse response;
  response.body = Dump(document);
  const Status sent = co_await exchange.Send(std::move(response));
  static_cast<void>(sent);
}

ApiError Stopping() {
  return {.status = 503,
          .message = "the service is stopping",
          .type = "server_error",
          .param = {},
          .code = "stopping"};
}

std::optional<ApiError> Failure(const AnswerEnd& end) {
  if ((end.status.code() == StatusCode::kUnavailable && !end.refused) ||
      (end.status.ok() && end.reason == StopReason::kCancelled)) {
    return Stopping();
  }
  if (!end.status.ok()) return ToApiError(end.status);
  return std::nullopt;
}

}  // namespace tern::serve
