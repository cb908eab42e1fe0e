// Load on a running service: many streams at once, each compared with what it is alone.
//
//   tern serve --max-batch 256 --max-queue 1024 &
//   serve_load --port 8000 --streams 256 --seconds 300
//
// A few distinct requests are asked alone first; then every stream asks one after the other and compares.
// Prints tokens per second, the time to the first token and between tokens, and the service's memory before
// and after. Ends with 1 when a text differs or an answer breaks off.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

namespace {

using nlohmann::json;
using tern::Clock;

struct Options {
  uint16_t port = 8000;
  int streams = 256, tokens = 128, distinct = 32;
  double seconds = 60, vanish = 0;
  std::string prompt = "Once upon a time, number {},";
  std::string key;
};

std::string HttpText(const Options& options, const std::string& method, const std::string& path,
                     const std::string& body) {
  return fmt::format(
      "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n{}"
      "Content-Length: {}\r\n\r\n{}",
      method, path, options.key.empty() ? "" : "Authorization: Bearer " + options.key + "\r\n", body.size(),
      body);
}

std::string RequestText(const Options& options, int number) {
  const json body = {{"prompt", fmt::format(fmt::runtime(options.prompt), number)},
                     {"max_tokens", options.tokens},
                     {"seed", number},
                     {"stream", true}};
  return HttpText(options, "POST", "/v1/completions", body.dump());
}

int Connect(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd);
    return -1;
  }
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

/// A stream's answer as it comes in.
struct Stream {
  int fd = -1, number = 0;
  std::string in, text, error;
  size_t leave_after = 0;  ///< bytes of text; 0: stays to the end
  int64_t pieces = 0;
  bool done = false;
  Clock::time_point asked, last;
};

