// Errors that are answers.
#pragma once

#include <string>

#include "base/status.h"
#include "serve/http.h"

namespace tern::serve {

/// A value, or how its absence looks to the client.
template <typename T>
using ApiResult = Result<T, ApiError>;

/// 400 about one field of the request ("" for the whole).
ApiError BadRequest(std::string param, std::string message);
/// 403 for who is no admin (HttpRequest::admin).
ApiError AdminNeeded(std::string param = {});
/// 500 for what is the server's fault: the log gets the status, whose words may name files, and the client
/// gets none of them.
ApiError ServerFault(const Status& status);
/// An error of the rooms below as an answer: what the client got wrong is 400, what is full 429 or 507, the
/// rest the server's fault. Also what is not there (a file, say): 404 is for those who looked up what the
/// client named. `param` as in BadRequest.
ApiError ToApiError(const Status& status, std::string param = {});
/// What the store of kept states failed with: 507 where there is no room, else the server's fault. The log
/// gets the status, whose words may name files, and the client gets none of them.
ApiError StoreFault(const Status& status, std::string param = {});
/// The answer to it: with Retry-After where trying again makes sense.
HttpResponse ToResponse(const ApiError& error);

}  // namespace tern::serve
