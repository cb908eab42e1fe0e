// Loss by position, on an axis of powers of two.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/line_chart.h"
#include "eval/perplexity.h"
#include "text/tokenizer.h"

namespace tern::eval {
namespace {

double LogPlace(int64_t position) { return std::log2(static_cast<double>(position) + 1); }

/// At positions 2^i − 1, no more than a dozen of them.
std::vector<ChartTick> Ticks(double end) {
  std::vector<ChartTick> ticks;
  const int every = std::max(1, static_cast<int>(std::ceil(end / 12)));
  for (int power = 0; power <= static_cast<int>(end); power += every)
    ticks.push_back({static_cast<double>(power), fmt::format("{}", (int64_t{1} << power) - 1)});
  return ticks;
}

}  // namespace

std::string DrawLossByPosition(const Perplexity& perplexity, const std::string& title) {
  ChartSeries curve{.points = {}, .dots = true};
  for (const PositionBucket& bucket : perplexity.positions) {
    if (bucket.tokens == 0) continue;
    const double nats = bucket.nats / static_cast<double>(bucket.tokens);
    // In the middle of the bucket.
    curve.points.push_back(
        {(LogPlace(bucket.from) + LogPlace(bucket.to)) / 2, nats,
         fmt::format("{} to {}: {:.4f} ({} tokens)", bucket.from, bucket.to, nats, bucket.tokens)});
  }
  const double end =
      perplexity.positions.empty() ? 1 : std::max(1.0, LogPlace(perplexity.positions.back().to));
  Utf8Stream characters;  // a file's name may be any bytes; a drawing is XML
  std::string clean = characters.Push(title);
  clean += characters.Finish();
  return DrawSvg({.title = clean,
                  .x_label = "tokens read before",
                  .y_label = "nats per token",
                  .x_end = end,
                  .x_ticks = Ticks(end),
                  .series = {std::move(curve)}});
}

}  // namespace tern::eval
