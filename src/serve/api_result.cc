#include "serve/api_result.h"

#include "base/log.h"

namespace tern::serve {

ApiError BadRequest(std::string param, std::string message) {
  return {.status = 400,
          .message = std::move(message),
          .type = "invalid_request_error",
          .param = std::move(param),
          .code = {}};
}

ApiError AdminNeeded(std::string param) {
  return {
      .status = 403,
      .message =
          "this needs an admin's API key; a service without keys lets only clients of its own machine do it",
      .type = "permission_error",
      .param = std::move(param),
      .code = "admin_key_required"};
}

ApiError ServerFault(const Status& status) {
  LogWarning("a request failed: {}", status.message());
  return {.status = 500,
          .message = "the server failed to do this; its log says why",
          .type = "server_error",
          .param = {},
          .code = "internal_error"};
}

namespace {

ApiError NoSpace(std::string param, std::string message) {
  return {.status = 507,
          .message = std::move(message),
          .type = "server_error",
          .param = std::move(param),
          .code = "insufficient_storage"};
}

}  // namespace

ApiError StoreFault(const Status& status, std::string param) {
  if (status.code() != StatusCode::kExhausted) return ServerFault(status);
  LogWarning("a state was not kept: {}", status.message());
  return NoSpace(std::move(param),
                 "there is no memory or disk left for another kept state: delete some, or start the service "
                 "with more (--state-memory, --states, --state-disk)");
}

ApiError ToApiError(const Status& status, std::string param) {
  if (status.code() == StatusCode::kExhausted) {
    LogWarning("a request failed: {}", status.message());
    return NoSpace(std::move(param), "the service has no memory or disk left for this; its log says which");
  }
  ApiError error = BadRequest(std::move(param), status.message());
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      break;
    case StatusCode::kUnavailable:
      error.status = 429;
      error.type = "rate_limit_error";
      error.code = "rate_limit_exceeded";
      break;
    default:
      return ServerFault(status);
  }
  return error;
}

HttpResponse ToResponse(const ApiError& error) {
  HttpResponse response = ErrorResponse(error);
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace tern::serve
