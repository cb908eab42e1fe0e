#include "serve/http_call.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "serve/http_response.h"

namespace tern::serve {
namespace {

/// Bodies up to this size travel with their head; larger ones are not copied for that.
constexpr size_t kOnePacket = 64 << 10;

bool IsSaneId(std::string_view id) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !id.empty() && id.size() <= 128 && id.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::string ChunkLine(size_t size) {
  char text[24];
  std::snprintf(text, sizeof text, "%zx\r\n", size);
  return text;
}

}  // namespace

HttpCall::HttpCall(Connection& connection, ParsedRequest& parsed)
    : connection_(connection), parsed_(parsed), gone_(connection.ended_) {
  connection_.call_ = this;
}

HttpCall::~HttpCall() { connection_.call_ = nullptr; }

void HttpCall::Identify() {
  HttpRequest& request = parsed_.request;
  const std::string_view given = request.Header("x-request-id");
  request.id = IsSaneId(given) ? std::string(given) : connection_.core_.NewRequestId();
}

void HttpCall::OnGone(std::function<void()> on_gone) {
  on_gone_ = std::move(on_gone);
  if (gone_) TellGone();
}

void HttpCall::TellGone() {
  gone_ = true;
  if (complete()) return;
  if (const auto on_gone = std::exchange(on_gone_, nullptr)) on_gone();
}

std::string HttpCall::Head(HttpResponse* response, bool whole) {
  ResponseHead head;
  head.status = response->status;
  status_ = head.status;
  connection_.core_.counters.CountResponse(status_);
  const bool no_body = head.status == 204 || head.status == 304;
  bodiless_ = no_body || parsed_.request.method == "HEAD";
  if (no_body) {
    head.end = BodyEnd::kNone;
  } else if (whole) {
    head.end = BodyEnd::kLength;
  } else {
    head.end = parsed_.version >= 11 ? BodyEnd::kChunked : BodyEnd::kClose;
  }
  chunked_ = head.end == BodyEnd::kChunked;
  keep_alive_ = parsed_.keep_alive && !close_ && !connection_.stopping_ && head.end != BodyEnd::kClose;
  head.keep_alive = keep_alive_;
  head.length = response->body.size();
  if (!no_body) head.content_type = response->content_type;
  if (parsed_.request.id.empty()) Identify();
  head.request_id = parsed_.request.id;
  connection_.core_.origins.AddCors(parsed_.request, &response->headers);
  return FormatHead(head, response->headers);
}

Task<Status> HttpCall::Put(std::string_view bytes) {
  bytes_ += bytes.size();
  return connection_.WriteAll(bytes);
}

Task<Status> HttpCall::Send(HttpResponse response) {
  if (begun()) co_return InvalidArgument("the request has been answered already");
  state_ = State::kSending;
  std::string head = Head(&response, true);
  if (bodiless_) response.body.clear();
  if (response.body.size() <= kOnePacket) head += std::exchange(response.body, {});
  Status status = co_await Put(head);
  if (status.ok() && !response.body.empty()) status = co_await Put(response.body);
  if (status.ok()) state_ = State::kDone;
  co_return status;
}

Task<Status> HttpCall::Begin(HttpResponse head) {
  if (begun()) co_return InvalidArgument("the request has been answered already");
  if (gone_) co_return Unavailable("the client has gone");
  state_ = State::kPieces;
  const std::string bytes = Head(&head, false);
  co_return co_await Put(bytes);
}

Task<Status> HttpCall::Write(std::string_view piece) {
  if (state_ != State::kPieces) co_return InvalidArgument("no answer in pieces has been begun");
  if (gone_) co_return Unavailable("the client has gone");
  if (bodiless_ || piece.empty()) co_return OkStatus();  // an empty chunk would be the last
  if (!chunked_) co_return co_await Put(piece);
  std::string bytes = ChunkLine(piece.size());
  bytes += piece;
  bytes += "\r\n";
  co_return co_await Put(bytes);
}

Task<Status> HttpCall::End() {
  if (state_ != State::kPieces) co_return InvalidArgument("no answer in pieces has been begun");
  if (gone_) co_return Unavailable("the client has gone");
  state_ = State::kSending;
  Status status;
  if (chunked_ && !bodiless_) status = co_await Put("0\r\n\r\n");
  if (status.ok()) state_ = State::kDone;
  co_return status;
}

Task<void> HttpCall::Refuse(ApiError error, std::string allow) {
  HttpResponse response = ErrorResponse(error);
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 405) response.headers.emplace_back("Allow", allow);
  if (error.status == 503) response.headers.emplace_back("Retry-After", "1");
  (void)co_await Send(std::move(response));
}

std::string HttpCall::LogLine() const {
  const HttpRequest& request = parsed_.request;
  const double milliseconds =
      std::round(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - started_).count()) /
      1e3;
  nlohmann::ordered_json line = {{"time", FormatTime(std::chrono::system_clock::now())},
                                 {"id", request.id},
                                 {"owner", request.owner},
                                 {"remote", connection_.remote_},
                                 {"method", request.method.substr(0, 32)},
                                 {"path", request.path.substr(0, 256)},
                                 {"route", route_},
                                 {"status", status_},
                                 {"bytes", bytes_},
                                 {"ms", milliseconds}};
  if (!complete()) line["incomplete"] = true;
  for (const auto& [name, value] : fields_) line[name] = value;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tern::serve
