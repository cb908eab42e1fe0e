// Runs the program as a person or a script does: one process, its own pipes or its own terminal, a time
// limit.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace tern::testing {

/// What a finished process left. `code` is its exit status, or −signal when one ended it.
struct Outcome {
  int code = 0;
  std::string out, err;
};

struct ProcessOptions {
  std::string input = {};  ///< standard input; ignored on a terminal
  /// NAME=VALUE. Tern's own variables are unset unless they stand here.
  std::vector<std::string> environment = {};
  bool terminal =
      false;  ///< a terminal of its own as standard input, output and error; output comes as `out`
  std::function<void()> before_exec = {};  ///< runs in the child
};

/// A running program. Sanitizers and busy machines are slow: the limit is only there to end what hangs.
class Process {
 public:
  static constexpr int kLimitSeconds = 60;

  explicit Process(const std::vector<std::string>& arguments, ProcessOptions options = {})
      : options_(std::move(options)),
        deadline_(std::chrono::steady_clock::now() + std::chrono::seconds(kLimitSeconds)) {
    std::signal(SIGPIPE, SIG_IGN);  // of this test: the program may close its input early
    std::vector<std::string> words = {TERN_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    for (std::string& word : words) argv_.push_back(word.data());
    argv_.push_back(nullptr);
    options_.terminal ? StartOnTerminal() : StartOnPipes();
    argv_.clear();
  }
  ~Process() {
    if (pid_ > 0 && !ended_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    for (const int fd : {in_, out_, err_}) Close(fd);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal) const { ::kill(pid_, signal); }
  void CloseOutput() { Close(std::exchange(out_, -1)); }
  /// Closes all ends: a program on a terminal loses it.
  void HangUp() {
    for (int* fd : {&in_, &out_, &err_}) Close(std::exchange(*fd, -1));
  }
  /// Types on the terminal.
  void Type(const std::string& text) const {
    EXPECT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// All output so far.
  const std::string& out() const { return out_text_; }

  /// Reads until the output satisfies `enough`; false when the program ends before.
  bool WaitFor(const std::function<bool(const std::string& out)>& enough) {
    while (!enough(out_text_)) {
      if (!Pump()) return enough(out_text_);
    }
    return true;
  }
  bool WaitForText(const std::string& text, size_t from = 0) {
    return WaitFor([&](const std::string& out) { return out.find(text, from) != std::string::npos; });
  }
  bool WaitForErrorText(const std::string& text) {
    return WaitFor([&](const std::string&) { return err_text_.find(text) != std::string::npos; });
  }

  /// Waits for `prompt` and then for the line editor to listen: keys that come in between are lost to it.
  bool WaitForPrompt(const std::string& prompt, size_t from = 0) {
    if (!WaitForText(prompt, from)) return false;
    while (std::chrono::steady_clock::now() < deadline_) {
      termios mode = {};
      if (::tcgetattr(in_, &mode) == 0 && (mode.c_lflag & ICANON) == 0) return true;
      ::usleep(2000);
    }
    return false;
  }
  /// Reads all output and waits for the end.
  Outcome Finish() {
    while (Pump()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    ended_ = true;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), out_text_, err_text_};
  }

 private:
  static void Close(int fd) {
    if (fd >= 0) ::close(fd);
  }

  [[noreturn]] void Exec() {
    std::signal(SIGPIPE, SIG_DFL);
    for (const char* name : {"TERN_MODEL", "TERN_TOKENIZERS"}) ::unsetenv(name);
    for (std::string& setting : options_.environment) ::putenv(setting.data());
    if (options_.before_exec) options_.before_exec();
    ::execv(argv_[0], argv_.data());
    ::_exit(127);
  }

  void StartOnPipes() {
    int in[2], out[2], err[2];
    ASSERT_EQ(::pipe2(in, O_CLOEXEC) | ::pipe2(out, O_CLOEXEC) | ::pipe2(err, O_CLOEXEC), 0);
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      Exec();
    }
    for (const int fd : {in[0], out[1], err[1]}) ::close(fd);
    in_ = in[1], out_ = out[0], err_ = err[0];
    ::fcntl(in_, F_SETFL, O_NONBLOCK);
  }

  void StartOnTerminal() {
    pid_ = ::forkpty(&out_, nullptr, nullptr, nullptr);
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) Exec();
    in_ = ::dup(out_);
  }

  /// Moves what can be moved; false when both outputs have ended.
  bool Pump() {
    const bool feeding = !options_.terminal && in_ >= 0;
    if (feeding && fed_ == options_.input.size()) Close(std::exchange(in_, -1));
    pollfd fds[3] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {feeding ? in_ : -1, POLLOUT, 0}};
    if (out_ < 0 && err_ < 0) return false;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
    if (::poll(fds, 3, static_cast<int>(std::max<int64_t>(0, left.count()))) == 0) {
      ADD_FAILURE() << "the program had to be ended after " << kLimitSeconds << " s; output so far:\n"
                    << out_text_;
      ::kill(pid_, SIGKILL);
      return false;
    }
    if (fds[0].revents != 0) Read(&out_, &out_text_);
    if (fds[1].revents != 0) Read(&err_, &err_text_);
    if (fds[2].revents != 0) Feed();
    return true;
  }

  static void Read(int* fd, std::string* text) {
    char chunk[1 << 14];
    const ssize_t got = ::read(*fd, chunk, sizeof chunk);
    if (got > 0) {
      text->append(chunk, static_cast<size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      Close(std::exchange(*fd, -1));  // a terminal whose program has ended says EIO
    }
  }

  void Feed() {
    const ssize_t put = ::write(in_, options_.input.data() + fed_, options_.input.size() - fed_);
    if (put >= 0) {
      fed_ += static_cast<size_t>(put);
    } else if (errno != EAGAIN && errno != EINTR) {
      fed_ = options_.input.size();  // the program does not want the rest
    }
  }

  ProcessOptions options_;
  std::chrono::steady_clock::time_point deadline_;
  std::vector<char*> argv_;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  size_t fed_ = 0;
  bool ended_ = false;
  std::string out_text_, err_text_;
};

inline Outcome RunTern(const std::vector<std::string>& arguments, const std::string& input = {}) {
  return Process(arguments, {.input = input}).Finish();
}

}  // namespace tern::testing
