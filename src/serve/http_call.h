// One request and its answer: what a handler is given, and what the log tells of it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http.h"
#include "serve/http_connection.h"
#include "serve/http_request.h"

namespace tern::serve {

class HttpCall final : public Exchange {
 public:
  /// Both outlive it.
  HttpCall(Connection& connection, ParsedRequest& parsed);
  ~HttpCall() override;
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  const HttpRequest& request() const override { return parsed_.request; }
  boost::asio::any_io_executor executor() const override { return connection_.executor_; }
  Task<Status> Send(HttpResponse response) override;
  Task<Status> Begin(HttpResponse head) override;
  Task<Status> Write(std::string_view piece) override;
  Task<Status> End() override;
  void OnGone(std::function<void()> on_gone) override;
  bool gone() const override { return gone_; }
  void Log(std::string_view name, std::string value) override {
    fields_.emplace_back(name, std::move(value));
  }

  ParsedRequest& parsed() { return parsed_; }
  /// The head is sound: gives the request its id.
  void Identify();
  void set_route(std::string_view pattern) { route_ = pattern; }
  /// The connection ends with this answer.
  void CloseAfterwards() { close_ = true; }
  /// Answers with an error. `allow`: the methods that the path has, for 405.
  Task<void> Refuse(ApiError error, std::string allow = {});

  bool begun() const { return state_ != State::kFresh; }
  bool complete() const { return state_ == State::kDone; }
  /// The connection can take another request.
  bool reusable() const { return complete() && keep_alive_; }
  void TellGone();
  /// The handler has returned, and with it perhaps what its listener would touch.
  void ForgetListener() { on_gone_ = nullptr; }
  /// As JSON, without texts.
  std::string LogLine() const;

 private:
  enum class State { kFresh, kPieces, kSending, kDone };
  std::string Head(HttpResponse* response, bool whole);
  Task<Status> Put(std::string_view bytes);

  Connection& connection_;
  ParsedRequest& parsed_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::string route_;
  std::function<void()> on_gone_;
  std::vector<std::pair<std::string, std::string>> fields_;
  State state_ = State::kFresh;
  bool gone_, close_ = false, keep_alive_ = false, chunked_ = false, bodiless_ = false;
  int status_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tern::serve
