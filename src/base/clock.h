// Time that passes, for reports of speed.
#pragma once

#include <chrono>

namespace tern {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace tern
