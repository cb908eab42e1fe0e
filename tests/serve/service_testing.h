// A whole service over a tiny random model, and what clients do with it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/service.h"
#include "tests/infer/infer_testing.h"
#include "tests/serve/http_testing.h"
#include "tests/testing/test_data.h"

namespace tern::testing {

using nlohmann::json;

/// A stream's events, as a client reads them.
struct Events {
  std::vector<json> chunks;
  bool done = false;  ///< [DONE] came, and nothing after it
};

inline Events ParseEvents(const std::string& body) {
  Events events;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_EQ(body.substr(at, 6), "data: ");
    EXPECT_NE(end, std::string::npos);
    EXPECT_FALSE(events.done);
    if (end == std::string::npos) break;
    const std::string data = body.substr(at + 6, end - at - 6);
    if (data == "[DONE]") {
      events.done = true;
    } else {
      events.chunks.push_back(json::parse(data));
    }
    at = end + 2;
  }
  return events;
}

struct ServiceOptions {
  EngineOptions engine = {};
  StateCacheOptions states = {};
  std::vector<std::string> keys = {};
  std::vector<std::string> models = {"tiny"};
};

class Service {
 public:
  using Options = ServiceOptions;

  explicit Service(Options options = {}) {
    const TempDir dir;
    model_ = MakeModel(TinyModel(Generation::kRwkv7), dir);
    std::vector<serve::ModelSource> sources;
    for (const std::string& name : options.models) sources.push_back({name, "/models/" + name + ".pth"});
    const auto load = [model = model_](const std::string&) -> Result<serve::ModelFiles> {
      return serve::ModelFiles{model, MakeByteTokenizer()};
    };
    context_ = std::make_shared<serve::ServiceContext>(
        sources, load, serve::HostOptions{.engine = options.engine, .states = options.states});
    context_->version = "test";
    serve::HttpOptions http;
    http.port = 0;
    http.api_keys = options.keys;
    auto server = serve::HttpServer::Start(http, serve::ServiceRoutes(context_), {});
    EXPECT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
    context_->http_stats = [raw = server_.get()] { return raw->stats(); };
    for (const std::string& name : options.models) {
      const Status loaded = context_->host.Load(name);
      EXPECT_TRUE(loaded.ok()) << loaded.message();
    }
    context_->ready = true;
  }
  ~Service() {
    server_->Stop(std::chrono::milliseconds(0));
    serve::StopService(*context_);
  }

  Client Connect() const { return Client(server_->port()); }
  Answer Raw(const std::string& method, const std::string& path, const std::string& body,
             const std::string& fields = "") const {
    Client client = Connect();
    return client.Ask(method + " " + path +
                      " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
                      "Content-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body);
  }
  /// The JSON of a good answer.
  json Ask(const std::string& method, const std::string& path, const json& body = {},
           const std::string& fields = "") const {
    const Answer answer = Raw(method, path, body.is_null() ? "" : body.dump(), fields);
    EXPECT_EQ(answer.status, 200) << method << " " << path << ": " << answer.body;
    return json::parse(answer.body, nullptr, false);
  }
  json Post(const std::string& path, const json& body, const std::string& fields = "") const {
    return Ask("POST", path, body, fields);
  }
  /// The error of a bad one, with its status as "status".
  json Fail(const std::string& method, const std::string& path, const json& body = {},
            const std::string& fields = "") const {
    const Answer answer = Raw(method, path, body.is_null() ? "" : body.dump(), fields);
    EXPECT_GE(answer.status, 400) << answer.body;
    json error = json::parse(answer.body, nullptr, false).value("error", json::object());
    error["status"] = answer.status;
    return error;
  }
  Events Stream(const std::string& path, json body, const std::string& fields = "") const {
    body["stream"] = true;
    const Answer answer = Raw("POST", path, body.dump(), fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(answer.complete);
    return ParseEvents(answer.body);
  }

  serve::ServiceContext& context() { return *context_; }
  const std::shared_ptr<const Model>& model() const { return model_; }
  uint16_t port() const { return server_->port(); }

 private:
  std::shared_ptr<const Model> model_;
  std::shared_ptr<serve::ServiceContext> context_;
  std::unique_ptr<serve::HttpServer> server_;
};

}  // namespace tern::testing
