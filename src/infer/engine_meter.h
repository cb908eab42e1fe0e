// The engine's figures.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

#include "base/clock.h"
#include "base/parallel.h"
#include "infer/engine.h"

namespace tern {

/// Thread-safe.
class EngineMeter {
 public:
  /// `change` is called under the lock: it adds to counts and histograms.
  void Update(FunctionRef<void(EngineStats&)> change);
  /// With the rates, which are worked out here. `waiting` is the queue's.
  EngineStats stats() const;

 private:
  struct Sample {
    Clock::time_point time;
    int64_t prompt_tokens, generated_tokens;
  };

  mutable std::mutex mutex_;
  EngineStats stats_;
  Clock::time_point changed_ = Clock::now();
  std::deque<Sample> samples_ = {{Clock::now(), 0, 0}};  ///< all but the first are younger than kRateSeconds
};

}  // namespace tern
