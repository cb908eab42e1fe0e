#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "train/recipe.h"

namespace tern::train {
namespace {

/// done / all, within [0, 1].
double Share(int64_t done, int64_t all) {
  if (all <= 0) return done >= 0 ? 1.0 : 0.0;
  return std::clamp(static_cast<double>(done) / static_cast<double>(all), 0.0, 1.0);
}

double Between(double from, double to, double share) { return from + (to - from) * share; }

}  // namespace

double Schedule::Rate(int64_t step) const {
  const double warm =
      step < warmup ? 0.01 + 0.99 * static_cast<double>(step) / static_cast<double>(warmup) : 1.0;
  const int64_t falling = total - warmup;
  // The reference's linear and exponential schedules count the step that is about to be taken, so that the
  // last one runs at `final`; its cosine does not.
  switch (shape) {
    case Shape::kConstant:
      return warm * initial;
    case Shape::kLinear:
      return warm * Between(initial, final, Share(step - warmup + 1, falling));
    case Shape::kExponential:
      return warm * initial * std::pow(final / initial, Share(step - warmup + 1, falling));
    case Shape::kCosine: {
      const double angle = std::numbers::pi * Share(step - warmup, falling);
      return warm * Between(final, initial, 0.5 + 0.5 * std::cos(angle));
    }
    case Shape::kWarmupStableDecay: {
      const auto last = static_cast<int64_t>(
          std::llround(std::clamp(decay_fraction, 0.0, 1.0) * static_cast<double>(total)));
      const int64_t start = std::max(warmup, total - last);
      // Without a falling part (start == total) nothing before the end is at `final`.
      return warm * Between(initial, final, step < start ? 0.0 : Share(step - start + 1, total - start));
    }
  }
  return initial;
}

Result<Schedule::Shape> ParseSchedule(std::string_view name) {
  if (name == "constant") return Schedule::Shape::kConstant;
  if (name == "linear") return Schedule::Shape::kLinear;
  if (name == "cosine") return Schedule::Shape::kCosine;
  if (name == "exponential") return Schedule::Shape::kExponential;
  if (name == "wsd") return Schedule::Shape::kWarmupStableDecay;
  return InvalidArgument(fmt::format(
      "\"{}\" is no learning-rate schedule; constant, linear, cosine, exponential and wsd are", name));
}

}  // namespace tern::train
