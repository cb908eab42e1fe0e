// A server on a free port of the loopback, and clients that write whatever bytes they like.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serve/http.h"

namespace tern::testing {

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool complete = false;  // its body came to its end
};

/// A blocking socket. Waits are bounded by 30 s, which only a broken server needs.
class Client {
 public:
  static constexpr int kLimitMilliseconds = 30'000;

  /// `host`: an IPv4 address in the byte order of this machine.
  explicit Client(uint16_t port, int receive_buffer = 0, uint32_t host = INADDR_LOOPBACK) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(host);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { Close(); }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), in_(std::move(other.in_)) {}
  Client& operator=(Client&&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Ends with a reset.
  void Abort() {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  void HalfClose() const { ::shutdown(fd_, SHUT_WR); }

  /// False when the server takes no more.
  bool Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      pollfd ready = {fd_, POLLOUT, 0};
      if (::poll(&ready, 1, kLimitMilliseconds) <= 0) return false;
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  /// Reads some more; false at the end (or after too long a wait, which is a failure).
  bool More() {
    pollfd ready = {fd_, POLLIN, 0};
    if (::poll(&ready, 1, kLimitMilliseconds) <= 0) {
      ADD_FAILURE() << "the server says nothing and does not close; so far: " << in_.substr(0, 500);
      return false;
    }
    char piece[1 << 14];
    const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
    if (got > 0) in_.append(piece, static_cast<size_t>(got));
    return got > 0;
  }
  /// Everything up to the end of the connection.
  std::string ReadToEnd() {
    while (More()) {
    }
    return std::exchange(in_, {});
  }
  bool WaitForText(std::string_view text) {
    while (in_.find(text) == std::string::npos) {
      if (!More()) return false;
    }
    return true;
  }
  /// True when the server closes without another byte.
  bool IsClosed() {
    while (More()) {
    }
    return in_.empty();
  }

  /// The next answer. `head_only` for answers to HEAD.
  Answer Read(bool head_only = false) {
    Answer answer;
    if (!WaitForText("\r\n\r\n")) return answer;
    const size_t head_end = in_.find("\r\n\r\n");
    ParseHead(in_.substr(0, head_end + 2), &answer);
    in_.erase(0, head_end + 4);
    if (answer.status == 100) return answer;
    if (head_only || answer.status == 204 || answer.status == 304) {
      answer.complete = true;
    } else if (answer.headers.count("transfer-encoding") != 0) {
      answer.complete = ReadChunks(&answer.body);
    } else if (answer.headers.count("content-length") != 0) {
      const size_t length = std::stoul(answer.headers["content-length"]);
      while (in_.size() < length && More()) {
      }
      answer.complete = in_.size() >= length;
      answer.body = in_.substr(0, length);
      in_.erase(0, answer.body.size());
    } else {
      answer.body = ReadToEnd();
      answer.complete = true;
    }
    return answer;
  }
  Answer Ask(std::string_view bytes) {
    Send(bytes);
    return Read();
  }

 private:
  static void ParseHead(const std::string& head, Answer* answer) {
    answer->status = std::atoi(head.substr(head.find(' ') + 1, 3).c_str());
    for (size_t at = head.find("\r\n") + 2; at < head.size();) {
      const size_t end = head.find("\r\n", at), colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      answer->headers[name] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
  }
  bool ReadChunks(std::string* body) {
    for (;;) {
      if (!WaitForText("\r\n")) return false;
      const size_t line = in_.find("\r\n");
      const size_t size = std::strtoul(in_.c_str(), nullptr, 16);
      while (in_.size() < line + 2 + size + 2) {
        if (!More()) return false;
      }
      *body += in_.substr(line + 2, size);
      in_.erase(0, line + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string in_;
};

/// What happens in a server under test, seen from another thread.
class Counter {
 public:
  void Add() { ++count_; }
  int count() const { return count_; }
  /// Waits (30 s at most) until it has been added to so often.
  bool Reaches(int count) const {
    for (int i = 0; i < 15'000 && count_ < count; ++i) ::usleep(2000);
    return count_ >= count;
  }

 private:
  std::atomic<int> count_{0};
};

inline serve::Task<void> Sleep(serve::Exchange& exchange, const std::string& milliseconds) {
  boost::asio::steady_timer timer(exchange.executor(),
                                  std::chrono::milliseconds(std::atoi(milliseconds.c_str())));
  co_await timer.async_wait(boost::asio::use_awaitable);
}

inline serve::Task<void> SendText(serve::Exchange& exchange, std::string text, serve::Headers headers = {}) {
  serve::HttpResponse response;
  response.content_type = "text/plain";
  response.body = std::move(text);
  response.headers = std::move(headers);
  (void)co_await exchange.Send(std::move(response));
}

/// A server with a few simple handlers.
class TestServer {
 public:
  explicit TestServer(serve::HttpOptions options = {}) {
    options.port = 0;
    auto server = serve::HttpServer::Start(options, Routes(), [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      log_.emplace_back(line);
    });
    EXPECT_TRUE(server.ok()) << server.status().message();
    if (!server.ok()) std::exit(1);
    server_ = std::move(*server);
  }

  serve::HttpServer& operator*() const { return *server_; }
  serve::HttpServer* operator->() const { return server_.get(); }
  Client Connect(int receive_buffer = 0) const { return Client(server_->port(), receive_buffer); }
  /// "GET /path HTTP/1.1" with more fields, each ending in \r\n.
  static std::string Get(const std::string& path, const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
  }
  static std::string Post(const std::string& path, const std::string& body, const std::string& fields = "") {
    return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + fields + "\r\n" + body;
  }
  std::vector<std::string> log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }
  /// The log once it has so many lines: they are written after the answer.
  std::vector<std::string> LogOf(size_t lines) const {
    for (int i = 0; i < 15'000 && log().size() < lines; ++i) ::usleep(2000);
    return log();
  }

  Counter waiting, told_gone, ended;  // of /wait and /endless

 private:
  using Exchange = serve::Exchange;
  using Task = serve::Task<void>;
  static Task Hello(Exchange& exchange);
  static Task Public(Exchange& exchange);
  static Task Echo(Exchange& exchange);
  static Task Thing(Exchange& exchange);
  static Task RemoveThing(Exchange& exchange);
  static Task Stream(Exchange& exchange);
  static Task Throw(Exchange& exchange);
  static Task BreakOff(Exchange& exchange);
  Task Soon(Exchange& exchange);
  Task Wait(Exchange& exchange);
  Task WriteWithoutEnd(Exchange& exchange);

  std::vector<serve::Route> Routes() {
    using serve::Access;
    const auto mine = [this](Task (TestServer::*handler)(Exchange&)) {
      return [this, handler](Exchange& exchange) { return (this->*handler)(exchange); };
    };
    return {{"GET", "/hello", Access::kKeyed, Hello},
            {"POST", "/rule", Access::kAdmin, Hello},
            {"GET", "/public", Access::kPublic, Public},
            {"POST", "/echo", Access::kKeyed, Echo},
            {"GET", "/things/{id}/parts/{part}", Access::kKeyed, Thing},
            {"DELETE", "/things/{id}/parts/{part}", Access::kKeyed, RemoveThing},
            {"GET", "/stream/{pieces}", Access::kKeyed, Stream},
            {"GET", "/soon/{milliseconds}", Access::kKeyed, mine(&TestServer::Soon)},
            {"POST", "/wait", Access::kKeyed, mine(&TestServer::Wait)},
            {"GET", "/endless", Access::kKeyed, mine(&TestServer::WriteWithoutEnd)},
            {"GET", "/throws", Access::kKeyed, Throw},
            {"GET", "/silent", Access::kKeyed, [](Exchange&) -> Task { co_return; }},
            {"GET", "/cut", Access::kKeyed, BreakOff}};
  }

  mutable std::mutex mutex_;
  std::vector<std::string> log_;
  std::unique_ptr<serve::HttpServer> server_;
};

inline serve::Task<void> TestServer::Hello(Exchange& exchange) {
  exchange.Log("model", "none");
  co_await SendText(exchange, "hello");
}

inline serve::Task<void> TestServer::Public(Exchange& exchange) {
  co_await SendText(exchange, "owner=" + exchange.request().owner);
}

inline serve::Task<void> TestServer::Echo(Exchange& exchange) {
  co_await SendText(exchange, exchange.request().body);
}

inline serve::Task<void> TestServer::Thing(Exchange& exchange) {
  const serve::HttpRequest& request = exchange.request();
  std::string text = request.captures[0] + "|" + request.captures[1] + "|" + std::string(request.Query("q"));
  serve::Headers headers;
  headers.emplace_back("X-Split", "one\r\nX-Injected: two");
  co_await SendText(exchange, std::move(text), std::move(headers));
}

inline serve::Task<void> TestServer::RemoveThing(Exchange& exchange) {
  serve::HttpResponse response;
  response.status = 204;
  (void)co_await exchange.Send(std::move(response));
}

/// "0;1;2;…", a number a piece.
inline serve::Task<void> TestServer::Stream(Exchange& exchange) {
  const int pieces = std::atoi(exchange.request().captures[0].c_str());
  serve::HttpResponse head;
  head.content_type = "text/plain";
  (void)co_await exchange.Begin(std::move(head));
  for (int i = 0; i < pieces; ++i) {
    const std::string piece = std::to_string(i) + ";";
    (void)co_await exchange.Write(piece);
  }
  (void)co_await exchange.End();
}

inline serve::Task<void> TestServer::Throw(Exchange& exchange) {
  co_await Sleep(exchange, "1");
  throw std::runtime_error("deliberate");
}

inline serve::Task<void> TestServer::BreakOff(Exchange& exchange) {
  serve::HttpResponse head;
  (void)co_await exchange.Begin(std::move(head));
  (void)co_await exchange.Write("half");
  throw std::runtime_error("deliberate");
}

inline serve::Task<void> TestServer::Soon(Exchange& exchange) {
  waiting.Add();
  co_await Sleep(exchange, exchange.request().captures[0]);
  co_await SendText(exchange, "done");
  ended.Add();
}

/// Waits until its client has gone, and never answers.
inline serve::Task<void> TestServer::Wait(Exchange& exchange) {
  boost::asio::steady_timer timer(exchange.executor(), std::chrono::hours(1));
  exchange.OnGone([&] {
    told_gone.Add();
    timer.cancel();
  });
  waiting.Add();
  boost::system::error_code ignored;
  co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  ended.Add();
}

inline serve::Task<void> TestServer::WriteWithoutEnd(Exchange& exchange) {
  exchange.OnGone([this] { told_gone.Add(); });
  const std::string piece(64 << 10, 'x');
  serve::HttpResponse head;
  Status status = co_await exchange.Begin(std::move(head));
  waiting.Add();
  while (status.ok()) status = co_await exchange.Write(piece);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  ended.Add();
}

}  // namespace tern::testing
