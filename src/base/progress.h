// Long work says how far it is: a bar on a terminal, plain lines elsewhere, nothing when it is over quickly.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tern {

/// Reports on standard error. Nothing is shown in the first 0.3 seconds; a terminal then sees a bar that is redrawn
/// ten times a second at most, any other output a line every five seconds. Not thread-safe.
class Progress {
 public:
  /// `unit` is what is counted ("tokens", "tensors", "MB"); `total` 0 means unknown.
  Progress(std::string label, uint64_t total, std::string unit, bool enabled = true);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(uint64_t done);
  /// Removes the bar. The destructor does the same.
  void Finish();

 private:
  void Draw(double seconds);
  std::string label_, unit_;
  uint64_t total_, done_ = 0;
  bool enabled_, terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace tern
