#include "infer/engine_meter.h"

#include <algorithm>

namespace tern {
namespace {

/// Between two samples of the counts.
constexpr double kSampleSeconds = 0.25;

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

void EngineMeter::Update(FunctionRef<void(EngineStats&)> change) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  // Before the change, so that what a first pass after a pause did lies within the time rated.
  if (Seconds(now - samples_.back().time) >= kSampleSeconds)
    samples_.push_back({now, stats_.prompt_tokens, stats_.generated_tokens});
  while (samples_.size() >= 2 && Seconds(now - samples_[1].time) >= EngineStats::kRateSeconds)
    samples_.pop_front();
  change(stats_);
  changed_ = now;
}

EngineStats EngineMeter::stats() const {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  if (Seconds(now - changed_) >= EngineStats::kRateSeconds) return stats;  // nothing happened
  // The youngest that is old enough, or else the oldest.
  const Sample* from = &samples_.front();
  for (const Sample& sample : samples_) {
    if (Seconds(now - sample.time) >= EngineStats::kRateSeconds) from = &sample;
  }
  const double seconds = std::clamp(Seconds(now - from->time), kSampleSeconds, EngineStats::kRateSeconds);
  stats.prompt_rate = static_cast<double>(stats.prompt_tokens - from->prompt_tokens) / seconds;
  stats.generated_rate = static_cast<double>(stats.generated_tokens - from->generated_tokens) / seconds;
  return stats;
}

}  // namespace tern
