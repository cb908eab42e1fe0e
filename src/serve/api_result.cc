#include "serve/api_result.h"

namespace tern::serve {

ApiError BadRequest(std::string param, std::string message) {
  return {.status = 400,
          .message = std::move(message),
          .type = "invalid_request_error",
          .param = std::move(param),
          .code = {}};
}

ApiError ToApiError(const Status& status, std::string param) {
  ApiError error = BadRequest(std::move(param), status.message());
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      break;
    case StatusCode::kNotFound:
      error.status = 404;
      error.code = "not_found";
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
      error.status = 500;
      error.type = "server_error";
      break;
  }
  return error;
}

HttpResponse ToResponse(const ApiError& error) {
  HttpResponse response = ErrorResponse(error);
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace tern::serve
