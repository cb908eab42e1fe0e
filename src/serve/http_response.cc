#include "serve/http_response.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

#include "serve/http_text.h"

namespace tern::serve {
namespace {

constexpr std::array<std::pair<int, std::string_view>, 24> kReasons = {
    {{100, "Continue"},
     {200, "OK"},
     {201, "Created"},
     {202, "Accepted"},
     {204, "No Content"},
     {304, "Not Modified"},
     {400, "Bad Request"},
     {401, "Unauthorized"},
     {403, "Forbidden"},
     {404, "Not Found"},
     {405, "Method Not Allowed"},
     {408, "Request Timeout"},
     {409, "Conflict"},
     {413, "Content Too Large"},
     {414, "URI Too Long"},
     {415, "Unsupported Media Type"},
     {417, "Expectation Failed"},
     {422, "Unprocessable Content"},
     {429, "Too Many Requests"},
     {431, "Request Header Fields Too Large"},
     {500, "Internal Server Error"},
     {501, "Not Implemented"},
     {503, "Service Unavailable"},
     {505, "HTTP Version Not Supported"}}};

void AddField(std::string* text, std::string_view name, std::string_view value) {
  text->append(name);
  *text += ": ";
  for (const char c : value) *text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  *text += "\r\n";
}

bool IsToken(std::string_view name) {
  constexpr std::string_view kToken =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~";
  return !name.empty() && name.find_first_not_of(kToken) == std::string_view::npos;
}

bool Has(const Headers& fields, std::string_view lower_name) {
  for (const auto& [name, value] : fields) {
    if (LowerAscii(name) == lower_name) return true;
  }
  return false;
}

std::tm ToUtc(std::time_t time) {
  std::tm utc = {};
  gmtime_r(&time, &utc);
  return utc;
}

/// "Sat, 21 Nov 2026 14:03:09 GMT"; strftime would follow the locale.
std::string HttpDate(std::time_t time) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm utc = ToUtc(time);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                utc.tm_sec);
  return text;
}

}  // namespace

std::string_view ReasonOf(int status) {
  for (const auto& [known, reason] : kReasons) {
    if (known == status) return reason;
  }
  return "Status";
}

std::string FormatTime(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::tm utc = ToUtc(static_cast<std::time_t>(since / 1000));
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(since % 1000));
  return text;
}

std::string FormatHead(const ResponseHead& head, const Headers& fields) {
  std::string text = "HTTP/1.1 " + std::to_string(head.status) + " ";
  text += ReasonOf(head.status);
  text += "\r\n";
  AddField(&text, "Date", HttpDate(std::time(nullptr)));
  AddField(&text, "Connection", head.keep_alive ? "keep-alive" : "close");
  if (!head.content_type.empty()) AddField(&text, "Content-Type", head.content_type);
  if (head.end == BodyEnd::kLength) AddField(&text, "Content-Length", std::to_string(head.length));
  if (head.end == BodyEnd::kChunked) AddField(&text, "Transfer-Encoding", "chunked");
  AddField(&text, "X-Request-Id", head.request_id);
  // Answers are data, never pages, unless a handler says otherwise; nobody may frame, sniff or keep them.
  AddField(&text, "X-Content-Type-Options", "nosniff");
  AddField(&text, "X-Frame-Options", "DENY");
  AddField(&text, "Referrer-Policy", "no-referrer");
  AddField(&text, "Cross-Origin-Resource-Policy", "same-origin");
  if (!Has(fields, "content-security-policy")) {
    AddField(&text, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  if (!Has(fields, "cache-control")) AddField(&text, "Cache-Control", "no-store");
  for (const auto& [name, value] : fields) {
    if (IsToken(name)) AddField(&text, name, value);
  }
  return text + "\r\n";
}

}  // namespace tern::serve
