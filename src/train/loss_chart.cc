#include "train/loss_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/line_chart.h"

namespace tern::train {
namespace {

constexpr size_t kMostPoints = 1000;

/// Named with its last value.
ChartSeries Series(const std::string& name, const std::vector<std::pair<int64_t, double>>& points) {
  ChartSeries series;
  if (!points.empty()) series.name = fmt::format("{} {:.4f}", name, points.back().second);
  for (const auto& [step, loss] : points) series.points.push_back({static_cast<double>(step), loss});
  return series;
}

}  // namespace

void LossChart::AddTraining(int64_t step, double smoothed_loss) {
  if (!std::isfinite(smoothed_loss) || step % every_ != 0) return;
  training_.emplace_back(step, smoothed_loss);
  if (training_.size() > kMostPoints) Thin();
}

void LossChart::AddValidation(int64_t step, double loss) {
  if (std::isfinite(loss)) validation_.emplace_back(step, loss);
}

void LossChart::Thin() {
  every_ *= 2;
  std::erase_if(training_, [&](const auto& point) { return point.first % every_ != 0; });
}

std::string LossChart::Svg(const std::string& title, int64_t total_steps) const {
  return DrawSvg({.title = title,
                  .x_label = "step",
                  .y_label = "nats per token",
                  .x_end = static_cast<double>(std::max<int64_t>(1, total_steps)),
                  .series = {Series("training", training_), Series("validation", validation_)}});
}

}  // namespace tern::train
