#include "train/loss_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tern::train {
namespace {

constexpr double kWidth = 720, kHeight = 400, kLeft = 62, kRight = 18, kTop = 40, kBottom = 46;
constexpr size_t kMostPoints = 1000;

using Points = std::vector<std::pair<int64_t, double>>;

/// 1, 2 or 5 times a power of ten, so that about `count` of them make up `span`.
double NiceStep(double span, int count) {
  const double rough = std::max(span, 1e-9) / count, power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

/// From values to places on the drawing.
struct Frame {
  double steps = 1, low = 0, high = 1, unit = 0.1;

  double X(double step) const { return kLeft + (kWidth - kLeft - kRight) * step / steps; }
  double Y(double loss) const {
    const double inside = std::clamp((loss - low) / (high - low), 0.0, 1.0);
    return kHeight - kBottom - (kHeight - kTop - kBottom) * inside;
  }
};

Frame FrameFor(const Points& training, const Points& validation, int64_t total_steps) {
  Frame frame;
  frame.steps = static_cast<double>(std::max<int64_t>(1, total_steps));
  double low = 1e300, high = -1e300;
  for (const Points* points : {&training, &validation}) {
    for (const auto& [step, loss] : *points) {
      low = std::min(low, loss);
      high = std::max(high, loss);
      frame.steps = std::max(frame.steps, static_cast<double>(step));
    }
  }
  if (low > high) low = 0, high = 1;
  frame.unit = NiceStep(high - low, 6);
  frame.low = std::floor(low / frame.unit) * frame.unit;
  frame.high = std::max(std::ceil(high / frame.unit) * frame.unit, frame.low + frame.unit);
  return frame;
}

std::string Axes(const Frame& frame) {
  std::string svg;
  for (double y = frame.low; y <= frame.high + frame.unit / 2; y += frame.unit) {
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", kLeft, frame.Y(y),
                       kWidth - kRight);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", kLeft - 8,
                       frame.Y(y) + 4, y);
  }
  const double unit = std::max(1.0, NiceStep(frame.steps, 7));
  for (double x = 0; x <= frame.steps * 1.0001; x += unit) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n", frame.X(x),
                       kHeight - kBottom + 18, x);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">step</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8);
  svg += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">nats per token</text>\n",
      (kTop + kHeight - kBottom) / 2);
  return svg;
}

std::string Line(const Frame& frame, const Points& points, const char* kind) {
  if (points.empty()) return "";
  std::string svg = fmt::format("<path class=\"line {}\" d=\"", kind);
  for (size_t i = 0; i < points.size(); ++i) {
    svg += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", frame.X(static_cast<double>(points[i].first)),
                       frame.Y(points[i].second));
  }
  return svg + "\"/>\n";
}

std::string Legend(const Points& training, const Points& validation) {
  std::string svg;
  double x = kWidth - kRight;
  const auto entry = [&](const Points& points, const char* kind, const char* name) {
    if (points.empty()) return;
    svg += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"24\" text-anchor=\"end\">{} {:.4f}</text>\n",
                       kind, x, name, points.back().second);
    x -= 140;
  };
  entry(validation, "validation", "validation");
  entry(training, "training", "training");
  return svg;
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return escaped;
}

constexpr const char* kStyle =
    "<style>\n"
    "svg { background: #fff; font: 12px system-ui, sans-serif }\n"
    "text { fill: #444 } .title { font-weight: 600; fill: #111 }\n"
    ".grid { stroke: #ddd; fill: none } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }\n"
    ".line.training { stroke: #1f77b4 } text.training { fill: #1f77b4 }\n"
    ".line.validation { stroke: #d62728 } text.validation { fill: #d62728 }\n"
    ".dot { fill: #d62728 }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "svg { background: #15181c } text { fill: #b8bec6 } .title { fill: #f0f2f5 } .grid { stroke: #2e343b }\n"
    ".line.training { stroke: #6cb6ff } text.training { fill: #6cb6ff }\n"
    ".line.validation { stroke: #ff8b80 } text.validation { fill: #ff8b80 } .dot { fill: #ff8b80 }\n"
    "}\n</style>\n";

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
  const Frame frame = FrameFor(training_, validation_, total_steps);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "role=\"img\">\n"
      "<title>{2}</title>\n{3}<text class=\"title\" x=\"{4}\" y=\"24\">{2}</text>\n",
      kWidth, kHeight, Escaped(title), kStyle, kLeft);
  svg += Axes(frame) + Line(frame, training_, "training") + Line(frame, validation_, "validation");
  if (validation_.size() == 1) {
    svg += fmt::format("<circle class=\"dot\" r=\"3\" cx=\"{:.1f}\" cy=\"{:.1f}\"/>\n",
                       frame.X(static_cast<double>(validation_[0].first)), frame.Y(validation_[0].second));
  }
  return svg + Legend(training_, validation_) + "</svg>\n";
}

}  // namespace tern::train
