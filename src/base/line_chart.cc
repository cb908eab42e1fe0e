#include "base/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace tern {
namespace {

constexpr double kWidth = 720, kHeight = 420, kLeft = 64, kRight = 24, kBottom = 56;
constexpr double kTitleBase = 28, kLegendBase = 50, kTop = 68;
constexpr int kColours = 2;

constexpr const char* kStyle =
    "<style>\n"
    "text { font: 13px system-ui, sans-serif; fill: #444 } .title { font-size: 15px; font-weight: 600; fill: "
    "#111 }\n"
    ".page { fill: #fff } .axis { stroke: #777; fill: none } .grid { stroke: #e2e2e2; fill: none }\n"
    ".line { fill: none; stroke-width: 2; stroke-linejoin: round }\n"
    ".line.c0 { stroke: #1763b5 } .dot.c0 { fill: #1763b5 } .line.c1 { stroke: #c4500c } .dot.c1 { fill: "
    "#c4500c }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "text { fill: #c3c8cf } .title { fill: #f0f2f5 }\n"
    ".page { fill: #15181c } .axis { stroke: #8b929a } .grid { stroke: #2e343b }\n"
    ".line.c0 { stroke: #7ab8ff } .dot.c0 { fill: #7ab8ff } .line.c1 { stroke: #ffa265 } .dot.c1 { fill: "
    "#ffa265 }\n"
    "}\n</style>\n";

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // control characters are no XML
    }
  }
  return escaped;
}

bool IsDrawn(const ChartPoint& point) {
  constexpr double kLargest = 1e100;  // sums and differences of such numbers are finite
  return std::abs(point.x) <= kLargest && std::abs(point.y) <= kLargest;
}

std::vector<ChartPoint> Drawn(const ChartSeries& series) {
  std::vector<ChartPoint> points;
  std::copy_if(series.points.begin(), series.points.end(), std::back_inserter(points), IsDrawn);
  return points;
}

/// 1, 2 or 5 times a power of ten, so that about `count` of them make up `span` > 0.
double RoundStep(double span, double count) {
  const double rough = span / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double lead : {1.0, 2.0, 5.0}) {
    if (lead * power >= rough) return lead * power;
  }
  return 10 * power;
}

/// From values to places on the drawing.
class Frame {
 public:
  explicit Frame(const LineChart& chart) : right_(std::max(chart.x_end, 1e-9)) {
    double low = INFINITY, high = -INFINITY;
    for (const ChartSeries& series : chart.series) {
      for (const ChartPoint& point : Drawn(series)) {
        low = std::min(low, point.y);
        high = std::max(high, point.y);
        right_ = std::max(right_, point.x);
      }
    }
    if (low > high) low = 0, high = 1;
    // A flat curve is not blown up until its last digits show.
    step_ = RoundStep(std::max({high - low, 0.01, 1e-3 * std::abs(high), 1e-3 * std::abs(low)}), 6);
    first_ = std::floor(low / step_);
    steps_ = std::max(1, static_cast<int>(std::ceil(high / step_ - first_)));
  }

  double X(double x) const { return kLeft + std::clamp(x / right_, 0.0, 1.0) * (kWidth - kLeft - kRight); }
  double Y(double y) const {
    return kHeight - kBottom -
           std::clamp((y / step_ - first_) / steps_, 0.0, 1.0) * (kHeight - kTop - kBottom);
  }
  double right() const { return right_; }
  int steps() const { return steps_; }
  double Tick(int i) const { return (first_ + i) * step_; }
  /// Decimals that the ticks need.
  int decimals() const { return std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9))); }

 private:
  double right_, step_, first_;  // first_: the lowest tick, in steps
  int steps_;
};

std::string Text(double x, double y, const char* anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     Escaped(text));
}

std::string VerticalAxis(const Frame& frame, const std::string& label) {
  std::string svg;
  for (int i = 0; i <= frame.steps(); ++i) {
    const double y = frame.Y(frame.Tick(i));
    svg += fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", i == 0 ? "axis" : "grid", kLeft,
                       y, kWidth - kRight);
    svg += Text(kLeft - 8, y + 4, "end", fmt::format("{:.{}f}", frame.Tick(i), frame.decimals()));
  }
  return svg + fmt::format(
                   "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                   (kTop + kHeight - kBottom) / 2, Escaped(label));
}

std::string HorizontalAxis(const Frame& frame, const LineChart& chart) {
  std::vector<ChartTick> ticks = chart.x_ticks;
  if (ticks.empty()) {
    const double unit = std::max(1.0, RoundStep(frame.right(), 7));
    for (int i = 0; i * unit <= frame.right() * (1 + 1e-9); ++i)
      ticks.push_back({i * unit, fmt::format("{:.0f}", i * unit)});
  }
  std::string svg;
  const double bottom = kHeight - kBottom;
  for (const ChartTick& tick : ticks) {
    svg += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v5\"/>\n", frame.X(tick.x), bottom);
    svg += Text(frame.X(tick.x), bottom + 20, "middle", tick.text);
  }
  return svg + Text((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", chart.x_label);
}

std::string Curve(const Frame& frame, const ChartSeries& series, size_t colour) {
  const std::vector<ChartPoint> points = Drawn(series);
  if (points.empty()) return "";
  std::string path, dots;
  for (const ChartPoint& point : points) {
    const double x = frame.X(point.x), y = frame.Y(point.y);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
    if (!series.dots && points.size() > 1) continue;
    const std::string note = point.note.empty() ? "" : "<title>" + Escaped(point.note) + "</title>";
    dots += fmt::format("<circle class=\"dot c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\">{}</circle>\n",
                        colour, x, y, note);
  }
  return fmt::format("<path class=\"line c{}\" d=\"{}\"/>\n", colour, path) + dots;
}

/// Names beside a piece of their lines. Places are by a guess of the text's width: no font is at hand.
std::string Legend(const std::vector<ChartSeries>& all) {
  constexpr double kSwatch = 22, kGap = 6, kPerByte = 7.5, kBetween = 24;
  std::string svg;
  double x = kLeft;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].name.empty()) continue;
    svg += fmt::format("<path class=\"line c{}\" d=\"M{:.1f} {:.1f}h{:.1f}\"/>\n", i % kColours, x,
                       kLegendBase - 4, kSwatch);
    svg += Text(x + kSwatch + kGap, kLegendBase, "start", all[i].name);
    x += kSwatch + kGap + kPerByte * static_cast<double>(all[i].name.size()) + kBetween;
  }
  return svg;
}

}  // namespace

std::string DrawSvg(const LineChart& chart) {
  const Frame frame(chart);
  const std::string title = Escaped(chart.title);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "role=\"img\">\n"
      "<title>{2}</title>\n{3}<rect class=\"page\" width=\"{0}\" height=\"{1}\"/>\n"
      "<text class=\"title\" x=\"{4}\" y=\"{5}\">{2}</text>\n",
      kWidth, kHeight, title, kStyle, kLeft, kTitleBase);
  svg += VerticalAxis(frame, chart.y_label) + HorizontalAxis(frame, chart);
  for (size_t i = 0; i < chart.series.size(); ++i) svg += Curve(frame, chart.series[i], i % kColours);
  return svg + Legend(chart.series) + "</svg>\n";
}

}  // namespace tern
