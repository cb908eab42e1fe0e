// An HTTP/1.1 server for handlers that are coroutines: what a handler sees of a request and how it answers.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/api_keys.h"

namespace tern::serve {

template <class T>
using Task = boost::asio::awaitable<T>;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string id = {};      ///< of this request: in the answer's X-Request-Id and in the log
  std::string method = {};  ///< "GET" …
  std::string path = {};    ///< decoded, valid UTF-8, without query; begins with '/'
  std::vector<std::pair<std::string, std::string>> query = {};  ///< decoded
  Headers headers = {};                                         ///< names in lower case
  std::string body = {};
  std::string owner = {};  ///< who asks: a name derived from the API key ("" where no keys are in use)
  /// Who asks may look after the service: an admin's key, or a client of this machine where no keys are in
  /// use.
  bool admin = false;
  std::vector<std::string> captures = {};  ///< what the {…} of the route's pattern stand for, decoded

  /// The first header of that (lower-case) name, or "".
  std::string_view Header(std::string_view name) const;
  /// The first query parameter of that name, or "".
  std::string_view Query(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};  ///< beside those the server writes itself (length, date, CORS, request id …)
};

/// One request being answered. Lives on its connection's strand; handlers run there too, and resume there.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual boost::asio::any_io_executor executor() const = 0;

  /// Answers in one piece. kUnavailable when the client has gone.
  virtual Task<Status> Send(HttpResponse response) = 0;
  /// Or in pieces: the head (its body is ignored), then Write any number of times (each is sent at once),
  /// then End. A client that doesn't take them within the write timeout is gone.
  virtual Task<Status> Begin(HttpResponse head) = 0;
  virtual Task<Status> Write(std::string_view piece) = 0;
  virtual Task<Status> End() = 0;

  /// Calls `gone` once, on the strand, when the client goes away (or the server must stop, or the request has
  /// taken too long) before the answer is complete; at once when that has happened. A client that closes its
  /// own side counts as gone: pieces are no longer taken, but a whole answer (Send) is still tried. Never
  /// called once the handler has returned.
  virtual void OnGone(std::function<void()> gone) = 0;
  virtual bool gone() const = 0;
  /// For the access log: fields beside method, path, status, bytes and time ("model", "tokens" …); never
  /// texts.
  virtual void Log(std::string_view name, std::string value) = 0;
};

/// Answers one request. One that throws or returns without an answer has the server answer 500 (but nothing
/// when its client has gone); one that returns before End has the connection cut, so that a client sees that
/// something is missing.
using Handler = std::function<Task<void>(Exchange&)>;

enum class Access {
  kPublic,  ///< without a key (health, the page's files)
  kKeyed,   ///< needs an API key where keys are in use
  kAdmin,   ///< needs an admin's key where keys are in use, else a client of this machine
};

struct Route {
  std::string method = {};   ///< HEAD is answered by GET's handler, OPTIONS by the server (CORS)
  std::string pattern = {};  ///< "/v1/states/{id}/fork": a {name} is one segment, not empty
  Access access = Access::kKeyed;
  Handler handler = {};
};

struct HttpOptions {
  std::string address = "127.0.0.1";                 ///< an IPv4 or IPv6 address, or "localhost"
  uint16_t port = 8000;                              ///< 0: any that is free
  std::string certificate_file = {}, key_file = {};  ///< PEM; both or none: TLS
  /// Of browsers' pages that may use the service (CORS): "https://chat.example"; "*": all; none: its own
  /// only.
  std::vector<std::string> allowed_origins = {};
  /// Names beside the loopback's that requests may give as Host where no keys are in use; "*": all.
  std::vector<std::string> allowed_hosts = {};
  ApiKeys api_keys = {};               ///< none: requests need no key
  bool allow_open = false;             ///< to listen beyond loopback without keys
  int threads = 1;                     ///< that handle connections
  size_t max_header_bytes = 64 << 10;  ///< request line and fields
  size_t max_body_bytes = 32 << 20;
  size_t max_bodies_bytes = 512 << 20;  ///< all bodies being held at one time
  int max_connections = 4096;
  std::chrono::milliseconds header_timeout{10'000};  ///< from a request's first byte to the end of its head
  std::chrono::milliseconds body_timeout{60'000};    ///< from there to the end of its body
  std::chrono::milliseconds write_timeout{30'000};   ///< without any byte being taken
  std::chrono::milliseconds idle_timeout{120'000};   ///< between requests of a connection
  std::chrono::milliseconds request_timeout{3'600'000};  ///< from the end of a request to that of its answer
};

/// How an error looks to clients: {"error": {"message", "type", "param", "code"}}, OpenAI's shape.
struct ApiError {
  int status = 400;
  std::string message = {};
  std::string type = "invalid_request_error";
  std::string param = {};  ///< null when empty
  std::string code = {};   ///< null when empty
};
HttpResponse ErrorResponse(const ApiError& error);

/// The server's own figures for /metrics.
struct HttpStats {
  int64_t connections = 0, connections_total = 0, refused_connections = 0, requests = 0, bad_requests = 0;
  int64_t responses_2xx = 0, responses_3xx = 0, responses_4xx = 0, responses_5xx = 0;
  int64_t unauthorized = 0, timeouts = 0, vanished = 0;
};

/// A line per request, as JSON, without texts. Called from the server's threads, perhaps at the same time.
using AccessLog = std::function<void(std::string_view json_line)>;

/// Whether a server can listen at HttpOptions::address: InvalidArgument for what is no address.
Status CheckAddress(const std::string& address);

class HttpServer {
 public:
  /// Binds and listens. Fails, naming address and reason: port taken, certificate unreadable, an address
  /// beyond loopback without keys …
  static Result<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, std::vector<Route> routes,
                                                   AccessLog log);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  /// "http://127.0.0.1:8000".
  virtual std::string url() const = 0;
  virtual boost::asio::any_io_executor executor() = 0;
  virtual HttpStats stats() const = 0;
  /// Reads certificate and key anew, for connections to come, and takes these API keys instead of the old
  /// ones, for requests to come. When something is wrong nothing changes, and the error names the file.
  /// Thread-safe.
  virtual Status Renew(const ApiKeys& api_keys) = 0;
  /// No more connections; running answers may end until `grace` has passed. True when all is closed; else
  /// what runs goes on until Stop. Thread-safe, but never from a handler (it would wait for itself).
  virtual bool Drain(std::chrono::milliseconds grace) = 0;
  /// The same, but then handlers that still run are told that their clients are gone. Returns when all is
  /// closed. Thread-safe, but never from a handler.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace tern::serve
