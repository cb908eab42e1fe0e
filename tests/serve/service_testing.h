// A whole service over a tiny random model, and what clients do with it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
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
    EXPECT_NE(end, std::string::npos);
    EXPECT_FALSE(events.done);
    if (end == std::string::npos) break;
    if (body[at] == ':') {  // a comment
      at = end + 2;
      continue;
    }
    EXPECT_EQ(body.substr(at, 6), "data: ");
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
  serve::StateOpener open_states = StateCache::Open;
  std::vector<std::string> keys = {}, admin_keys = {};
  std::vector<std::string> models = {"tiny"};
  std::chrono::milliseconds longest_silence{10'000};
  serve::AccessLog log = {};
  std::function<Status()> before_load = [] { return OkStatus(); };
  std::shared_ptr<const Tokenizer> tokenizer = MakeByteTokenizer();
};

class Service {
 public:
  using Options = ServiceOptions;

  explicit Service(Options options = {}) {
    const TempDir dir;
    model_ = MakeModel(TinyModel(Generation::kRwkv7), dir);
    std::vector<serve::ModelSource> sources;
    for (const std::string& name : options.models) sources.push_back({name, "/models/" + name + ".pth", {}});
    const auto load = [model = model_, tokenizer = options.tokenizer,
                       before = options.before_load](const serve::ModelSource&) -> Result<serve::ModelFiles> {
      TERN_RETURN_IF_ERROR(before());
      return serve::ModelFiles{model, tokenizer};
    };
    context_ = std::make_shared<serve::ServiceContext>(
        sources, load,
        serve::HostOptions{
            .engine = options.engine, .states = options.states, .open_states = options.open_states});
    context_->version = "test";
    context_->longest_silence = options.longest_silence;
    serve::HttpOptions http;
    http.port = 0;
    http.api_keys = {.users = options.keys, .admins = options.admin_keys};
    auto server = serve::HttpServer::Start(http, serve::ServiceRoutes(context_), options.log);
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

inline const char* const kChat = "/v1/chat/completions";
inline const char* const kCompletions = "/v1/completions";

/// ASCII only: bytes beyond would be cut and replaced in JSON, and texts could not be compared.
inline json AsciiBias() {
  json bias;
  for (int token = 128; token < 256; ++token) bias[std::to_string(token)] = -100;
  return bias;
}

inline json Prompt(const std::string& text, int tokens, uint64_t seed = 1) {
  return {{"prompt", text}, {"max_tokens", tokens}, {"seed", seed}, {"logit_bias", AsciiBias()}};
}
inline json Say(const std::string& text, int tokens, uint64_t seed = 1) {
  return {{"messages", {{{"role", "user"}, {"content", text}}}},
          {"max_tokens", tokens},
          {"seed", seed},
          {"logit_bias", AsciiBias()}};
}

/// What the model writes after a text, by the plain loop of one session.
inline std::string Expected(const Service& service, const std::string& prompt, int tokens, uint64_t seed) {
  const auto tokenizer = MakeByteTokenizer();
  Session session(service.model());
  EXPECT_TRUE(session.Feed(tokenizer->Encode(prompt)).ok());
  SamplingOptions sampling{.top_p = 1, .presence = 0, .frequency = 0, .penalty_decay = 1, .seed = seed};
  for (const int32_t token : BytesBeyondAscii()) sampling.logit_bias[token] = -100;
  Sampler sampler(sampling, tokenizer.get());
  return RunGenerate(session, sampler, *tokenizer, {.max_tokens = tokens}).text;
}

inline std::string Content(const json& answer) { return answer["choices"][0]["message"]["content"]; }
inline std::string Text(const json& answer) { return answer["choices"][0]["text"]; }

/// The deltas' contents of one choice, joined.
inline std::string Streamed(const Events& events, int index = 0) {
  std::string text;
  for (const json& chunk : events.chunks) {
    for (json choice : chunk["choices"]) {
      if (choice["index"] != index) continue;
      const json& piece = choice.contains("text") ? choice["text"] : choice["delta"]["content"];
      if (piece.is_string()) text += piece.get<std::string>();
    }
  }
  return text;
}

/// Waits (30 s at most) until the engine's figures are as wanted.
template <typename Check>
bool Eventually(Service& service, Check check) {
  const auto model = *service.context().host.Find("");
  for (int i = 0; i < 15'000; ++i) {
    if (check(model->engine().stats())) return true;
    ::usleep(2000);
  }
  return false;
}

inline std::string StreamRequest(int tokens) {
  json body = Prompt("Once", tokens);
  body["stream"] = true;
  return TestServer::Post("/v1/completions", body.dump(), "Content-Type: application/json\r\n");
}

}  // namespace tern::testing
