#include "serve/http_origin.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "serve/http_request.h"
#include "serve/http_text.h"

namespace tern::serve {
namespace {

/// "[::1]:8000" → "::1", "Localhost:8000" → "localhost", "localhost." → "localhost".
std::string HostName(std::string_view authority) {
  if (authority.starts_with('[')) return LowerAscii(authority.substr(1, authority.find(']') - 1));
  std::string name = LowerAscii(authority.substr(0, authority.find(':')));
  if (name.ends_with('.')) name.pop_back();
  return name;
}

/// "http://localhost:8000" → "localhost:8000".
std::string_view AuthorityOf(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

/// The name the client called: the one in an absolute address counts, as HTTP says, and else the Host
/// field's.
std::string_view HostOf(const HttpRequest& request) {
  const std::string_view authority = request.Header(kAuthorityField);
  return authority.empty() ? request.Header("host") : authority;
}

bool IsSameOrigin(std::string_view origin, const HttpRequest& request) {
  // The scheme doesn't count: behind a proxy that speaks TLS it differs.
  const std::string_view authority = AuthorityOf(origin);
  return !authority.empty() && LowerAscii(authority) == LowerAscii(HostOf(request));
}

std::optional<boost::asio::ip::address> AsAddress(std::string_view host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string(host), error);
  if (error) return std::nullopt;
  return address;
}

bool Changes(const HttpRequest& request) {
  return request.method != "GET" && request.method != "HEAD" && request.method != "OPTIONS";
}

/// A list of field names as browsers ask for it, and nothing else: it is echoed.
bool IsFieldList(std::string_view text) {
  return !text.empty() && text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == ',' || c == ' ';
  });
}

ApiError Forbidden(std::string message, std::string code) {
  return {.status = 403,
          .message = std::move(message),
          .type = "permission_error",
          .param = {},
          .code = std::move(code)};
}

}  // namespace

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  const auto address = AsAddress(host);
  return address && address->is_loopback();
}

OriginPolicy::OriginPolicy(const HttpOptions& options)
    : keyless_(options.api_keys.empty()), beyond_loopback_(!IsLoopback(options.address)) {
  for (const std::string& origin : options.allowed_origins) {
    any_origin_ |= origin == "*";
    origins_.push_back(LowerAscii(origin));
    if (origins_.back().ends_with('/')) origins_.back().pop_back();
  }
  for (const std::string& host : options.allowed_hosts) {
    any_host_ |= host == "*";
    hosts_.push_back(HostName(host));
  }
}

bool OriginPolicy::HostAllowed(std::string_view host) const {
  const std::string name = HostName(host);
  if (any_host_ || IsLoopback(name)) return true;
  // Who listens to a network is called by address; an address cannot be rebound as a name can.
  if (beyond_loopback_ && AsAddress(name)) return true;
  return std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

bool OriginPolicy::OriginAllowed(std::string_view origin) const {
  return any_origin_ || std::find(origins_.begin(), origins_.end(), LowerAscii(origin)) != origins_.end();
}

std::optional<ApiError> OriginPolicy::Refusal(const HttpRequest& request) const {
  if (!keyless_) return std::nullopt;  // a page elsewhere has no key
  for (const std::string_view host : {request.Header("host"), request.Header(kAuthorityField)}) {
    if (host.empty() || HostAllowed(host)) continue;
    return Forbidden(
        "this service is not known under the name in the Host field or the address; a name can be allowed "
        "when it is started",
        "host_not_allowed");
  }
  const std::string_view origin = request.Header("origin");
  if (Changes(request) && !origin.empty() && !IsSameOrigin(origin, request) && !OriginAllowed(origin)) {
    return Forbidden(
        "pages of this origin may not use this service; an origin can be allowed when it is started",
        "origin_not_allowed");
  }
  return std::nullopt;
}

void OriginPolicy::AddCors(const HttpRequest& request, Headers* headers) const {
  if (origins_.empty()) return;
  const std::string_view origin = request.Header("origin");
  headers->emplace_back("Vary", "Origin");
  if (origin.empty() || !OriginAllowed(origin)) return;
  headers->emplace_back("Access-Control-Allow-Origin", any_origin_ ? "*" : std::string(origin));
  headers->emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

HttpResponse OriginPolicy::Preflight(const HttpRequest& request, const std::string& allow) const {
  HttpResponse response;
  response.status = 204;
  if (!allow.empty()) response.headers.emplace_back("Allow", allow);
  const std::string_view method = request.Header("access-control-request-method");
  const std::string_view origin = request.Header("origin");
  if (method.empty() || !OriginAllowed(origin)) return response;
  response.headers.emplace_back("Access-Control-Allow-Methods", allow);
  // Clients invent fields (x-stainless-…), and a field does nothing that its absence would prevent.
  const std::string_view fields = request.Header("access-control-request-headers");
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                IsFieldList(fields) ? std::string(fields) : "Authorization, Content-Type");
  if (request.Header("access-control-request-private-network") == "true") {
    response.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

}  // namespace tern::serve
