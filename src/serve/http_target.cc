// Paths and queries: cut first, decoded then, and nothing odd let through.
#include <algorithm>

#include "serve/http_request.h"
#include "serve/http_text.h"
#include "text/utf8.h"

namespace tern::serve {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Whole UTF-8 without control characters: what a name in a path or a query may be.
bool IsPlainText(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (!c.valid || c.codepoint < 0x20 || c.codepoint == 0x7f) return false;
    at += c.length;
  }
  return true;
}

Result<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return InvalidArgument("the address has a broken % escape");
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (!IsPlainText(decoded)) {
    return InvalidArgument("the address holds control characters or is not UTF-8");
  }
  return decoded;
}

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Status ParseQuery(std::string_view text, RequestTarget* target) {
  if (text.empty()) return OkStatus();
  for (const std::string_view pair : Split(text, '&')) {
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    TERN_ASSIGN_OR_RETURN(std::string name, Decode(pair.substr(0, equals), true));
    TERN_ASSIGN_OR_RETURN(std::string value, Decode(pair.substr(std::min(equals + 1, pair.size())), true));
    target->query.emplace_back(std::move(name), std::move(value));
  }
  return OkStatus();
}

/// Takes "http://host" (what proxies are sent) from the target's beginning. Fails for an authority that is
/// empty or holds a user's name, which readers cut in different ways.
Status TakeAuthority(std::string_view* target, RequestTarget* parsed) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (LowerAscii(target->substr(0, scheme.size())) != scheme) continue;
    target->remove_prefix(scheme.size());
    const size_t end = std::min(target->find_first_of("/?"), target->size());
    parsed->authority = target->substr(0, end);
    target->remove_prefix(end);
    if (parsed->authority.empty() || parsed->authority.find('@') != std::string::npos)
      return InvalidArgument("the address has no sound host");
    return OkStatus();
  }
  if (!target->starts_with('/')) return InvalidArgument("the address does not begin with '/'");
  return OkStatus();
}

}  // namespace

Result<RequestTarget> ParseTarget(std::string_view target) {
  RequestTarget parsed;
  if (target == "*") {
    parsed.path = "*";
    return parsed;
  }
  TERN_RETURN_IF_ERROR(TakeAuthority(&target, &parsed));
  const size_t question = std::min(target.find('?'), target.size());
  std::string_view path = target.substr(0, question);
  if (path.starts_with('/')) path.remove_prefix(1);
  for (const std::string_view raw : Split(path, '/')) {
    TERN_ASSIGN_OR_RETURN(std::string segment, Decode(raw, false));
    parsed.path += '/';
    parsed.path += segment;
    parsed.segments.push_back(std::move(segment));
  }
  for (const std::string_view segment : Split(parsed.path, '/')) {
    if (segment == "." || segment == "..") return InvalidArgument("the address holds '.' or '..'");
  }
  TERN_RETURN_IF_ERROR(ParseQuery(target.substr(std::min(question + 1, target.size())), &parsed));
  return parsed;
}

}  // namespace tern::serve
