// A value, or how its absence looks to the client.
#pragma once

#include <utility>
#include <variant>

#include "base/status.h"
#include "serve/http.h"

namespace tern::serve {

/// What Result<T> is to Status, for errors that are answers. `status()` is the error, so that
/// TERN_ASSIGN_OR_RETURN works in functions that return an ApiResult.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : data_(std::in_place_index<1>, std::move(value)) {}         // NOLINT: implicit
  ApiResult(ApiError error) : data_(std::in_place_index<0>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return data_.index() == 1; }
  /// Only when not ok.
  const ApiError& status() const { return std::get<0>(data_); }

  T& operator*() & { return std::get<1>(data_); }
  const T& operator*() const& { return std::get<1>(data_); }
  T&& operator*() && { return std::get<1>(std::move(data_)); }
  T* operator->() { return &std::get<1>(data_); }
  const T* operator->() const { return &std::get<1>(data_); }

 private:
  std::variant<ApiError, T> data_;
};

/// 400 about one field of the request ("" for the whole).
ApiError BadRequest(std::string param, std::string message);
/// An error of the rooms below as an answer: what the client got wrong is 400, what is not there 404, what is
/// full 429, the rest 500. `param` as in BadRequest.
ApiError ToApiError(const Status& status, std::string param = {});
/// The answer to it: with Retry-After where trying again makes sense.
HttpResponse ToResponse(const ApiError& error);

}  // namespace tern::serve
