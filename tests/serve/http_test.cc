// The server as well-behaved clients meet it.
#include <gmock/gmock.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "tests/serve/http_testing.h"

namespace tern::serve {
namespace {

using std::chrono::milliseconds;
using testing::Answer;
using testing::Client;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestServer;

std::string ErrorCode(const Answer& answer) {
  const auto json = nlohmann::json::parse(answer.body, nullptr, false);
  if (!json.contains("error") || !json["error"].contains("message") || !json["error"].contains("type"))
    return "?";
  return json["error"]["code"].is_string() ? json["error"]["code"].get<std::string>() : "";
}

TEST(Http, AnswersSeveralRequestsOnOneConnection) {
  TestServer server;
  Client client = server.Connect();
  for (int i = 0; i < 3; ++i) {
    const Answer answer = client.Ask(TestServer::Get("/hello"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.headers.at("content-type"), "text/plain");
    EXPECT_EQ(answer.headers.at("connection"), "keep-alive");
    EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff");
    EXPECT_THAT(answer.headers.at("x-request-id"), HasSubstr("req_"));
    EXPECT_THAT(answer.headers.at("date"), ::testing::EndsWith(" GMT"));
  }
  EXPECT_EQ(server->stats().connections_total, 1);
  EXPECT_EQ(server->stats().responses_2xx, 3);
}

TEST(Http, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  Client client = server.Connect();
  client.Send(TestServer::Get("/soon/30") + TestServer::Post("/echo", "second") +
              TestServer::Get("/stream/3") + TestServer::Get("/nothing") + TestServer::Get("/hello"));
  EXPECT_EQ(client.Read().body, "done");
  EXPECT_EQ(client.Read().body, "second");
  EXPECT_EQ(client.Read().body, "0;1;2;");
  EXPECT_EQ(client.Read().status, 404);
  EXPECT_EQ(client.Read().body, "hello");
}

TEST(Http, ClosesWhenAsked) {
  TestServer server;
  Client client = server.Connect();
  const Answer answer = client.Ask(TestServer::Get("/hello", "Connection: close\r\n"));
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client.IsClosed());
}

TEST(Http, SpeaksTheOldVersion) {
  TestServer server;
  Client once = server.Connect();
  EXPECT_EQ(once.Ask("GET /hello HTTP/1.0\r\n\r\n").body, "hello");
  EXPECT_TRUE(once.IsClosed());

  Client kept = server.Connect();
  EXPECT_EQ(kept.Ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").headers.at("connection"),
            "keep-alive");
  // It knows no chunks: the end of the connection ends the body.
  const Answer stream = kept.Ask("GET /stream/3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(stream.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(stream.body, "0;1;2;");
}

TEST(Http, AnswersHeadLikeGetWithoutTheBody) {
  TestServer server;
  Client client = server.Connect();
  client.Send("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Answer whole = client.Read(true);
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.headers.at("content-length"), "5");
  client.Send("HEAD /stream/9 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.Read(true).status, 200);
  EXPECT_EQ(client.Ask(TestServer::Get("/hello")).body, "hello");
}

TEST(Http, ReadsChunkedBodies) {
  TestServer server;
  Client client = server.Connect();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(client.Ask(head + "5\r\nhello\r\n6;note=x\r\n world\r\n0\r\nX-After: 1\r\n\r\n").body,
            "hello world");
  EXPECT_EQ(client.Ask(head + "0\r\n\r\n").body, "");
  for (const char* body : {"3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\nX-After: 1\r\n\r\n"}) {
    for (const char c : head + body) client.Send({&c, 1});
    EXPECT_EQ(client.Read().body, body[0] == '3' ? "abc" : "");
  }
  EXPECT_EQ(client.Ask(TestServer::Get("/hello")).body, "hello");
}

TEST(Http, TakesLargeBodiesBothWays) {
  TestServer server;
  Client client = server.Connect();
  std::string body(3 << 20, 'a');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('b' + i % 20);
  EXPECT_TRUE(client.Ask(TestServer::Post("/echo", body)).body == body);
  EXPECT_EQ(client.Ask(TestServer::Get("/hello")).body, "hello");
}

TEST(Http, InvitesBodiesThatWaitForIt) {
  TestServer server;
  Client client = server.Connect();
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_EQ(client.Ask(head).status, 100);
  EXPECT_EQ(client.Ask("abc").body, "abc");
  // A refusal comes instead of the invitation.
  EXPECT_EQ(client.Ask("POST /nothing" + head.substr(10)).status, 404);
  EXPECT_TRUE(client.IsClosed());
}

TEST(Http, HandsOverPathQueryAndCaptures) {
  TestServer server;
  Client client = server.Connect();
  EXPECT_EQ(client.Ask(TestServer::Get("/things/a%2Fb/parts/%C3%A9t%C3%A9?x=1&q=one+two%26&q=3")).body,
            "a/b|\u00e9t\u00e9|one two&");
  EXPECT_EQ(client.Ask(TestServer::Get("http://localhost/things/1/parts/2?q=x")).body, "1|2|x");
  EXPECT_EQ(client.Ask(TestServer::Get("/things//parts/2")).status, 404);
  EXPECT_EQ(client.Ask(TestServer::Get("HTTP://localhost?q=x")).status, 404);  // the root, which has no route
  const Answer split = client.Ask(TestServer::Get("/things/1/parts/2"));
  EXPECT_EQ(split.headers.at("x-split"), "one  X-Injected: two");
  EXPECT_EQ(split.headers.count("x-injected"), 0u);
}

TEST(Http, SlashesThatAreDoubledOrLastChangeNothing) {
  TestServer server;
  Client client = server.Connect();
  for (const char* path : {"/hello/", "//hello", "///hello//", "/hello/?x=1"})
    EXPECT_EQ(client.Ask(TestServer::Get(path)).status, 200) << path;
  EXPECT_EQ(client.Ask(TestServer::Get("/things/1//parts//2/?q=x")).body, "1|2|x");
  // An encoded slash is part of a name.
  EXPECT_EQ(client.Ask(TestServer::Get("/hello%2F")).status, 404);
}

TEST(Http, RefusesEncodedBodies) {
  TestServer server;
  for (const char* encoding : {"gzip", "br", "deflate", "zstd", "gzip, identity", "x"}) {
    Client client = server.Connect();
    const std::string field = "Content-Encoding: " + std::string(encoding) + "\r\n";
    const Answer answer = client.Ask(TestServer::Post("/echo", "\x1f\x8b\x08", field));
    EXPECT_EQ(answer.status, 415) << encoding;
    EXPECT_THAT(answer.body, HasSubstr("Content-Encoding"));
  }
  EXPECT_EQ(server.Connect().Ask(TestServer::Post("/echo", "abc", "Content-Encoding: Identity\r\n")).body,
            "abc");
}

TEST(Http, SaysWhatIsNotThereAndWhatIs) {
  TestServer server;
  Client client = server.Connect();
  const Answer missing = client.Ask(TestServer::Get("/nothing"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(ErrorCode(missing), "not_found");
  const Answer method =
      client.Ask("PUT /things/1/parts/2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.headers.at("allow"), "GET, HEAD, DELETE, OPTIONS");
  EXPECT_EQ(client.Ask("DELETE /things/1/parts/2 HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204);
  const Answer options = client.Ask("OPTIONS /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(client.Ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204);
}

TEST(Http, KeepsSaneRequestIdsAndReplacesOthers) {
  TestServer server;
  Client client = server.Connect();
  EXPECT_EQ(client.Ask(TestServer::Get("/hello", "X-Request-Id: my-id.7\r\n")).headers.at("x-request-id"),
            "my-id.7");
  EXPECT_THAT(client.Ask(TestServer::Get("/hello", "X-Request-Id: <b>\r\n")).headers.at("x-request-id"),
              HasSubstr("req_"));
  EXPECT_NE(client.Ask(TestServer::Get("/hello")).headers.at("x-request-id"),
            client.Ask(TestServer::Get("/hello")).headers.at("x-request-id"));
}

TEST(Http, SurvivesHandlersThatFail) {
  TestServer server;
  Client client = server.Connect();
  const Answer thrown = client.Ask(TestServer::Get("/throws"));
  EXPECT_EQ(thrown.status, 500);
  EXPECT_EQ(ErrorCode(thrown), "internal_error");
  EXPECT_THAT(thrown.body, Not(HasSubstr("deliberate")));
  EXPECT_EQ(client.Ask(TestServer::Get("/silent")).status, 500);
  const Answer cut = client.Ask(TestServer::Get("/cut"));
  EXPECT_EQ(cut.body, "half");
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(server->stats().responses_5xx, 2);
}

TEST(Http, SeveralThreadsServeManyClients) {
  HttpOptions options;
  options.threads = 3;
  TestServer server(options);
  std::string numbers;
  for (int i = 0; i < 50; ++i) numbers += std::to_string(i) + ";";
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      Client client = server.Connect();
      for (int i = 0; i < 40; ++i) {
        const std::string text = std::to_string(c) + "-" + std::to_string(i);
        EXPECT_EQ(client.Ask(TestServer::Post("/echo", text)).body, text);
        EXPECT_EQ(client.Ask(TestServer::Get("/stream/50")).body, numbers);
        if (i % 10 == 0) server.Connect().Send(TestServer::Get("/stream/50"));  // and leaves
      }
    });
  }
  for (std::thread& client : clients) client.join();
  server->Stop(milliseconds(10'000));
  EXPECT_EQ(server->stats().connections, 0);
}

TEST(Http, WritesALineForEachAnswer) {
  TestServer server;
  Client client = server.Connect();
  client.Ask(TestServer::Get("/hello?secret=1", "X-Request-Id: abc\r\n"));
  client.Ask(TestServer::Post("/echo", "private text"));
  const auto log = server.LogOf(2);
  ASSERT_EQ(log.size(), 2u);
  const auto line = nlohmann::json::parse(log[0]);
  EXPECT_EQ(line["id"], "abc");
  EXPECT_EQ(line["method"], "GET");
  EXPECT_EQ(line["path"], "/hello");
  EXPECT_EQ(line["route"], "/hello");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["model"], "none");
  EXPECT_EQ(line["remote"], "127.0.0.1");
  EXPECT_GT(line["bytes"].get<int>(), 5);
  EXPECT_GE(line["ms"].get<double>(), 0.0);
  EXPECT_FALSE(line.contains("incomplete"));
  EXPECT_THAT(log[0] + log[1], Not(::testing::AnyOf(HasSubstr("secret"), HasSubstr("private"))));
}

TEST(HttpKeys, AreNeededExceptForPublicRoutes) {
  HttpOptions options;
  options.api_keys.users = {"first-key-1", "second-key-2"};
  TestServer server(options);
  Client client = server.Connect();
  const auto ask = [&](const std::string& path, const std::string& authorization) {
    return client.Ask(TestServer::Get(path, authorization));
  };
  EXPECT_EQ(ask("/public", "").body, "owner=");
  for (const char* wrong : {"", "Authorization: Bearer\r\n", "Authorization: Bearer first-key-\r\n",
                            "Authorization: Bearer first-key-11\r\n", "Authorization: Basic first-key-1\r\n",
                            "Authorization: first-key-1\r\n"}) {
    const Answer answer = ask("/hello", wrong);
    EXPECT_EQ(answer.status, 401) << wrong;
    EXPECT_EQ(ErrorCode(answer), "invalid_api_key");
    EXPECT_EQ(answer.headers.at("www-authenticate"), "Bearer");
  }
  EXPECT_EQ(server->stats().unauthorized, 6);
  EXPECT_EQ(ask("/hello", "authorization: bearer second-key-2\r\n").status, 200);

  const std::string first = ask("/public", "Authorization: Bearer first-key-1\r\n").body;
  const std::string second = ask("/public", "Authorization: Bearer second-key-2\r\n").body;
  EXPECT_EQ(first.size(), std::string("owner=").size() + 16);
  EXPECT_NE(first, second);
  // Names of hosts don't matter where a key does: it may stand behind a proxy.
  EXPECT_EQ(
      client.Ask("GET /hello HTTP/1.1\r\nHost: any.example\r\nAuthorization: Bearer first-key-1\r\n\r\n")
          .status,
      200);
}

/// An address of this machine that is not the loopback's, in its own byte order; 0 where there is none.
uint32_t OwnAddress() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return 0;
  uint32_t found = 0;
  for (const ifaddrs* one = all; one != nullptr && found == 0; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    if ((one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0) continue;
    found = ntohl(reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr);
  }
  ::freeifaddrs(all);
  return found;
}

TEST(HttpKeys, WithoutKeysOnlyClientsOfTheLoopbackAreAdmins) {
  const uint32_t own = OwnAddress();
  if (own == 0) GTEST_SKIP() << "this machine has no address but the loopback's";
  HttpOptions options;
  options.address = "0.0.0.0";
  options.allow_open = true;
  TestServer server(options);
  EXPECT_EQ(server.Connect().Ask(TestServer::Post("/rule", "")).status, 200);
  Client beyond(server->port(), /*receive_buffer=*/0, own);
  ASSERT_TRUE(beyond.connected());
  EXPECT_EQ(beyond.Ask(TestServer::Get("/hello")).status, 200);
  const Answer refused = beyond.Ask(TestServer::Post("/rule", ""));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(ErrorCode(refused), "admin_key_required");
}

TEST(HttpKeys, AdminsRoutesNeedAnAdminsKey) {
  HttpOptions options;
  options.api_keys = {.users = {"first-key-1"}, .admins = {"second-key-2"}};
  TestServer server(options);
  Client client = server.Connect();
  const auto rule = [&](const std::string& fields) {
    return client.Ask(TestServer::Post("/rule", "", fields)).status;
  };
  EXPECT_EQ(rule(""), 401);
  EXPECT_EQ(rule("Authorization: Bearer no-such-key\r\n"), 401);
  EXPECT_EQ(rule("Authorization: Bearer first-key-1\r\n"), 403);
  EXPECT_EQ(rule("Authorization: Bearer second-key-2\r\n"), 200);
}

TEST(HttpOrigins, OtherPagesCannotUseAServerWithoutKeys) {
  TestServer server;
  Client client = server.Connect();
  const auto hello = [&](const std::string& host) {
    return client.Ask("GET /hello HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status;
  };
  for (const char* own :
       {"localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "x.localhost"}) {
    EXPECT_EQ(hello(own), 200) << own;
  }
  for (const char* other :
       {"evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
        "93.184.216.34", "[2001:db8::1]", "[", "localhost@evil.example"}) {
    EXPECT_EQ(hello(other), 403) << other;
  }
  // The host of an absolute address is checked as well.
  for (const char* other : {"evil.example", "evil.example:8000", "127.0.0.1.evil.example"})
    EXPECT_EQ(client.Ask(TestServer::Get("http://" + std::string(other) + "/hello")).status, 403) << other;
  EXPECT_EQ(client.Ask(TestServer::Get("http://127.0.0.1:8000/hello")).status, 200);
  EXPECT_EQ(client.Ask("GET http://localhost/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
  for (const char* unsound : {"http:///hello", "http://localhost:1@evil.example/hello"})
    EXPECT_EQ(server.Connect().Ask(TestServer::Get(unsound)).status, 400) << unsound;
  const auto post = [&](const std::string& origin) {
    return server.Connect().Ask(TestServer::Post("/echo", "x", "Origin: " + origin + "\r\n")).status;
  };
  EXPECT_EQ(post("http://localhost"), 200);  // the page it serves itself
  EXPECT_EQ(post("http://evil.example"), 403);
  EXPECT_EQ(post("http://localhost:9999"), 403);
  const auto absolute = [&](const std::string& origin) {
    return server.Connect().Ask(
        TestServer::Post("http://127.0.0.1:9/echo", "x", "Origin: " + origin + "\r\n"));
  };
  EXPECT_EQ(absolute("http://127.0.0.1:9").status, 200);
  EXPECT_EQ(absolute("http://localhost").status, 403);  // the Host field's, which does not count then
  EXPECT_EQ(post("null"), 403);
  // Reading is harmless: without CORS the page never sees the answer.
  const Answer read = client.Ask(TestServer::Get("/hello", "Origin: http://evil.example\r\n"));
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read.headers.count("access-control-allow-origin"), 0u);
}

TEST(HttpOrigins, AllowedOnesAndNamesAreLetIn) {
  HttpOptions options;
  options.allowed_origins = {"https://chat.example/"};
  options.allowed_hosts = {"box.lan"};
  TestServer server(options);
  Client client = server.Connect();
  const std::string origin = "Origin: https://chat.example\r\n";
  const Answer answer = client.Ask(TestServer::Post("/echo", "x", origin));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("access-control-allow-origin"), "https://chat.example");
  EXPECT_EQ(answer.headers.at("vary"), "Origin");
  EXPECT_EQ(client.Ask(TestServer::Get("/nothing", origin)).headers.count("access-control-allow-origin"), 1u);
  EXPECT_EQ(client.Ask("GET /hello HTTP/1.1\r\nHost: box.lan:8000\r\n\r\n").status, 200);

  const Answer preflight =
      client.Ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\n" + origin +
                 "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
                 "authorization,x-stainless-os\r\n\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-methods"), "POST, OPTIONS");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization,x-stainless-os");
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "https://chat.example");
  const Answer other = client.Ask(
      "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_EQ(other.headers.count("access-control-allow-methods"), 0u);
  EXPECT_EQ(other.headers.count("access-control-allow-origin"), 0u);
}

TEST(HttpStart, RefusesWhatCannotBeSafeOrCannotBe) {
  const auto failure = [](const HttpOptions& options) {
    const auto server = HttpServer::Start(options, {}, nullptr);
    return server.ok() ? std::string() : server.status().message();
  };
  HttpOptions options;
  options.port = 0;
  options.address = "0.0.0.0";
  EXPECT_THAT(failure(options), HasSubstr("0.0.0.0"));
  options.address = "foo";
  EXPECT_THAT(failure(options), HasSubstr("an IPv4 or IPv6 address is needed"));
  options.address = "0.0.0.0";
  options.allow_open = true;
  EXPECT_EQ(failure(options), "");
  options.allow_open = false;
  options.api_keys.users = {"a-long-key"};
  EXPECT_EQ(failure(options), "");
  options.address = "example.com";
  EXPECT_THAT(failure(options), HasSubstr("example.com"));
  options.address = "::1";
  EXPECT_EQ(failure(options), "");

  TestServer other;
  options.address = "127.0.0.1";
  options.port = other->port();
  EXPECT_THAT(failure(options), HasSubstr(std::to_string(other->port())));
}

TEST(HttpStop, LetsAnswersEndAndClosesIdleConnections) {
  TestServer server;
  Client idle = server.Connect();
  EXPECT_EQ(idle.Ask(TestServer::Get("/hello")).status, 200);
  Client busy = server.Connect();
  busy.Send(TestServer::Get("/soon/1500"));
  ASSERT_TRUE(server.waiting.Reaches(1));
  std::thread stopper([&] { server->Stop(milliseconds(20'000)); });
  EXPECT_TRUE(idle.IsClosed());
  EXPECT_EQ(server.ended.count(), 0);
  const Answer answer = busy.Read();
  EXPECT_EQ(answer.body, "done");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  busy.Close();
  stopper.join();
  EXPECT_FALSE(server.Connect().connected());
  EXPECT_EQ(server->stats().connections, 0);
}

TEST(HttpStop, DrainingLeavesWhatTakesTooLongForLastWords) {
  TestServer server;
  Client client = server.Connect();
  client.Send(TestServer::Get("/soon/1500"));
  ASSERT_TRUE(server.waiting.Reaches(1));
  EXPECT_FALSE(server->Drain(milliseconds(10)));
  server->Stop(milliseconds(20'000));
  EXPECT_EQ(client.Read().body, "done");
  EXPECT_TRUE(server->Drain(milliseconds(0)));
}

TEST(HttpStop, EndsWhatTakesTooLong) {
  TestServer server;
  Client client = server.Connect();
  client.Send(TestServer::Post("/wait", "x"));
  ASSERT_TRUE(server.waiting.Reaches(1));
  server->Stop(milliseconds(50));
  EXPECT_TRUE(server.told_gone.Reaches(1));
  EXPECT_TRUE(server.ended.Reaches(1));
  EXPECT_TRUE(client.IsClosed());
}

}  // namespace
}  // namespace tern::serve
