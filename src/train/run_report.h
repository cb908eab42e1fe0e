// What a person sees of a run: a line that is redrawn on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace tern::train {

/// What the line shows.
struct RunProgress {
  int64_t step = 0, steps = 0;
  double loss = 0, smoothed_loss = 0;
  double tokens_per_second = 0;
  double share_of_peak = 0;  ///< 0: not known
  double learning_rate = 0, gradient_norm = 0;
  double seconds_left = 0;
};

/// "1 h 05 min", "12 min 30 s", "8 s".
std::string HumanTime(double seconds);

/// Writes to standard error. On a terminal the line is redrawn ten times a second at most; elsewhere a line
/// comes every ten seconds, and at the last step. Not thread-safe.
class RunReporter {
 public:
  explicit RunReporter(bool enabled);
  ~RunReporter();
  RunReporter(const RunReporter&) = delete;
  RunReporter& operator=(const RunReporter&) = delete;

  void Step(const RunProgress& progress);
  /// A line that stays.
  void Say(const std::string& text);

 private:
  void Clear();
  bool enabled_, terminal_, drawn_ = false, first_ = true;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace tern::train
