// tern serve as a process: it starts, answers, and ends as it is told.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>
#include <string>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Process;
using testing::RunTern;

class Serve : public testing::CliTest {
 protected:
  std::vector<std::string> Words(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"serve", "--model", "tiny=" + model_, "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

/// The port of the address that the program prints.
int PortOf(Process& process) {
  EXPECT_TRUE(process.WaitForText("\n")) << process.out();
  const size_t colon = process.out().rfind(':');
  return colon == std::string::npos ? 0 : std::atoi(process.out().c_str() + colon + 1);
}

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string ReadUntil(int fd, const std::string& text) {
  std::string got;
  char piece[4096];
  while (text.empty() || got.find(text) == std::string::npos) {
    const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
    if (n <= 0) break;
    got.append(piece, static_cast<size_t>(n));
  }
  return got;
}

void Send(int fd, const std::string& method, const std::string& path, const std::string& body,
          const std::string& fields = "") {
  const std::string request = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                              "Content-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" +
                              body;
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
}

/// One request on a connection of its own.
std::string Ask(int port, const std::string& method, const std::string& path, const std::string& body = "",
                const std::string& fields = "") {
  const int fd = Connect(port);
  Send(fd, method, path, body, fields);
  const std::string answer = ReadUntil(fd, "");
  ::close(fd);
  return answer;
}

constexpr const char* kShort = R"({"prompt":"Once","max_tokens":5,"seed":1})";
constexpr const char* kEndless = R"({"prompt":"Once","max_tokens":1000000,"stream":true})";

TEST_F(Serve, PrintsItsAddressAnswersAndEndsWhenTold) {
  Process process(Words({"--access-log", File("log")}));
  const int port = PortOf(process);
  EXPECT_THAT(process.out(), HasSubstr("http://127.0.0.1:"));
  EXPECT_THAT(Ask(port, "GET", "/health"), HasSubstr(R"({"status":"ok"})"));
  EXPECT_THAT(Ask(port, "GET", "/v1/models"), HasSubstr(R"("id":"tiny")"));
  EXPECT_THAT(Ask(port, "POST", "/v1/completions", kShort), HasSubstr(R"("completion_tokens":5)"));
  process.Signal(SIGTERM);
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const std::string log = Text("log");
  EXPECT_THAT(log, HasSubstr(R"("completion_tokens":"5")"));
  EXPECT_THAT(log, ::testing::Not(HasSubstr("Once")));
}

TEST_F(Serve, ARunningStreamMayEndWithinTheGrace) {
  Process process(Words({"--grace", "60"}));
  const int fd = Connect(PortOf(process));
  Send(fd, "POST", "/v1/completions", R"({"prompt":"Once","max_tokens":300,"stream":true})");
  const std::string begun = ReadUntil(fd, "data: ");
  process.Signal(SIGINT);
  EXPECT_THAT(begun + ReadUntil(fd, ""), HasSubstr("data: [DONE]"));
  ::close(fd);
  EXPECT_EQ(process.Finish().code, 0);
}

TEST_F(Serve, AnAnswerThatTheGraceIsTooShortForEndsWithAnError) {
  Process process(Words({"--grace", "0"}));
  const int port = PortOf(process);
  const int stream = Connect(port), whole = Connect(port);
  Send(stream, "POST", "/v1/completions", kEndless);
  const std::string begun = ReadUntil(stream, "data: ");
  Send(whole, "POST", "/v1/completions", R"({"prompt":"Once","max_tokens":1000000})");
  ::usleep(200'000);  // until it is read, which nothing tells
  process.Signal(SIGTERM);
  EXPECT_THAT(begun + ReadUntil(stream, ""), HasSubstr(R"("code":"stopping")"));
  EXPECT_THAT(ReadUntil(whole, ""), ::testing::AllOf(HasSubstr(" 503 "), HasSubstr(R"("code":"stopping")")));
  ::close(stream);
  ::close(whole);
  EXPECT_EQ(process.Finish().code, 0);
}

TEST_F(Serve, ASecondSignalEndsItAtOnce) {
  Process process(Words({"--grace", "600"}));
  const int fd = Connect(PortOf(process));
  Send(fd, "POST", "/v1/completions", kEndless);
  ReadUntil(fd, "data: ");
  process.Signal(SIGTERM);
  ::usleep(200'000);
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Finish().code, 128 + SIGTERM);
  ::close(fd);
}

TEST_F(Serve, KeptStatesOutliveAKill) {
  const std::string folder = File("states");
  std::string id;
  {
    Process process(Words({"--states", folder}));
    const std::string answer =
        Ask(PortOf(process), "POST", "/v1/states", R"({"prompt":"Hello","note":"kept"})");
    const size_t at = answer.find("st_");
    ASSERT_NE(at, std::string::npos) << answer;
    id = answer.substr(at, answer.find('"', at) - at);
    process.Signal(SIGKILL);
    EXPECT_EQ(process.Finish().code, -SIGKILL);
  }
  Process process(Words({"--states", folder}));
  const int port = PortOf(process);
  EXPECT_THAT(Ask(port, "GET", "/v1/states/" + id), HasSubstr(R"("text":"Hello")"));
  EXPECT_THAT(Ask(port, "POST", "/v1/completions", R"({"prompt":"!","max_tokens":3,"state":")" + id + "\"}"),
              HasSubstr(R"("prompt_tokens":6)"));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Finish().code, 0);
}

TEST_F(Serve, KeysComeFromAFile) {
  WriteText("keys", "# ours\nsesame-open\n");
  ::chmod(File("keys").c_str(), 0600);
  Process process(Words({"--api-keys", File("keys")}));
  const int port = PortOf(process);
  EXPECT_THAT(Ask(port, "GET", "/v1/models"), HasSubstr(" 401 "));
  EXPECT_THAT(Ask(port, "GET", "/v1/models", "", "Authorization: Bearer sesame-open\r\n"),
              HasSubstr(" 200 "));
  EXPECT_THAT(Ask(port, "GET", "/health"), HasSubstr(" 200 "));
}

TEST_F(Serve, AdminsKeysComeFromAFileOfTheirOwnOrAMark) {
  WriteText("keys", "sesame-open\nadmin:sesame-lead\n");
  WriteText("admins", "sesame-rule\n");
  for (const char* name : {"keys", "admins"}) ::chmod(File(name).c_str(), 0600);
  Process process(Words({"--api-keys", File("keys"), "--admin-keys", File("admins")}));
  const int port = PortOf(process);
  const auto load = [&](const std::string& key) {
    return Ask(port, "POST", "/v1/models/tiny/load", "", "Authorization: Bearer " + key + "\r\n");
  };
  EXPECT_THAT(load("sesame-open"), HasSubstr(" 403 "));
  EXPECT_THAT(load("sesame-lead"), HasSubstr(" 200 "));
  EXPECT_THAT(load("sesame-rule"), HasSubstr(" 200 "));
  EXPECT_THAT(load("sesame-none"), HasSubstr(" 401 "));
}

TEST_F(Serve, KeysAreReadAnewWhenAskedFor) {
  const auto write = [&](const std::string& text) {
    WriteText("keys", text);
    ::chmod(File("keys").c_str(), 0600);
  };
  write("sesame-open\n");
  Process process(Words({"--api-keys", File("keys")}));
  const int port = PortOf(process);
  const auto ask = [&](const std::string& key) {
    return Ask(port, "GET", "/v1/models", "", "Authorization: Bearer " + key + "\r\n");
  };
  EXPECT_THAT(ask("sesame-open"), HasSubstr(" 200 "));
  write("short\n");
  process.Signal(SIGHUP);
  ASSERT_TRUE(process.WaitForErrorText("\n"));
  EXPECT_THAT(ask("sesame-open"), HasSubstr(" 200 "));
  write("sesame-close\n");
  process.Signal(SIGHUP);
  ASSERT_TRUE(process.WaitForErrorText("read anew\n"));
  EXPECT_THAT(ask("sesame-open"), HasSubstr(" 401 "));
  EXPECT_THAT(ask("sesame-close"), HasSubstr(" 200 "));
  process.Signal(SIGTERM);
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, ::testing::MatchesRegex("warning: [^\n]* stay as they were: [^\n]*keys, line 1: "
                                                   "[^\n]*\ninfo: [^\n]*\n"));
}

