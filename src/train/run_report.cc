#include "train/run_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tern::train {

std::string HumanTime(double seconds) {
  constexpr double kLongest = 1e9;
  const auto whole = static_cast<int64_t>(
      std::isfinite(seconds) ? std::clamp(std::round(seconds), 0.0, kLongest) : kLongest);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

RunReporter::RunReporter(bool enabled) : enabled_(enabled), terminal_(::isatty(STDERR_FILENO) == 1) {}

RunReporter::~RunReporter() { Clear(); }

void RunReporter::Step(const RunProgress& p) {
  if (!enabled_) return;
  constexpr double kRedraw = 0.1, kLine = 10;
  const auto now = std::chrono::steady_clock::now();
  const double since = std::chrono::duration<double>(now - last_).count();
  if (!first_ && p.step != p.steps && since < (terminal_ ? kRedraw : kLine)) return;
  first_ = false;
  last_ = now;
  const std::string share =
      p.share_of_peak > 0 ? fmt::format(" ({:.0f} % of peak)", p.share_of_peak * 100) : "";
  const std::string text = fmt::format(
      "step {}/{}  loss {:.4f} (smoothed {:.4f})  {:.0f} tokens/s{}  lr {:.2e}  |g| {:.2f}  {} left", p.step,
      p.steps, p.loss, p.smoothed_loss, p.tokens_per_second, share, p.learning_rate, p.gradient_norm,
      HumanTime(p.seconds_left));
  if (terminal_) {
    fmt::print(stderr, "\r{}\x1b[K", text);
    drawn_ = true;
  } else {
    fmt::print(stderr, "{}\n", text);
  }
  std::fflush(stderr);
}

void RunReporter::Say(const std::string& text) {
  if (!enabled_) return;
  Clear();
  fmt::print(stderr, "{}\n", text);
  std::fflush(stderr);
}

void RunReporter::Clear() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace tern::train
