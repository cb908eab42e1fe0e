#include "base/progress.h"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

#include <fmt/format.h>

#include "base/clock.h"

namespace tern {

Progress::Progress(std::string label, uint64_t total, std::string unit, bool enabled)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      enabled_(enabled),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() { Finish(); }

void Progress::Update(uint64_t done) {
  done_ = done;
  if (!enabled_) return;
  const double seconds = SecondsSince(start_);
  if (seconds < 0.3 || SecondsSince(last_) < (terminal_ ? 0.1 : 5.0)) return;
  last_ = std::chrono::steady_clock::now();
  Draw(seconds);
}

void Progress::Draw(double seconds) {
  const double rate = static_cast<double>(done_) / seconds;
  const std::string speed = fmt::format("{:.{}f} {}/s", rate, rate < 10 ? 1 : 0, unit_);
  if (total_ == 0) {
    fmt::print(stderr, "{}{}: {} {}, {}{}", terminal_ ? "\r" : "", label_, done_, unit_, speed,
               terminal_ ? "\x1b[K" : "\n");
  } else {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const double left = share > 0 ? seconds * (1 - share) / share : 0;
    if (terminal_) {
      const int filled = static_cast<int>(share * 30);
      fmt::print(stderr, "\r{} [{}{}] {:3.0f} %  {}/{} {}  {}  {:.0f} s left\x1b[K", label_, std::string(filled, '#'),
                 std::string(30 - filled, '.'), share * 100, done_, total_, unit_, speed, left);
    } else {
      fmt::print(stderr, "{}: {:.0f} % ({}/{} {}), {}, {:.0f} s left\n", label_, share * 100, done_, total_, unit_,
                 speed, left);
    }
  }
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::Finish() {
  if (drawn_ && terminal_) {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }
  enabled_ = false;
  drawn_ = false;
}

}  // namespace tern