TEST_F(Serve, EndsWithItsTerminal) {
  Process process(Words(), {.terminal = true});
  PortOf(process);
  process.HangUp();
  EXPECT_EQ(process.Finish().code, 0);
}

TEST_F(Serve, WhatCannotBeServedIsOneLine) {
  ExpectOneLine(RunTern({"serve", "--model", File("none.pth"), "--port", "0"}), "none.pth");
  ExpectOneLine(RunTern(Words({"--model", "tiny=" + model_})), "tiny");
  ExpectOneLine(RunTern(Words({"--address", "0.0.0.0"})), "0.0.0.0");
  ExpectOneLine(RunTern(Words({"--address", "0.0.0.0"})), "--api-keys");
  ExpectOneLine(RunTern(Words({"--address", "0.0.0.0"})), "--allow-open");
  ExpectOneLine(RunTern(Words({"--address", "foo"})), "--address: cannot listen on 'foo'");
  for (const char* gigabytes : {"nan", "inf", "1e300"})
    ExpectOneLine(RunTern(Words({"--state-memory", gigabytes})), "--state-memory");
  ExpectOneLine(RunTern(Words({"--state-disk", "nan"})), "--state-disk");
  ExpectOneLine(RunTern(Words({"--page-folder", File("no-folder")})), "no-folder");
  ExpectOneLine(RunTern(Words({"--certificate", File("none.pem"), "--key", File("none.key")})), "none.pem");
  ExpectOneLine(RunTern(Words({"--api-keys", File("none")})), "none");
}

}  // namespace
}  // namespace tern
