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

ApiError ServerFault(const Status& status) {
  LogWarning("a request failed: {}", status.message());
  return {.status = 500,
          .message = "the server failed to do this; its log says why",
          .type = "server_error",
          .param = {},
          .code = "internal_error"};
}

ApiError ToApiError(const Status& status, std::string param) {
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
    case StatusCode::kExhausted:
      error.status = 507;
      error.type = "server_error";
      error.code = "insufficient_storage";
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
