// Loss by position as SVG: one file, no script, colours that follow the reader's light or dark page.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/perplexity.h"

namespace tern::eval {
namespace {

constexpr double kWidth = 720, kHeight = 420, kLeft = 64, kRight = 24, kTop = 48, kBottom = 56;

std::string EscapeXml(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // control characters are no XML
    }
  }
  return out;
}

/// A bucket's place on the horizontal axis: log2 of (position + 1) in the middle of the bucket.
double PlaceOf(const PositionBucket& bucket) {
  return 0.5 *
         (std::log2(static_cast<double>(bucket.from) + 1) + std::log2(static_cast<double>(bucket.to) + 1));
}

/// 1, 2 or 5 times a power of ten, so that about `n` steps cover `range`.
double NiceStep(double range, double n) {
  const double rough = range / n;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

/// The drawing's scales: what lies where.
class Scales {
 public:
  explicit Scales(const std::vector<PositionBucket>& buckets) {
    low_ = INFINITY;
    double high = -INFINITY;
    for (const PositionBucket& bucket : buckets) {
      if (bucket.tokens == 0) continue;
      low_ = std::min(low_, bucket.nats / static_cast<double>(bucket.tokens));
      high = std::max(high, bucket.nats / static_cast<double>(bucket.tokens));
    }
    if (!(low_ <= high)) low_ = high = 0;
    step_ = NiceStep(std::max(high - low_, 0.01), 6);
    low_ = std::floor(low_ / step_) * step_;
    steps_ = std::max(1, static_cast<int>(std::ceil((high - low_) / step_)));
    right_ = buckets.empty() ? 1 : std::max(1.0, std::log2(static_cast<double>(buckets.back().to) + 1));
  }
  double X(double place) const { return kLeft + place / right_ * (kWidth - kLeft - kRight); }
  double Y(double nats) const {
    return kHeight - kBottom - (nats - low_) / (step_ * steps_) * (kHeight - kTop - kBottom);
  }
  int steps() const { return steps_; }
  double Tick(int i) const { return low_ + step_ * i; }
  /// Decimals that the ticks need.
  int decimals() const { return std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9))); }
  double right() const { return right_; }

 private:
  double low_, step_, right_;
  int steps_;
};

std::string DrawAxes(const Scales& s) {
  std::string out;
  const double bottom = kHeight - kBottom;
  for (int i = 0; i <= s.steps(); ++i) {
    const double y = s.Y(s.Tick(i));
    out += fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", i == 0 ? "axis" : "grid", kLeft,
                       y, kWidth - kRight);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.{}f}</text>\n", kLeft - 8,
                       y + 4, s.Tick(i), s.decimals());
  }
  const int every = std::max(1, static_cast<int>(std::ceil(s.right() / 12)));
  for (int power = 0; power <= static_cast<int>(s.right()); power += every) {
    const double x = s.X(power);
    out += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v5\"/>\n", x, bottom);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x, bottom + 20,
                       (int64_t{1} << power) - 1);
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">tokens read before</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 12);
  out += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">nats per token</text>\n",
      (kTop + bottom) / 2);
  return out;
}

}  // namespace

std::string DrawLossByPosition(const Perplexity& perplexity, const std::string& title) {
  const Scales scales(perplexity.positions);
  std::string line, dots;
  for (const PositionBucket& bucket : perplexity.positions) {
    if (bucket.tokens == 0) continue;
    const double nats = bucket.nats / static_cast<double>(bucket.tokens);
    const double x = scales.X(PlaceOf(bucket)), y = scales.Y(nats);
    line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x, y);
    dots += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{} to {}: {:.4f} ({} "
        "tokens)</title></circle>\n",
        x, y, bucket.from, bucket.to, nats, bucket.tokens);
  }
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
             "role=\"img\">\n<title>{2}</title>\n",
             kWidth, kHeight, EscapeXml(title)) +
         "<style>\n"
         "text { font: 13px system-ui, sans-serif; fill: #333 } .title { font-size: 15px; font-weight: 600 "
         "}\n"
         ".page { fill: #fff } .axis { stroke: #666; fill: none } .grid { stroke: #ddd; fill: none }\n"
         ".line { stroke: #1763b5; stroke-width: 2; fill: none } circle { fill: #1763b5 }\n"
         "@media (prefers-color-scheme: dark) {\n"
         "text { fill: #ddd } .page { fill: #16181c } .axis { stroke: #999 } .grid { stroke: #33373d }\n"
         ".line { stroke: #7ab8ff } circle { fill: #7ab8ff } }\n"
         "</style>\n" +
         fmt::format("<rect class=\"page\" width=\"{}\" height=\"{}\"/>\n", kWidth, kHeight) +
         fmt::format("<text class=\"title\" x=\"{}\" y=\"28\">{}</text>\n", kLeft, EscapeXml(title)) +
         DrawAxes(scales) + fmt::format("<path class=\"line\" d=\"{}\"/>\n", line) + dots + "</svg>\n";
}

}  // namespace tern::eval
