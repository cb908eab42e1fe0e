// Listening, the threads, and stopping; a connection's own life is in http_connection.cc.
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "base/log.h"
#include "serve/http.h"
#include "serve/http_connection.h"
#include "serve/http_core.h"

namespace tern::serve {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// How long handlers that were told to end may take to do so.
constexpr std::chrono::seconds kLastWait{10};

/// Every connection is a file; many systems allow a program 1024 unless it asks for more.
void AllowOpenFiles(int connections) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = static_cast<rlim_t>(connections) + 256;  // models, states, pipes
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
    LogWarning("the system allows this program {} open files: fewer than {} connections are possible",
               limit.rlim_cur, connections);
  }
}

void SetSocketOptions(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  // A client whose machine has gone sends nothing, not even an end: ask after half a minute of silence.
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto set = [&](int option, int value) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 30);
  set(TCP_KEEPINTVL, 10);
  set(TCP_KEEPCNT, 3);
}

/// One answer for all, without reading what they want.
void TurnAway(tcp::socket& socket, bool tls) {
  static const std::string body =
      ErrorResponse(
          {.status = 503, .message = "too many connections", .type = "server_error", .code = "overloaded"})
          .body;
  static const std::string answer =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  error_code ignored;
  socket.non_blocking(true, ignored);
  if (!tls) socket.write_some(asio::buffer(answer), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

Result<asio::ip::address> ParseAddress(const std::string& text) {
  error_code error;
  const auto address = asio::ip::make_address(text == "localhost" ? "127.0.0.1" : text, error);
  if (error) return InvalidArgument("cannot listen on '" + text + "': an IPv4 or IPv6 address is needed");
  return address;
}

Result<tcp::acceptor> Listen(asio::io_context& io, const tcp::endpoint& endpoint) {
  error_code error;
  tcp::acceptor acceptor(asio::make_strand(io));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return acceptor;
  return IoError("cannot listen on " + endpoint.address().to_string() + ", port " +
                 std::to_string(endpoint.port()) + ": " + error.message());
}

/// Reads certificate and key, if there are any.
Result<std::shared_ptr<const Credentials>> MakeCredentials(const HttpOptions& options,
                                                           const ApiKeys& api_keys) {
  TlsContext tls;
  if (!options.certificate_file.empty()) {
    TERN_ASSIGN_OR_RETURN(tls, MakeTlsContext(options.certificate_file, options.key_file));
  }
  return std::make_shared<const Credentials>(Credentials{KeyRing(api_keys), std::move(tls)});
}

class Server final : public HttpServer {
 public:
  Server(const HttpOptions& options, std::vector<Route> routes, AccessLog log,
         std::shared_ptr<const Credentials> credentials)
      : core_(options, std::move(routes), std::move(log), std::move(credentials)), io_(options.threads) {}
  ~Server() override { Stop(std::chrono::milliseconds(0)); }

  Status Listen(const asio::ip::address& address) {
    TERN_ASSIGN_OR_RETURN(tcp::acceptor acceptor, serve::Listen(io_, {address, core_.options.port}));
    acceptor_.emplace(std::move(acceptor));
    error_code ignored;
    endpoint_ = acceptor_->local_endpoint(ignored);
    asio::co_spawn(acceptor_->get_executor(), AcceptLoop(), asio::detached);
    for (int i = 0; i < core_.options.threads; ++i) threads_.emplace_back([this] { RunThread(); });
    return OkStatus();
  }

  uint16_t port() const override { return endpoint_.port(); }
  std::string url() const override;
  asio::any_io_executor executor() override { return io_.get_executor(); }
  HttpStats stats() const override { return core_.counters.Snapshot(); }
  Status Renew(const ApiKeys& api_keys) override;
  bool Drain(std::chrono::milliseconds grace) override;
  void Stop(std::chrono::milliseconds grace) override;

 private:
  bool WaitForConnections(std::chrono::milliseconds grace);
  Task<void> AcceptLoop();
  void RunThread();

  ServerCore core_;  // outlives what still hangs in io_
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::optional<tcp::acceptor> acceptor_;
  tcp::endpoint endpoint_;
  std::vector<std::thread> threads_;
  std::mutex stop_mutex_;
  bool stopped_ = false;
};

Task<void> Server::AcceptLoop() {
  while (!core_.stopping) {
    error_code error;
    tcp::socket socket = co_await acceptor_->async_accept(asio::make_strand(io_),
                                                          asio::redirect_error(asio::use_awaitable, error));
    if (core_.stopping || error == asio::error::operation_aborted) break;
    if (error) {  // out of files, say: others will be closed in time
      asio::steady_timer pause(acceptor_->get_executor(), std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (core_.counters.connections >= core_.options.max_connections) {
      ++core_.counters.refused_connections;
      TurnAway(socket, core_.speaks_tls());
      continue;
    }
    SetSocketOptions(socket);
    Connection::Start(core_, std::move(socket));
  }
}

void Server::RunThread() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& exception) {
      LogWarning("a callback of the server failed: {}", exception.what());
    }
  }
}

std::string Server::url() const {
  const asio::ip::address address = endpoint_.address();
  std::string host = address.to_string();
  if (address.is_unspecified()) host = address.is_v6() ? "::1" : "127.0.0.1";  // where a browser can go
  if (address.is_v6()) host = "[" + host + "]";
  return (core_.speaks_tls() ? "https://" : "http://") + host + ":" + std::to_string(port());
}

Status Server::Renew(const ApiKeys& api_keys) {
  if (api_keys.empty() != core_.options.api_keys.empty()) {
    return InvalidArgument("whether API keys are needed cannot change while the server runs");
  }
  TERN_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(core_.options, api_keys));
  core_.Renew(std::move(credentials));
  return OkStatus();
}

