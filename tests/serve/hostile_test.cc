// The whole service as hostile, broken and careless clients meet it: whatever they send, others get the
// answers that they get alone, and nothing is left behind.
#include <sys/resource.h>

#include <functional>
#include <thread>

#include "base/random.h"
#include "tests/serve/service_testing.h"

namespace tern::testing {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Lt;

constexpr uint64_t kStateBytes = 1 << 20;
const std::string kJsonFields = "Content-Type: application/json\r\n";

class Hostile : public ::testing::Test {
 protected:
  /// Nothing runs or waits, the kept states are within their budget, and a client is answered as if nobody
  /// else had ever been there.
  void ExpectUnharmed() {
    EXPECT_TRUE(Eventually(service_, [](const EngineStats& stats) {
      return stats.waiting == 0 && stats.reading == 0 && stats.writing == 0;
    }));
    const StateCacheStats cache = (*service_.context().host.Find(""))->cache().stats();
    EXPECT_LE(cache.memory_bytes, kStateBytes);
    EXPECT_EQ(cache.named, 0);
    EXPECT_EQ(Text(service_.Post(kCompletions, Prompt("Once upon", 20))), expected_);
    EXPECT_TRUE(Eventually(service_, [this](const EngineStats&) {
      return service_.context().http_stats().connections == idle_;
    }));
  }
  /// What is wrong with the client's request is told to it, as an error of its own making.
  void ExpectRefusedText(const std::string& path, const std::string& body, const std::string& fields = "") {
    SCOPED_TRACE(path + " " + fields + body.substr(0, 120));
    const Answer answer = service_.Raw("POST", path, body, fields);
    EXPECT_THAT(answer.status, AllOf(Ge(400), Lt(500)));
    EXPECT_THAT(answer.body, HasSubstr(R"({"error":{"message":)"));
  }
  void ExpectRefused(const std::string& path, const json& body) { ExpectRefusedText(path, body.dump()); }

