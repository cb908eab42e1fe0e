// A line chart as SVG: one file, no script, colours that follow its reader's light or dark page.
#pragma once

#include <string>
#include <vector>

namespace tern {

struct ChartPoint {
  double x = 0, y = 0;
  std::string note = {};  ///< shown where the pointer rests on the point's dot
};

struct ChartSeries {
  std::string name = {};  ///< in the legend; empty: not listed
  std::vector<ChartPoint> points;
  bool dots = false;  ///< a dot at every point; a series of one point has its dot anyway
};

struct ChartTick {
  double x = 0;
  std::string text;
};

/// What is drawn. The horizontal axis begins at 0; the vertical one holds all points, between round numbers.
struct LineChart {
  std::string title, x_label, y_label;
  double x_end = 1;                      ///< the horizontal axis goes on to here, or to the last point
  std::vector<ChartTick> x_ticks = {};   ///< none: whole round numbers
  std::vector<ChartSeries> series = {};  ///< points by increasing x ≥ 0; two colours take turns
};

/// The drawing, for any number of points. Those that are not finite (or beyond ±1e100) are left out. Texts
/// may hold anything: what XML gives a meaning is escaped.
std::string DrawSvg(const LineChart& chart);

}  // namespace tern
