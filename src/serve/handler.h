// What the handlers of all rooms of the interface share.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "infer/engine.h"
#include "serve/api_result.h"
#include "serve/service.h"

namespace tern::serve {

/// Bodies up to this size are read on the connection's own thread.
inline constexpr size_t kLightBody = 16 << 10;

/// A route whose handler has the context.
Route MakeRoute(const std::shared_ptr<ServiceContext>& context, std::string method, std::string pattern,
                Task<void> (*handler)(ServiceContext&, Exchange&), Access access = Access::kKeyed);

/// Sends what a function makes of the request; `aside`: it may take long.
Task<void> Answer(ServiceContext& context, Exchange& exchange, bool aside,
                  std::function<ApiResult<nlohmann::ordered_json>(const HttpRequest&)> make);
Task<void> SendError(Exchange& exchange, const ApiError& error);
Task<void> SendJson(Exchange& exchange, const nlohmann::ordered_json& document);

/// 503: nothing more is begun.
ApiError Stopping();
/// An answer that ended before its time, as an error; nothing where it ended well.
std::optional<ApiError> Failure(const AnswerEnd& end);

}  // namespace tern::serve