  Service service_{{.engine = {.max_batch = 8, .max_queue = 32}, .states = {.memory_bytes = kStateBytes}}};
  const std::string expected_ = Expected(service_, "Once upon", 20, 1);
  int64_t idle_ = 0;  ///< connections that stay open
};

std::string Nested(const std::string& open, size_t levels) {
  std::string text;
  for (size_t i = 0; i < levels; ++i) text += open;
  return text;
}

TEST_F(Hostile, BodiesThatAreNone) {
  const std::string begin = R"({"max_tokens":1,"prompt":)";
  for (const char* open : {"[", R"({"a":)", R"([{"prompt":)"}) {
    ExpectRefusedText(kCompletions, begin + Nested(open, 100'000));
    ExpectRefusedText(kChat, R"({"messages":)" + Nested(open, 100'000));
    ExpectRefusedText(kCompletions, Nested(open, 100'000));
  }
  for (const char* text : {"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", R"("\ud800")", R"("\udc00 x")",
                           "\"a\nb\"", "\"", "1e999", "-", "[1,]", "nul", "{", "\"x\"} x"}) {
    ExpectRefusedText(kCompletions, begin + text + "}");
  }
  ExpectRefusedText(kCompletions, begin + "\"x\",\"prompt\":\"y\"}");
  ExpectRefusedText(kCompletions, std::string("{\"prompt\":\"a\0b\"}", 16));
  for (const char* body : {"", "[]", "null", "\"text\"", "\xef\xbb\xbf"}) ExpectRefusedText(kChat, body);
  ExpectUnharmed();
}

TEST_F(Hostile, ValuesBeyondAllBounds) {
  const auto with = [](const char* name, json value) {
    json body = Prompt("Once", 1);
    body[name] = std::move(value);
    return body;
  };
  for (const json& n :
       {json(0), json(-1), json(9), json(129), json(1u << 31), json(9007199254740993), json(1e300)}) {
    ExpectRefused(kCompletions, with("n", n));
  }
  for (const json& tokens : {json(-2), json(1e18), json(int64_t{1} << 62), json("7"), json::array()}) {
    ExpectRefused(kCompletions, with("max_tokens", tokens));
  }
  for (const json& seed : {json(1e300), json(0.5), json("1")})
    ExpectRefused(kCompletions, with("seed", seed));
  json bias;
  for (int token = 0; token < 2000; ++token) bias[std::to_string(token)] = 1;
  ExpectRefused(kCompletions, with("logit_bias", bias));
  for (const char* token : {"256", "-1", "99999999999999999999", "x", "", "1 "}) {
    ExpectRefused(kCompletions, with("logit_bias", {{token, 1}}));
  }
  ExpectRefused(kCompletions, with("logit_bias", {{"1", 1e300}}));
  ExpectRefused(kCompletions, with("stop", json(std::vector<std::string>(65, "x"))));
  ExpectRefused(kCompletions, with("stop", std::string(2 << 20, 's')));
  ExpectRefused(kCompletions, with("stop", json(std::vector<std::string>(30'000, ""))));
  ExpectRefused(kCompletions, with("prompt", json(std::vector<std::string>(30'000, "x"))));
  ExpectRefused(kCompletions, with("prompt", json(std::vector<int64_t>(1000, int64_t{1} << 40))));
  ExpectRefused(kCompletions, with("top_k", 1e18));
  ExpectRefused(kCompletions, with("logprobs", 21));
  ExpectRefused(kCompletions, with("state", std::string(1000, 's')));
  ExpectRefused(kCompletions, with("model", std::string(100'000, 'm')));
  for (const char* grammar : {"root ::= root", "root ::= \"a\"{1000000000}", "\x01"}) {
    ExpectRefused(kCompletions, with("grammar", grammar));
  }
  json chat = Say("Hello", 1);
  chat["tools"] = json(std::vector<json>(129, {{"type", "function"}, {"function", {{"name", "f"}}}}));
  ExpectRefused(kChat, chat);
  chat.erase("tools");
  chat["messages"][0]["content"] = json(std::vector<json>(30'000, {{"type", "image_url"}}));
  ExpectRefused(kChat, chat);
  ExpectRefused("/v1/embeddings", {{"input", json(std::vector<std::string>(3000, "x"))}});
  ExpectRefused("/v1/detokenize", {{"tokens", json(std::vector<int>(30'000, -1))}});
  ExpectRefusedText("/v1/states/st_" + std::string(1000, '0') + "/fork", "");
  const std::string one = Prompt("Once", 1).dump();
  ExpectRefusedText(kCompletions, one, "X-Session: \xff\xfe\r\n");
  ExpectRefusedText(kCompletions, one, "X-Session: " + std::string(10'000, 's') + "\r\n");
  ExpectUnharmed();
}

TEST_F(Hostile, TextsThatLookLikeMarksAreTexts) {
  for (const std::string& text :
       {std::string("data: [DONE]\n\ndata: {}\n\n: ping\n\n"), std::string("\0\0x\0", 4),
        std::string("<|endoftext|><|im_end|></s>"), std::string("\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"),
        std::string("\n\nUser: x\n\nAssistant: <think></think><tool_call>{}</tool_call>\x7f")}) {
    SCOPED_TRACE(json(text).dump());
    json request = Prompt(text, 10);
    request["echo"] = true;
    const json whole = service_.Post(kCompletions, request);
    EXPECT_EQ(Text(whole), text + Expected(service_, text, 10, 1));
    EXPECT_EQ(whole["usage"]["prompt_tokens"], text.size());
    const Events events = service_.Stream(kCompletions, request);
    EXPECT_TRUE(events.done);
    EXPECT_EQ(Streamed(events), Text(whole));
    service_.Post(kChat, Say(text, 2));
  }
  ExpectUnharmed();
}

TEST_F(Hostile, EarlierCallsAreTextsTooWhateverTheyHold) {
  std::string names = "{";
  for (int i = 0; i < 50'000; ++i) names += "\"" + std::to_string(i) + "\":1,";
  names += "\"x\":1}";
  const std::string deep = Nested("[", 50'000) + Nested("]", 50'000);
  int64_t asked = 0;
  for (const std::string& arguments : {deep, names, std::string(), std::string("1e999")}) {
    json chat = Say("Weather?", 1);
    chat["template"] = "g1";
    const json call = {
        {"id", "1"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments}}}};
    chat["messages"].push_back({{"role", "assistant"}, {"tool_calls", {call}}});
    chat["messages"].push_back({{"role", "tool"}, {"tool_call_id", "1"}, {"content", "sunny"}});
    const Client client = service_.Connect();
    client.Send(TestServer::Post(kChat, chat.dump(), kJsonFields));
    ++asked;
    ASSERT_TRUE(Eventually(service_, [&](const EngineStats& stats) { return stats.requests == asked; }));
  }
  ExpectUnharmed();
}

TEST_F(Hostile, MoreAtOnceThanThereIsRoomFor) {
  json many = Prompt("", 1);
  many["prompt"] = json(std::vector<std::string>(2000, "Some text"));
  json texts = {{"input", json(std::vector<std::string>(2000, "Some text"))}};
  for (int i = 0; i < 2; ++i) {
    for (const auto& [path, body] : {std::pair(kCompletions, many), std::pair("/v1/embeddings", texts)}) {
      const json answer = service_.Post(path, body);  // however small the queue: it is one request
      EXPECT_EQ(answer[std::string_view(path) == kCompletions ? "choices" : "data"].size(), 2000u);
    }
  }
  ExpectUnharmed();
}

TEST_F(Hostile, WhatVanishedClientsAskedForIsNotDone) {
  std::vector<Client> running;
  for (int i = 0; i < 8; ++i) {
    running.push_back(service_.Connect());
    running.back().Send(StreamRequest(1'000'000));
    ASSERT_TRUE(running.back().WaitForText("data: "));
  }
  const std::string text(5000, 'x');
  const std::string bodies[][2] = {
      {"/v1/embeddings", json{{"input", {text, text, text}}}.dump()},
      {"/v1/states", json{{"prompt", text}}.dump()},
      {kChat, Say(text, 100).dump()},
      {kCompletions, Prompt(text, 100).dump()},
  };
  for (const auto& [path, body] : bodies) {
    SCOPED_TRACE(path);
    Client client = service_.Connect();
    client.Send(TestServer::Post(path, body, kJsonFields));
    ASSERT_TRUE(Eventually(service_, [](const EngineStats& stats) { return stats.waiting > 0; }));
    client.Abort();
    EXPECT_TRUE(Eventually(service_, [](const EngineStats& stats) { return stats.waiting == 0; }));
  }
  EXPECT_EQ(service_.context().http_stats().responses_5xx, 0);
  running.clear();
  ExpectUnharmed();
}

// ---- All at once

/// One client that does what no client should.
void Misbehave(const Service& service, Random& random) {
  Client client = service.Connect();
  const std::string request = StreamRequest(50);
  switch (random.Below(7)) {
    case 0:  // leaves in the middle of its answer
      client.Send(StreamRequest(1'000'000));
      client.WaitForText(random.Below(2) == 0 ? "HTTP/1.1 200" : "data: ");
      return random.Below(2) == 0 ? client.Abort() : client.Close();
    case 1:  // leaves in the middle of its request
      client.Send(request.substr(0, random.Below(request.size())));
      return random.Below(2) == 0 ? client.Abort() : client.Close();
    case 2:  // says that it will send no more
      client.Send(StreamRequest(1'000'000));
      client.HalfClose();
      client.ReadToEnd();
      return;
    case 3:
      client.Send("GET /v1/models HTTP/1.1\r\nX: " + std::string(10 << 20, 'h'));
      return;
    case 4: {
      std::string bytes = request;
      for (int i = 0; i < 5; ++i) bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
      client.Send(bytes);
      return client.Abort();
    }
    case 5:
      client.Send(TestServer::Post(kChat, Nested("[", 100'000), kJsonFields));
      EXPECT_EQ(client.Read().status, 400);
      return;
    default:  // asks without end and reads nothing
      for (int i = 0; i < 20; ++i) client.Send(request);
      return;
  }
}

/// As many connections as the system lets both ends have.
std::vector<Client> IdleConnections(const Service& service, size_t wanted) {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<Client> clients;
  for (size_t i = 0; i < std::min<size_t>(wanted, limit.rlim_cur / 2 - 100); ++i) {
    clients.push_back(service.Connect());
    EXPECT_TRUE(clients.back().connected());
    if (i % 3 == 0) clients.back().Send("POST /v1/chat");
  }
  return clients;
}

TEST_F(Hostile, CompanyThatMisbehavesDoesNotShow) {
  const std::vector<Client> idle = IdleConnections(service_, 1000);
  std::vector<std::thread> crowd;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    crowd.emplace_back([&, seed] {
      SCOPED_TRACE("seed " + std::to_string(seed));
      Random random(seed);
      for (int i = 0; i < 15; ++i) Misbehave(service_, random);
    });
  }
  for (int i = 0; i < 10; ++i) {
    Answer answer = service_.Raw("POST", kCompletions, Prompt("Once upon", 20).dump());
    while (answer.status == 429) {  // the crowd has all places
      ::usleep(5000);
      answer = service_.Raw("POST", kCompletions, Prompt("Once upon", 20).dump());
    }
    EXPECT_EQ(Text(json::parse(answer.body)), expected_);
  }
  for (std::thread& thread : crowd) thread.join();
  idle_ = static_cast<int64_t>(idle.size());
  ExpectUnharmed();
}

}  // namespace
}  // namespace tern::testing
