// The server as hostile, broken and vanishing clients meet it.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "base/random.h"
#include "tests/serve/http_request_attack.h"
#include "tests/serve/http_testing.h"

namespace tern::serve {
namespace {

using std::chrono::milliseconds;
using testing::Answer;
using testing::Client;
using ::testing::HasSubstr;
using testing::TestServer;

void ExpectAlive(TestServer& server) {
  EXPECT_EQ(server.Connect().Ask(TestServer::Get("/hello")).body, "hello");
}

/// What it says to these bytes; the connection must then be closed.
int StatusOf(TestServer& server, const std::string& bytes) {
  Client client = server.Connect();
  const Answer answer = client.Ask(bytes);
  if (answer.status != 0) {
    EXPECT_EQ(answer.headers.at("connection"), "close") << bytes.substr(0, 200);
    EXPECT_THAT(answer.body, HasSubstr("\"error\"")) << bytes.substr(0, 200);
  }
  EXPECT_TRUE(client.IsClosed()) << bytes.substr(0, 200);
  return answer.status;
}

TEST(HttpHostile, BytesThatAreNoRequest) {
  TestServer server;
  EXPECT_EQ(StatusOf(server, "garbage\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(server, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)), 400);  // TLS
  EXPECT_EQ(StatusOf(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf(server, "GET /hello\r\n\r\n"), 400);  // HTTP/0.9
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\nHost: localhost\n\n"), 505);
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\r\nno colon here\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\r\n\r\n"), 400);  // no Host
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(server, "GET /hello HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n"), 417);
  ExpectAlive(server);
  EXPECT_EQ(server->stats().bad_requests, 10);
}

TEST(HttpHostile, PathsThatAreNoPaths) {
  TestServer server;
  const auto get = [&](const std::string& path) { return StatusOf(server, TestServer::Get(path)); };
  for (const char* path : {"/%",
                           "/%4",
                           "/%zz",
                           "/%00",
                           "/a%0d%0aX",
                           "/%ff",
                           "/%c3%28",
                           "/%ed%a0%80",
                           "/%c0%af",
                           "/..",
                           "/a/../b",
                           "/a/%2e%2e/b",
                           "/%2e%2E%2f%2e%2e%2fetc%2fpasswd",
                           "/./a",
                           "hello",
                           "*x",
                           "localhost:80",
                           "ftp://x/y",
                           "/hello?q=%00",
                           "/hello?%ff=1",
                           "/\x7f",
                           "/hello?a=%e0%80%80"}) {
    EXPECT_EQ(get(path), 400) << path;
  }
  EXPECT_EQ(StatusOf(server, "GET /hel\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
  ExpectAlive(server);
}

TEST(HttpHostile, SmuggledRequests) {
  TestServer server;
  const auto post = [&](const std::string& fields, const std::string& body) {
    return StatusOf(server, "POST /echo HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" + body);
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n",
                    hidden = "0\r\n\r\nGET /hello HTTP/1.1\r\n\r\n";
  EXPECT_EQ(post("Content-Length: 5\r\n" + chunked, hidden), 400);
  EXPECT_EQ(post(chunked + "Content-Length: 5\r\n", hidden), 400);
  EXPECT_EQ(post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), 400);
  EXPECT_EQ(post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400);
  EXPECT_EQ(post("Content-Length: 5, 5\r\n", "hello"), 400);
  for (const char* length : {"-1", "+5", "5 5", "0x5", "5a", "", "18446744073709551616"}) {
    EXPECT_EQ(post("Content-Length: " + std::string(length) + "\r\n", "hello"), 400) << length;
  }
  for (const char* encoding :
       {"gzip", "gzip, chunked", "xchunked", "chunked, identity", "\"chunked\"", "chunked;q=1"}) {
    const int status = post("Transfer-Encoding: " + std::string(encoding) + "\r\n", hidden);
    EXPECT_TRUE(status == 501 || status == 400) << encoding << ": " << status;
  }
  EXPECT_EQ(post(chunked + chunked, hidden), 400);
  EXPECT_EQ(StatusOf(server, "POST /echo HTTP/1.0\r\n" + chunked + "\r\n" + hidden), 400);
  for (const char* chunks :
       {"x\r\nhello\r\n0\r\n\r\n", "-1\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n", "10000000000000000\r\nhello\r\n", "5 x\r\nhello\r\n0\r\n\r\n"}) {
    EXPECT_EQ(post(chunked, chunks), 400) << chunks;
  }
  ExpectAlive(server);
}

TEST(HttpHostile, TooMuchOfEverything) {
  HttpOptions options;
  options.max_header_bytes = 8 << 10;
  options.max_body_bytes = 100 << 10;
  TestServer server(options);
  EXPECT_EQ(StatusOf(server, TestServer::Get("/" + std::string(10 << 10, 'a'))), 414);
  EXPECT_EQ(StatusOf(server, TestServer::Get("/hello", "X-Long: " + std::string(10 << 20, 'a') + "\r\n")),
            431);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "X: y\r\n";
  EXPECT_EQ(StatusOf(server, TestServer::Get("/hello", many)), 431);

  // The limit counts what has been read already, too.
  Client slow = server.Connect();
  slow.Send("GET /hello HTTP/1.1\r\nHost: localhost\r\n");
  for (int i = 0; i < 3000 && slow.Send("X: y\r\n"); ++i) {
    if (i % 100 == 0) ::usleep(1000);
  }
  EXPECT_EQ(slow.Read().status, 431);

  EXPECT_EQ(
      StatusOf(server, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"),
      413);
  const std::string chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(StatusOf(server, chunked + "fffffff\r\n"), 413);
  std::string chunks = chunked;
  for (int i = 0; i < 200; ++i) chunks += "400\r\n" + std::string(1024, 'a') + "\r\n";
  EXPECT_EQ(StatusOf(server, chunks + "0\r\n\r\n"), 413);
  EXPECT_EQ(StatusOf(server, chunked + "1;" + std::string(100 << 10, 'x')), 400);
  ExpectAlive(server);
}

TEST(HttpHostile, ManyLargeBodiesAtOnce) {
  HttpOptions options;
  options.max_bodies_bytes = 200 << 10;
  TestServer server(options);
  const std::string body(150'000, 'a');
  Client first = server.Connect();
  first.Send(TestServer::Post("/wait", body));
  ASSERT_TRUE(server.waiting.Reaches(1));
  EXPECT_EQ(StatusOf(server, TestServer::Post("/echo", body)), 503);
  EXPECT_EQ(server.Connect().Ask(TestServer::Post("/echo", "small")).status, 200);
  first.Close();
  ASSERT_EQ(server.LogOf(3).size(), 3u);  // written once nothing is held any more
  EXPECT_EQ(server.Connect().Ask(TestServer::Post("/echo", body)).status, 200);
}

TEST(HttpHostile, SlowClientsAreCutOff) {
  HttpOptions options;
  options.header_timeout = milliseconds(150);
  options.body_timeout = milliseconds(150);
  options.idle_timeout = milliseconds(300);
  TestServer server(options);
  Client half_head = server.Connect(), half_body = server.Connect(), silent = server.Connect(),
         drop = server.Connect();
  half_head.Send("GET /hel");
  half_body.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  const std::string request = TestServer::Get("/hello", "X-Fill: " + std::string(1000, 'x') + "\r\n");
  for (size_t i = 0; i < request.size() && drop.Send(request.substr(i, 1)); ++i)
    ::usleep(2000);  // one at a time
  EXPECT_EQ(half_head.Read().status, 408);
  EXPECT_EQ(half_body.Read().status, 408);
  EXPECT_EQ(drop.Read().status, 408);
  EXPECT_TRUE(silent.IsClosed());
  EXPECT_EQ(server->stats().timeouts, 3);
  ExpectAlive(server);
}

TEST(HttpHostile, ClientsThatDoNotReadAreCutOff) {
  HttpOptions options;
  options.write_timeout = milliseconds(200);
  TestServer server(options);
  Client client = server.Connect(4096);
  client.Send(TestServer::Get("/endless"));
  ASSERT_TRUE(server.ended.Reaches(1));
  EXPECT_TRUE(server.told_gone.Reaches(1));
  EXPECT_EQ(server->stats().timeouts, 1);
  ExpectAlive(server);
}

TEST(HttpHostile, AnswersThatTakeForeverAreEnded) {
  HttpOptions options;
  options.request_timeout = milliseconds(100);
  TestServer server(options);
  Client client = server.Connect();
  client.Send(TestServer::Post("/wait", "x"));
  EXPECT_TRUE(client.IsClosed());
  // The client may see the end before the handler has come to its own.
  EXPECT_TRUE(server.told_gone.Reaches(1));
  EXPECT_TRUE(server.ended.Reaches(1));
}

TEST(HttpHostile, ClientsThatVanishAreNoticed) {
  TestServer server;
  int expected = 0;
  for (const bool reset : {false, true}) {
    Client waiting = server.Connect();
    waiting.Send(TestServer::Post("/wait", "x"));
    ASSERT_TRUE(server.waiting.Reaches(++expected));
    reset ? waiting.Abort() : waiting.Close();
    EXPECT_TRUE(server.ended.Reaches(expected));
    Client streaming = server.Connect();
    streaming.Send(TestServer::Get("/endless"));
    ASSERT_TRUE(server.waiting.Reaches(++expected));
    streaming.WaitForText("xxxx");
    reset ? streaming.Abort() : streaming.Close();
    EXPECT_TRUE(server.ended.Reaches(expected));
    server.Connect().Send("GET /hello HTT");  // and half a request
  }
  EXPECT_TRUE(server.told_gone.Reaches(expected));
  ExpectAlive(server);
}

TEST(HttpHostile, ClientsThatOnlyStopSendingGetTheirAnswer) {
  TestServer server;
  Client client = server.Connect();
  client.Send(TestServer::Get("/soon/50") + TestServer::Get("/hello"));
  client.HalfClose();
  EXPECT_EQ(client.Read().body, "done");
  EXPECT_EQ(client.Read().body, "hello");
  EXPECT_TRUE(client.IsClosed());
}

TEST(HttpHostile, PipelinesWithoutEnd) {
  TestServer server;
  Client client = server.Connect();
  std::string flood;
  for (int i = 0; i < 2000; ++i) flood += TestServer::Get("/hello");
  std::thread sender([&] { client.Send(flood); });
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(client.Read().body, "hello") << i;
  sender.join();

  // One that never reads: what is kept of its requests is bounded, and it is cut off (by the write timeout).
  Client deaf = server.Connect(4096);
  deaf.Send(flood);
  ExpectAlive(server);
}

TEST(HttpHostile, TooManyConnections) {
  HttpOptions options;
  options.max_connections = 3;
  TestServer server(options);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(server.Connect());
    EXPECT_EQ(clients.back().Ask(TestServer::Get("/hello")).status, 200);
  }
  Client refused = server.Connect();
  const Answer answer = refused.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.headers.at("retry-after"), "1");
  EXPECT_TRUE(refused.IsClosed());
  EXPECT_EQ(server->stats().refused_connections, 1);
  clients.pop_back();
  int status = 503;
  for (int i = 0; i < 1000 && status == 503; ++i)
    status = server.Connect().Ask(TestServer::Get("/hello")).status;
  EXPECT_EQ(status, 200);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0, resident = 0;
  statm >> total >> resident;
  return static_cast<int64_t>(resident) * ::sysconf(_SC_PAGESIZE);
}

TEST(HttpHostile, ThousandsOfIdleConnectionsCostLittle) {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const size_t count = std::min<size_t>(2000, limit.rlim_cur / 2 - 100);  // both ends are ours
  TestServer server;
  const int64_t before = ResidentBytes();
  std::vector<Client> clients;
  for (size_t i = 0; i < count; ++i) {
    clients.push_back(server.Connect());
    ASSERT_TRUE(clients.back().connected());
    if (i % 2 == 0) clients.back().Send(TestServer::Get("/hello"));
  }
  for (size_t i = 0; i < count; i += 2) ASSERT_EQ(clients[i].Read().status, 200);
  ExpectAlive(server);
  // A fraction of this is the server's; the clients' side and sanitizers' bookkeeping come on top.
  const int64_t each = kSanitized ? 200 << 10 : 30 << 10;
  EXPECT_LT(ResidentBytes() - before, static_cast<int64_t>(count) * each);
  server->Stop(milliseconds(10'000));
  for (Client& client : clients) EXPECT_TRUE(client.IsClosed());
}

TEST(HttpHostile, MemoryIsFlatOverManyRequests) {
  TestServer server;
  Client client = server.Connect();
  const auto round = [&](int requests) {
    for (int i = 0; i < requests; ++i) {
      ASSERT_EQ(client.Ask(TestServer::Post("/echo", std::string(10'000, 'a'))).status, 200);
      if (i % 10 == 0) server.Connect().Send("GET /hel");
    }
  };
  round(300);
  const int64_t before = ResidentBytes();
  round(1500);
  // A leak of the bodies (15 MB) or of the 150 other connections' buffers would show. (Sanitizers keep freed
  // memory for a while; they find leaks in their own way.)
  if (!kSanitized) {
    EXPECT_LT(ResidentBytes(), before + (6 << 20));
  }
}

TEST(HttpHostile, SoundRequestsWithDamage) {
  const std::vector<std::string> sound = {
      TestServer::Get("/things/a%20b/parts/2?q=1&r=%41", "Accept: */*\r\nConnection: keep-alive\r\n"),
      TestServer::Post("/echo", "some body", "Expect: 100-continue\r\n"),
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: [::1]:8000\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
  };
  Random random(7);
  SCOPED_TRACE("seed 7");
  constexpr std::string_view kSpice("\r\n \t:;,%/?&=+0123456789abcdefxX\0\x7f\xff\xc3", 35);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = sound[random.Below(sound.size())];
    for (uint64_t damage = random.Below(4); damage > 0; --damage) {
      const size_t at = random.Below(bytes.size());
      const char spice = kSpice[random.Below(kSpice.size())];
      switch (random.Below(4)) {
        case 0:
          bytes[at] = spice;
          break;
        case 1:
          bytes.insert(at, 1, spice);
          break;
        case 2:
          bytes.erase(at, 1 + random.Below(3));
          break;
        default:
          bytes.insert(at, bytes.substr(at, random.Below(30)));
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
    const std::string fault =
        testing::AttackRequestParser(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ASSERT_EQ(fault, "") << bytes;
  }
}

TEST(HttpHostile, GarbageOnTheWire) {
  TestServer server;
  Random random(11);
  SCOPED_TRACE("seed 11");
  for (int i = 0; i < 100; ++i) {
    Client client = server.Connect();
    std::string bytes = i % 2 == 0 ? TestServer::Get("/hello") : "";
    for (uint64_t left = random.Below(3000); left > 0; --left) bytes += static_cast<char>(random.Below(256));
    client.Send(bytes);
    i % 3 == 0 ? client.Abort() : client.HalfClose();
    if (i % 3 != 0) client.ReadToEnd();
  }
  ExpectAlive(server);
}

}  // namespace
}  // namespace tern::serve
