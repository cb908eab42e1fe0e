// Any bytes as requests, for the fuzzer and the tests: what the parser makes of them must not depend on how
// they are cut, and what it lets through must be what handlers may rely on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "serve/http_request.h"
#include "text/utf8.h"

namespace tern::testing {

struct ParsedBytes {
  serve::RequestParser::Progress progress = serve::RequestParser::Progress::kNeedMore;
  std::string request;  // everything that was understood, comparable
  size_t consumed = 0;
  std::string fault;  // a broken promise
};

/// Names no place outside of the path, and holds only whole characters.
inline std::string FaultOfPath(const serve::ParsedRequest& parsed) {
  const std::string& path = parsed.request.path;
  if (path == "*" && parsed.segments.empty()) return {};
  if (!path.starts_with('/')) return "the path does not begin with '/'";
  if (("/" + path + "/").find("/../") != std::string::npos) return "the path climbs";
  for (size_t at = 0; at < path.size();) {
    const Utf8Char c = DecodeUtf8(path, at);
    if (!c.valid || c.codepoint < 0x20) return "the path holds what is no text";
    at += c.length;
  }
  std::string joined;
  for (const std::string& segment : parsed.segments) joined += "/" + segment;
  return joined == path ? "" : "the segments are not the path";
}

inline std::string FaultOfHead(const serve::ParsedRequest& parsed) {
  size_t hosts = 0, lengths = 0, encodings = 0;
  for (const auto& [name, value] : parsed.request.headers) {
    hosts += name == "host";
    lengths += name == "content-length";
    encodings += name == "transfer-encoding";
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
      return "a field breaks its line";
    if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      return "upper case";
  }
  if (hosts > 1 || lengths + encodings > 1) return "two ways to read the same bytes";
  if (parsed.has_body && lengths + encodings == 0) return "a body out of nowhere";
  return FaultOfPath(parsed);
}

/// Feeds `bytes` as a connection does, in pieces of `cut()` bytes.
template <class Cut>
ParsedBytes ParseInPieces(std::string_view bytes, Cut cut) {
  constexpr size_t kMaxHead = 4096, kMaxBody = 8192;
  using Progress = serve::RequestParser::Progress;
  serve::RequestParser parser(kMaxHead, kMaxBody);
  ParsedBytes result;
  std::string unread;
  bool head = false;
  while (result.fault.empty()) {
    size_t consumed = 0;
    result.progress = parser.Feed(unread, &consumed);
    if (consumed > unread.size()) result.fault = "more consumed than there was";
    unread.erase(0, consumed);
    result.consumed += consumed;
    if (result.progress == Progress::kHead) {
      if (head) result.fault = "two heads";
      head = true;
      result.fault += FaultOfHead(parser.parsed());
    } else if (result.progress != Progress::kNeedMore) {
      break;
    } else if (bytes.empty()) {
      break;
    } else {
      const size_t piece = std::min<size_t>(cut(), bytes.size());
      unread += bytes.substr(0, piece);
      bytes.remove_prefix(piece);
    }
  }
  const serve::ParsedRequest& parsed = parser.parsed();
  if (parsed.request.body.size() > kMaxBody) result.fault = "a body larger than allowed";
  if (result.progress == Progress::kFailed && parser.error().status < 400)
    result.fault = "an error without a status";
  if (result.progress != Progress::kDone) return result;
  result.request = parsed.request.method + " " + parsed.request.path + "\n" + parsed.request.body + "\n" +
                   std::to_string(parsed.keep_alive) + std::to_string(parsed.expects_continue);
  for (const auto& [name, value] : parsed.request.headers) result.request += "\n" + name + ": " + value;
  for (const auto& [name, value] : parsed.request.query) result.request += "\n" + name + "= " + value;
  return result;
}

/// "" or what is wrong.
inline std::string AttackRequestParser(const uint8_t* data, size_t size) {
  constexpr auto kDone = serve::RequestParser::Progress::kDone;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ParsedBytes whole = ParseInPieces(bytes, [&] { return size; });
  const ParsedBytes single = ParseInPieces(bytes, [] { return size_t{1}; });
  Random random(size);
  const ParsedBytes mixed = ParseInPieces(bytes, [&] { return 1 + random.Below(40); });
  for (const ParsedBytes* cut : {&whole, &single, &mixed}) {
    if (!cut->fault.empty()) return cut->fault;
    // What is wrong may show itself later in pieces; what is whole must be so at once and be the same.
    if ((cut->progress == kDone) != (whole.progress == kDone))
      return "a request in pieces is none, or in one";
    if (cut->request != whole.request) return "a request in pieces is read differently";
    if (whole.progress == kDone && cut->consumed != whole.consumed)
      return "a request in pieces ends elsewhere";
  }
  return {};
}

}  // namespace tern::testing