/// With stop_mutex_ held.
bool Server::WaitForConnections(std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  if (!core_.stopping.exchange(true)) {
    if (acceptor_) {
      asio::post(acceptor_->get_executor(), [this] {
        error_code ignored;
        acceptor_->close(ignored);
      });
    }
    for (const auto& connection : core_.connections.All()) connection->Stop();
  }
  return core_.connections.WaitUntilEmpty(deadline);
}

bool Server::Drain(std::chrono::milliseconds grace) {
  const std::lock_guard lock(stop_mutex_);
  return WaitForConnections(grace);
}

void Server::Stop(std::chrono::milliseconds grace) {
  const std::lock_guard lock(stop_mutex_);
  if (stopped_) return;
  stopped_ = true;
  if (!WaitForConnections(grace)) {
    for (const auto& connection : core_.connections.All()) connection->Kill();
    if (!core_.connections.WaitUntilEmpty(std::chrono::steady_clock::now() + kLastWait)) {
      LogWarning("some requests did not end when they were told to");
    }
  }
  work_.reset();
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Status Check(const HttpOptions& options) {
  TERN_RETURN_IF_ERROR(CheckAddress(options.address));
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return InvalidArgument("TLS needs both a certificate and its key");
  }
  if (options.threads < 1 || options.max_connections < 1) {
    return InvalidArgument("at least one thread and one connection are needed");
  }
  if (!IsLoopback(options.address) && options.api_keys.empty() && !options.allow_open) {
    return InvalidArgument("listening on " + options.address +
                           " would let everybody on the network use the models: give API keys, or allow it");
  }
  return OkStatus();
}

}  // namespace

Status CheckAddress(const std::string& address) { return ParseAddress(address).status(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, std::vector<Route> routes,
                                                      AccessLog log) {
  TERN_RETURN_IF_ERROR(Check(options));
  TERN_ASSIGN_OR_RETURN(const asio::ip::address address, ParseAddress(options.address));
  TERN_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(options, options.api_keys));
  AllowOpenFiles(options.max_connections);
  auto server = std::make_unique<Server>(options, std::move(routes), std::move(log), std::move(credentials));
  TERN_RETURN_IF_ERROR(server->Listen(address));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace tern::serve
