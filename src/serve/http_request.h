// A request's bytes, read and checked: the same code for the server, its tests and the fuzzer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/http.h"

namespace tern::serve {

/// What stands after the method: "/v1/models/a%2Fb?x=1".
struct RequestTarget {
  std::string authority = {};                                   ///< of http://host/path: "host"; else empty
  std::string path = {};                                        ///< decoded
  std::vector<std::string> segments = {};                       ///< cut at '/' before decoding, then decoded
  std::vector<std::pair<std::string, std::string>> query = {};  ///< decoded
};

/// Fails for what isn't a path (or http://…/path, or "*"), for broken or forbidden escapes (NUL and other
/// control characters, bytes that are no UTF-8), for segments "." and ".." and for an authority that is empty
/// or holds a user's name.
Result<RequestTarget> ParseTarget(std::string_view target);

/// The name, among a request's headers, of an absolute address's host. HTTP/2 calls it so; no client can send
/// a field of this name.
inline constexpr std::string_view kAuthorityField = ":authority";

/// A request as it came, with what the connection must know about it.
struct ParsedRequest {
  HttpRequest request = {};
  std::vector<std::string> segments = {};  ///< of the path; empty for "*"
  int version = 11;                        ///< 10 or 11
  bool keep_alive = false;
  bool expects_continue = false;
  bool has_body = false;
};

/// Reads one request from its bytes, in pieces of any size. Not thread-safe.
class RequestParser {
 public:
  enum class Progress {
    kNeedMore,  ///< everything fed so far is fine
    kHead,      ///< reported once: the head is complete and sound, the body has not been looked at
    kDone,
    kFailed,  ///< error() says why; the connection is of no further use
  };

  RequestParser(size_t max_header_bytes, size_t max_body_bytes);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Reads on. `*consumed` bytes of `bytes` are done with; the others must come again, with more after them.
  Progress Feed(std::string_view bytes, size_t* consumed);
  /// What has been read; whole after kDone (and, without the body, after kHead).
  ParsedRequest& parsed();
  const ApiError& error() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::serve
