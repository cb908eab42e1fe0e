#include "serve/http_connection.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "serve/api_result.h"
#include "serve/http_call.h"
#include "serve/http_origin.h"

namespace tern::serve {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Progress = RequestParser::Progress;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr uint32_t kMostWritesInARow = 16;
constexpr size_t kIdleRead = 4 << 10, kBodyRead = 64 << 10;
/// How long a closed connection may take to be closed by the client too, so that our last answer gets
/// through.
constexpr std::chrono::milliseconds kFarewellTime{1000};

std::string RemoteOf(const tcp::socket& socket) {
  error_code error;
  const tcp::endpoint endpoint = socket.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

/// By its address; a socket of IPv6 tells of IPv4's as "::ffff:127.0.0.1".
bool IsOfThisMachine(std::string_view remote) {
  constexpr std::string_view kMapped = "::ffff:";
  if (remote.starts_with(kMapped)) remote.remove_prefix(kMapped.size());
  return IsLoopback(remote);
}

}  // namespace

Signal::Signal(const asio::any_io_executor& executor) : timer_(executor) {
  timer_.expires_at(asio::steady_timer::time_point::max());
}

Task<void> Signal::Wait() {
  error_code ignored;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Connection::Connection(ServerCore& core, tcp::socket socket)
    : core_(core),
      executor_(socket.get_executor()),
      remote_(RemoteOf(socket)),
      local_(IsOfThisMachine(remote_)),
      stream_(MakeStream(std::move(socket), core.credentials()->tls)),
      arrived_(executor_),
      room_(executor_),
      in_limit_(core.options.max_header_bytes + kIdleRead),
      timer_(executor_) {}

void Connection::Start(ServerCore& core, tcp::socket socket) {
  const std::shared_ptr<Connection> self(new Connection(core, std::move(socket)));
  ++core.counters.connections;
  ++core.counters.connections_total;
  core.connections.Add(self);
  if (core.stopping) self->Stop();  // it may have come too late to be told
  asio::co_spawn(self->executor_, self->Run(self), [self](const std::exception_ptr& failure) {
    if (failure) LogWarning("a connection was closed: an exception outside of a handler");
    self->Close();
    self->ReleaseBody();
    --self->core_.counters.connections;
    self->core_.connections.Remove(self.get());
  });
}

void Connection::Stop() {
  asio::post(executor_, [self = shared_from_this()] {
    self->stopping_ = true;
    if (self->phase_ != Phase::kReading && self->phase_ != Phase::kAnswering) self->Close();
  });
}

void Connection::Kill() {
  asio::post(executor_, [self = shared_from_this()] {
    self->stopping_ = true;
    self->PeerIsGone();
    self->Close();
  });
}

Task<void> Connection::Run(std::shared_ptr<Connection> self) {
  EnterPhase(Phase::kHandshake, SteadyClock::now() + core_.options.header_timeout);
  const error_code error = co_await stream_->Handshake();
  if (error) {
    ++core_.counters.bad_requests;
    co_return;
  }
  asio::co_spawn(executor_, ReadLoop(self), asio::detached);
  while (co_await ServeOne()) {
  }
  co_await Farewell();
}

Task<void> Connection::ReadLoop(std::shared_ptr<Connection> self) {
  std::vector<char> piece;
  while (!closed_) {
    if (in_.size() >= in_limit_) {
      co_await room_.Wait();
      continue;
    }
    const size_t wanted = phase_ == Phase::kReading ? kBodyRead : kIdleRead;
    if (piece.size() != wanted) std::vector<char>(wanted).swap(piece);
    const Transfer transfer = co_await stream_->Read(asio::buffer(piece));
    if (!discarding_) in_.append(piece.data(), transfer.bytes);
    if (transfer.error) {
      ended_ = true;
      PeerIsGone();
    }
    arrived_.Notify();
    if (ended_) break;
  }
  (void)self;  // kept alive
}

void Connection::Consume(size_t bytes) {
  in_at_ += bytes;
  if (in_at_ == in_.size()) {
    in_.clear();
    in_at_ = 0;
  } else if (in_at_ >= kIdleRead) {
    in_.erase(0, in_at_);
    in_at_ = 0;
  }
  if (in_.size() < in_limit_) room_.Notify();
}

Task<bool> Connection::ServeOne() {
  if (!co_await AwaitFirstByte()) co_return false;
  RequestParser parser(core_.options.max_header_bytes, core_.options.max_body_bytes);
  HttpCall call(*this, parser.parsed());
  ++core_.counters.requests;
  co_await Serve(parser, call);
  ReleaseBody();
  if (core_.log) core_.log(call.LogLine());
  co_return call.reusable() && !closed_;
}

Task<void> Connection::Serve(RequestParser& parser, HttpCall& call) {
  EnterPhase(Phase::kReading, SteadyClock::now() + core_.options.header_timeout);
  if (!co_await ReadTo(Progress::kHead, parser, call)) co_return;
  call.Identify();
  ParsedRequest& parsed = call.parsed();
  const Router::Match match = core_.router.Find(parsed.request.method, parsed.segments);
  std::optional<ApiError> refusal = Admit(match, &parsed.request);
  if (refusal || match.route == nullptr) {
    if (parsed.has_body) call.CloseAfterwards();  // rather than reading what nobody wants
    if (refusal) {
      co_await call.Refuse(std::move(*refusal), match.allow);
    } else {
      HttpResponse response = core_.origins.Preflight(parsed.request, match.allow);
      (void)co_await call.Send(std::move(response));
    }
    co_return;
  }
  call.set_route(match.route->pattern);
  parsed.request.captures = match.captures;
  if (parsed.has_body) {
    if (parsed.expects_continue && Unread().empty()) (void)co_await WriteAll("HTTP/1.1 100 Continue\r\n\r\n");
    EnterPhase(Phase::kReading, SteadyClock::now() + core_.options.body_timeout);
    if (!co_await ReadTo(Progress::kDone, parser, call)) co_return;
  }
  co_await CallHandler(*match.route, call);
}

std::optional<ApiError> Connection::Admit(const Router::Match& match, HttpRequest* request) {
  if (auto refusal = core_.origins.Refusal(*request)) return refusal;
  const bool about_all = request->path == "*" && request->method == "OPTIONS";
  if (match.allow.empty() && !about_all) {
    return ApiError{.status = 404, .message = "there is nothing at " + request->path, .code = "not_found"};
  }
  if (match.route == nullptr) {
    if (request->method == "OPTIONS") return std::nullopt;
    return ApiError{
        .status = 405,
        .message = request->method + " does not work at " + request->path + ", but " + match.allow,
        .code = "method_not_allowed"};
  }
  return Identify(match.route->access, request);
}

std::optional<ApiError> Connection::Identify(Access access, HttpRequest* request) {
  const auto credentials = core_.credentials();
  const KeyRing& keys = credentials->keys;
  const std::string_view key = BearerToken(request->Header("authorization"));
  const KeyHolder holder = keys.empty() ? KeyHolder{.admin = local_} : keys.HolderOf(key);
  request->owner = holder.owner;
  request->admin = holder.admin;
  if (access == Access::kPublic) return std::nullopt;
  if (keys.empty() || !holder.owner.empty()) {
    if (access == Access::kAdmin && !holder.admin) return AdminNeeded();
    return std::nullopt;
  }
  ++core_.counters.unauthorized;
  return ApiError{.status = 401,
                  .message = key.empty() ? "an API key is needed: Authorization: Bearer KEY"
                                         : "this API key is not known here",
                  .type = "authentication_error",
                  .code = "invalid_api_key"};
}

Task<bool> Connection::AwaitFirstByte() {
  EnterPhase(Phase::kIdle, SteadyClock::now() + core_.options.idle_timeout);
  for (;;) {
    // Some clients end a body with a line that isn't part of it.
    const std::string_view unread = Unread();
    Consume(std::min(unread.find_first_not_of("\r\n"), unread.size()));
    if (closed_ || stopping_) co_return false;
    if (!Unread().empty()) co_return true;
    if (ended_) co_return false;
    if (in_.capacity() > kIdleRead) std::string().swap(in_);
    co_await arrived_.Wait();
  }
}

Task<Progress> Connection::Read(RequestParser& parser) {
  const std::string& body = parser.parsed().request.body;
  for (;;) {
    size_t consumed = 0;
    const Progress progress = parser.Feed(Unread(), &consumed);
    Consume(consumed);
    core_.counters.body_bytes += body.size() - held_body_bytes_;
    held_body_bytes_ = body.size();
    if (progress != Progress::kNeedMore || closed_ || ended_ || timed_out_ || BodiesAreTooMany()) {
      co_return progress;
    }
    co_await arrived_.Wait();
  }
}

void Connection::ReleaseBody() { core_.counters.body_bytes -= std::exchange(held_body_bytes_, 0); }

bool Connection::BodiesAreTooMany() const {
  return held_body_bytes_ > 0 && core_.counters.body_bytes > core_.options.max_bodies_bytes;
}

Task<bool> Connection::ReadTo(Progress wanted, RequestParser& parser, HttpCall& call) {
  const Progress progress = co_await Read(parser);
  if (progress == wanted) co_return true;
  call.CloseAfterwards();
  ApiError error = parser.error();
  if (progress != Progress::kFailed && timed_out_) {
    error = {.status = 408, .message = "the request did not come in time", .code = "request_timeout"};
  } else if (progress != Progress::kFailed && BodiesAreTooMany()) {
    error = {.status = 503,
             .message = "too many large requests at once",
             .type = "server_error",
             .code = "overloaded"};
  } else if (progress != Progress::kFailed) {
    co_return false;  // half a request, and then the end
  }
  if (error.status != 503) ++core_.counters.bad_requests;
  co_await call.Refuse(std::move(error));
  co_return false;
}

Task<void> Connection::CallHandler(const Route& route, HttpCall& call) {
  answer_due_ = SteadyClock::now() + core_.options.request_timeout;
  EnterPhase(Phase::kAnswering, answer_due_);
  std::string failure;
  try {
    co_await route.handler(call);
  } catch (const std::exception& exception) {
    failure = exception.what();
  } catch (...) {
    failure = "an exception of an unknown kind";
  }
  call.ForgetListener();
  if (!failure.empty()) LogWarning("{} {}: {}", route.method, route.pattern, failure.substr(0, 200));
  const bool owed = !failure.empty() || !call.gone();  // what vanished clients asked for may be dropped
  if (!call.begun() && !closed_ && owed) {
    ApiError error = {.status = 500,
                      .message = "the server failed to answer this request",
                      .type = "server_error",
                      .code = "internal_error"};
    co_await call.Refuse(std::move(error));
  }
  answer_due_ = TimePoint::max();
  if (!call.complete()) Close();  // cut short: the client must see that something is missing
}

Task<void> Connection::Farewell() {
  if (closed_) co_return;
  discarding_ = true;
  EnterPhase(Phase::kClosing, SteadyClock::now() + kFarewellTime);
  Consume(Unread().size());
  co_await stream_->Shutdown();
  while (!ended_ && !closed_) co_await arrived_.Wait();
}

Task<Status> Connection::WriteAll(std::string_view bytes) {
  phase_ = Phase::kAnswering;
  // A token's piece nearly always fits into the socket's buffer; going through the event loop for it costs
  // several times what writing it does. But not too often in a row: others want to be served, too.
  if (!closed_ && ++writes_in_a_row_ % kMostWritesInARow != 0) {
    bytes.remove_prefix(stream_->TryWrite(asio::buffer(bytes.data(), bytes.size())));
    if (bytes.empty()) co_return OkStatus();
  }
  while (!bytes.empty()) {
    if (closed_) co_return Unavailable("the client has gone");
    SetDue(std::min(SteadyClock::now() + core_.options.write_timeout, answer_due_));
    const Transfer transfer = co_await stream_->Write(asio::buffer(bytes.data(), bytes.size()));
    bytes.remove_prefix(std::min(transfer.bytes, bytes.size()));
    if (transfer.error) {
      PeerIsGone();
      Close();
      co_return Unavailable("the client has gone");
    }
  }
  SetDue(answer_due_);
  co_return OkStatus();
}

void Connection::EnterPhase(Phase phase, TimePoint due) {
  phase_ = phase;
  SetDue(due);
}

void Connection::SetDue(TimePoint due) {
  due_ = due;
  // A later deadline is only noted: the timer finds it when it fires. So an answer of a thousand pieces
  // touches the timer rarely.
  if (due < armed_for_ && !closed_) ArmTimer();
}

void Connection::ArmTimer() {
  armed_for_ = due_;
  timer_.expires_at(due_);
  timer_.async_wait([self = shared_from_this(), armed_for = due_](const error_code& error) {
    if (error || self->closed_ || armed_for != self->armed_for_) return;
    self->armed_for_ = TimePoint::max();
    if (self->due_ == TimePoint::max()) return;
    if (SteadyClock::now() >= self->due_) {
      self->OnDeadline();
    } else {
      self->ArmTimer();
    }
  });
}

void Connection::OnDeadline() {
  due_ = TimePoint::max();
  switch (phase_) {
    case Phase::kReading:
      ++core_.counters.timeouts;
      timed_out_ = true;  // told to the client
      arrived_.Notify();
      return;
    case Phase::kHandshake:
    case Phase::kAnswering:
      ++core_.counters.timeouts;
      break;
    case Phase::kIdle:
    case Phase::kClosing:
      break;
  }
  PeerIsGone();
  Close();
}

void Connection::PeerIsGone() {
  if (call_ == nullptr || call_->complete() || call_->gone()) return;
  ++core_.counters.vanished;
  call_->TellGone();
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  stream_->Close();
  timer_.cancel();
  arrived_.Notify();
  room_.Notify();
}

}  // namespace tern::serve
