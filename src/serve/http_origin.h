// What browsers' pages may do with the service: whose requests are refused, and what CORS tells the others.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace tern::serve {

/// "127.0.0.1", "::1", "localhost" and the like.
bool IsLoopback(std::string_view host);

/// Immutable: thread-safe.
class OriginPolicy {
 public:
  explicit OriginPolicy(const HttpOptions& options);

  /// Why the request must not be answered, if so. Where no keys are in use, any page in a browser on this
  /// machine could otherwise use the service: by sending it requests from elsewhere (their Origin tells), or
  /// by having its own name resolve to this machine's address, which makes the browser think that page and
  /// service belong together (their Host tells: DNS rebinding).
  std::optional<ApiError> Refusal(const HttpRequest& request) const;
  /// The fields that let an allowed page read the answer; none for others.
  void AddCors(const HttpRequest& request, Headers* headers) const;
  /// The answer to OPTIONS, for a page that asks what it may do (a preflight) and for anybody else.
  HttpResponse Preflight(const HttpRequest& request, const std::string& allow) const;

 private:
  bool HostAllowed(std::string_view host) const;
  bool OriginAllowed(std::string_view origin) const;

  std::vector<std::string> origins_, hosts_;
  bool any_origin_ = false, any_host_ = false;
  bool keyless_ = false;
  bool beyond_loopback_ = false;
};

}  // namespace tern::serve
