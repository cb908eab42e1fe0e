// One client's connection: requests in, answers out, one after the other.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http_core.h"
#include "serve/http_request.h"
#include "serve/http_stream.h"

namespace tern::serve {

/// Wakes a coroutine on the same strand. A Notify that nobody waits for is forgotten: look at the facts
/// first.
class Signal {
 public:
  explicit Signal(const boost::asio::any_io_executor& executor);
  Task<void> Wait();
  void Notify() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

class HttpCall;

/// Lives on a strand: everything but Start, Stop and Kill runs there. Two coroutines share it: one reads
/// whatever comes (so that a client that leaves is noticed while its answer is being written), the other
/// serves.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// `socket` belongs to a strand of its own. The connection keeps itself alive.
  static void Start(ServerCore& core, boost::asio::ip::tcp::socket socket);

  /// Closes when no request is being read or answered, else after it. Thread-safe.
  void Stop();
  /// Tells a running handler that its client is gone, and closes. Thread-safe.
  void Kill();

 private:
  friend class HttpCall;
  using TimePoint = std::chrono::steady_clock::time_point;

  /// What a deadline that passes means.
  enum class Phase { kHandshake, kIdle, kReading, kAnswering, kClosing };

  Connection(ServerCore& core, boost::asio::ip::tcp::socket socket);
  Task<void> Run(std::shared_ptr<Connection> self);
  Task<void> ReadLoop(std::shared_ptr<Connection> self);
  /// Serves one request; false when it was the last.
  Task<bool> ServeOne();
  Task<bool> AwaitFirstByte();
  Task<void> Serve(RequestParser& parser, HttpCall& call);
  /// Why a request whose head is known is not answered by a handler; OPTIONS, which the server answers
  /// itself, has no route either. Names the owner.
  std::optional<ApiError> Admit(const Router::Match& match, HttpRequest* request);
  /// Who asks, and why that is not enough for a route of this access.
  std::optional<ApiError> Identify(Access access, HttpRequest* request);
  Task<RequestParser::Progress> Read(RequestParser& parser);
  /// False when the request will not come that far; the client has then been told, if it is there.
  Task<bool> ReadTo(RequestParser::Progress wanted, RequestParser& parser, HttpCall& call);
  bool BodiesAreTooMany() const;
  void ReleaseBody();
  Task<void> CallHandler(const Route& route, HttpCall& call);
  Task<void> Farewell();

  Task<Status> WriteAll(std::string_view bytes);
  std::string_view Unread() const { return std::string_view(in_).substr(in_at_); }
  void Consume(size_t bytes);

  void EnterPhase(Phase phase, TimePoint due);
  void SetDue(TimePoint due);
  void ArmTimer();
  void OnDeadline();
  void PeerIsGone();
  void Close();

  ServerCore& core_;
  boost::asio::any_io_executor executor_;
  std::string remote_;
  bool local_;  // the client is on this machine
  std::unique_ptr<Stream> stream_;
  Signal arrived_, room_;  // more has been read (or never will be); `in_` has room again
  std::string in_;         // read, the first in_at_ bytes of it used
  size_t in_at_ = 0, in_limit_;

  boost::asio::steady_timer timer_;  // pending until armed_for_, which may be before due_
  TimePoint due_ = TimePoint::max(), armed_for_ = TimePoint::max();
  Phase phase_ = Phase::kHandshake;
  TimePoint answer_due_ = TimePoint::max();

  uint32_t writes_in_a_row_ = 0;
  HttpCall* call_ = nullptr;    // the request being read or answered
  size_t held_body_bytes_ = 0;  // its body's, as counted in the server's total
  bool ended_ = false;          // the client will send no more
  bool timed_out_ = false;      // a request did not come in time
  bool discarding_ = false;     // what still comes is of no interest
  bool stopping_ = false;
  bool closed_ = false;
};

}  // namespace tern::serve