/// Takes whole events off the front of what came in. Sizes of chunks stand between lines of their own.
void TakeEvents(Stream* stream) {
  size_t at = 0;
  for (size_t end; (end = stream->in.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string_view line = std::string_view(stream->in).substr(at, end - at);
    if (line == "data: [DONE]") stream->done = true;
    if (line.starts_with("HTTP/1.1 ") && line.substr(9, 3) != "200") stream->error = line;
    if (!line.starts_with("data: {")) continue;
    const json event = json::parse(line.substr(6), nullptr, false);
    if (event.is_discarded() || event.contains("error")) {
      stream->error = line;
      continue;
    }
    stream->text += event["choices"][0].value("text", "");
    ++stream->pieces;
  }
  stream->in.erase(0, at);
}

struct Tally {
  int64_t answers = 0, left = 0, wrong = 0, pieces = 0;
  std::vector<double> first, between;  // seconds

  void Print(double seconds, int tokens) {
    fmt::print("{} answers whole, {} left early, {} wrong; {:.0f} tokens/s\n", answers, left, wrong,
               static_cast<double>(answers) * tokens / seconds);
    const auto print = [](const char* what, std::vector<double>* values) {
      std::sort(values->begin(), values->end());
      if (values->empty()) return;
      const auto at = [&](double q) {
        return 1e3 * (*values)[static_cast<size_t>(q * static_cast<double>(values->size() - 1))];
      };
      fmt::print("{}: median {:.1f} ms, 99 % {:.1f} ms, worst {:.1f} ms\n", what, at(0.5), at(0.99), at(1));
    };
    print("to the first piece", &first);
    print("between pieces", &between);
  }
};

/// Reads what is there; false at the end of the connection.
bool Read(Stream* stream, Tally* tally) {
  char piece[1 << 14];
  const ssize_t got = ::recv(stream->fd, piece, sizeof piece, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;
  stream->in.append(piece, static_cast<size_t>(got));
  const int64_t before = stream->pieces;
  TakeEvents(stream);
  if (stream->pieces == before) return true;
  const auto now = Clock::now();
  const double seconds =
      std::chrono::duration<double>(now - (before == 0 ? stream->asked : stream->last)).count();
  (before == 0 ? tally->first : tally->between).push_back(seconds);
  stream->last = now;
  return stream->leave_after == 0 || stream->text.size() < stream->leave_after;
}

void Ask(const Options& options, int number, double vanish, tern::Random* random, Stream* stream) {
  *stream = {};
  stream->number = number;
  stream->fd = Connect(options.port);
  if (random->Uniform() < vanish) stream->leave_after = 1 + random->Below(200);
  stream->asked = Clock::now();
  const std::string text = RequestText(options, number);
  if (stream->fd < 0 ||
      ::send(stream->fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    stream->error = "no connection";
  }
}

/// The whole answer of one request, nothing else going on.
std::string Alone(const Options& options, int number) {
  tern::Random random(1);
  Tally tally;
  Stream stream;
  Ask(options, number, /*vanish=*/0, &random, &stream);
  while (stream.error.empty()) {
    pollfd ready = {stream.fd, POLLIN, 0};
    ::poll(&ready, 1, -1);
    if (!Read(&stream, &tally)) break;
  }
  ::close(stream.fd);
  if (!stream.done) fmt::print(stderr, "request {} alone: {}\n", number, stream.error);
  return stream.text;
}

uint64_t ResidentBytes(const Options& options) {
  const int fd = Connect(options.port);
  const std::string text = HttpText(options, "GET", "/v1/status", "");
  static_cast<void>(::send(fd, text.data(), text.size(), MSG_NOSIGNAL));
  std::string answer;
  for (char piece[4096];;) {
    pollfd ready = {fd, POLLIN, 0};
    ::poll(&ready, 1, -1);
    const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
    if (got <= 0) break;
    answer.append(piece, static_cast<size_t>(got));
  }
  ::close(fd);
  const size_t at = answer.find("\"resident_bytes\":");
  return at == std::string::npos ? 0 : std::stoull(answer.substr(at + 17));
}

/// A stream has ended: right or wrong, and what comes next.
void Judge(const std::vector<std::string>& expected, Stream* stream, Tally* tally) {
  ::close(stream->fd);
  if (stream->leave_after > 0 && !stream->done && stream->error.empty()) {
    ++tally->left;
    return;
  }
  const std::string& want = expected[static_cast<size_t>(stream->number)];
  if (stream->done && stream->text == want) {
    ++tally->answers;
    return;
  }
  ++tally->wrong;
  fmt::print(stderr, "request {}: {}\n  got {}\n", stream->number,
             stream->error.empty() ? "another text than alone" : stream->error, json(stream->text).dump());
}

int Run(const Options& options) {
  std::vector<std::string> expected;
  for (int i = 0; i < options.distinct; ++i) expected.push_back(Alone(options, i));
  tern::Random random(1);
  std::vector<Stream> streams(static_cast<size_t>(options.streams));
  const auto ask = [&](Stream* stream) {
    Ask(options, static_cast<int>(random.Below(static_cast<uint64_t>(options.distinct))), options.vanish,
        &random, stream);
  };
  const uint64_t memory_before = ResidentBytes(options);
  for (Stream& stream : streams) ask(&stream);
  Tally tally;
  const auto start = Clock::now();
  double memory_at = 0;
  for (size_t open = streams.size(); open > 0;) {
    std::vector<pollfd> ready;
    for (const Stream& stream : streams) ready.push_back({stream.fd, POLLIN, 0});
    ::poll(ready.data(), ready.size(), 100);
    for (size_t i = 0; i < streams.size(); ++i) {
      Stream& stream = streams[i];
      if (stream.fd < 0 || (ready[i].revents == 0 && stream.error.empty())) continue;
      if (stream.error.empty() && Read(&stream, &tally)) continue;
      Judge(expected, &stream, &tally);
      stream.fd = -1;
      tern::SecondsSince(start) < options.seconds ? ask(&stream) : static_cast<void>(--open);
    }
    if (tern::SecondsSince(start) - memory_at >= 10) {
      memory_at = tern::SecondsSince(start);
      fmt::print("after {:.0f} s: {:.1f} MB\n", memory_at, static_cast<double>(ResidentBytes(options)) / 1e6);
    }
  }
  tally.Print(tern::SecondsSince(start), options.tokens);
  fmt::print("memory: {:.1f} MB before, {:.1f} MB after\n", static_cast<double>(memory_before) / 1e6,
             static_cast<double>(ResidentBytes(options)) / 1e6);
  return tally.wrong == 0 && tally.answers > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Load on a running tern serve: every stream compared with what it is alone", "serve_load"};
  Options options;
  app.add_option("--port", options.port)->capture_default_str();
  app.add_option("--streams", options.streams, "At once")->check(CLI::Range(1, 4000))->capture_default_str();
  app.add_option("--seconds", options.seconds)->capture_default_str();
  app.add_option("--tokens", options.tokens, "Per answer")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--distinct", options.distinct, "Different requests")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--vanish", options.vanish, "Share of clients that leave in the middle")
      ->capture_default_str();
  app.add_option("--prompt", options.prompt, "{} is the request's number")->capture_default_str();
  app.add_option("--key", options.key, "API key");
  CLI11_PARSE(app, argc, argv);
  return Run(options);
}
