#include "base/line_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

/// Every tag is closed by its own.
bool IsBalanced(const std::string& svg) {
  static const std::regex tag("<(/?)([a-z]+)[^<>]*?(/?)>");
  std::vector<std::string> open;
  for (std::sregex_iterator it(svg.begin(), svg.end(), tag), end; it != end; ++it) {
    if ((*it)[3] == "/") continue;
    if ((*it)[1] != "/") {
      open.push_back((*it)[2]);
    } else if (open.empty() || open.back() != (*it)[2]) {
      return false;
    } else {
      open.pop_back();
    }
  }
  return open.empty();
}

/// The centres of the dots.
std::vector<std::pair<double, double>> Dots(const std::string& svg) {
  static const std::regex dot("cx=\"([^\"]*)\" cy=\"([^\"]*)\"");
  std::vector<std::pair<double, double>> dots;
  for (std::sregex_iterator it(svg.begin(), svg.end(), dot), end; it != end; ++it)
    dots.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  return dots;
}

/// The texts that end left of the vertical axis: its ticks, lowest first.
std::vector<std::string> VerticalTicks(const std::string& svg) {
  static const std::regex tick("text-anchor=\"end\">([^<]*)<");
  std::vector<std::string> ticks;
  for (std::sregex_iterator it(svg.begin(), svg.end(), tick), end; it != end; ++it) ticks.push_back((*it)[1]);
  return ticks;
}

LineChart Chart(std::vector<ChartPoint> points) {
  return {.title = "t",
          .x_label = "x",
          .y_label = "y",
          .x_end = 10,
          .series = {{.name = "curve", .points = std::move(points), .dots = true}}};
}

TEST(LineChart, IsWholeForAnyPoints) {
  const double inf = INFINITY, most = std::numeric_limits<double>::max();
  const std::vector<std::vector<ChartPoint>> all = {
      {},
      {{1, 5}},
      {{0, 2}, {10, 2}},
      {{0, -1e-300}, {1, 1e-300}},
      {{0, NAN}, {1, inf}, {2, -inf}, {NAN, 1}},
      {{0, most}, {1, -most}, {most, 3}},
      {{0, 1e100}, {1e100, -1e100}},
      {{0, 1e100}, {1, 1e100}},
      {{-5, 1}, {0, 2}},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string svg = DrawSvg(Chart(all[i]));
    EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n")) << i;
    EXPECT_TRUE(IsBalanced(svg)) << svg;
    for (const char* bad : {"nan", "inf"}) EXPECT_THAT(svg, Not(HasSubstr(bad))) << i;
    for (const auto& [x, y] : Dots(svg)) {
      EXPECT_TRUE(x >= 64 && x <= 696 && y >= 68 && y <= 364) << i << ": " << x << " " << y;
    }
    EXPECT_LT(svg.size(), 10000u) << i;
  }
}

TEST(LineChart, PointsStandWhereTheAxesSay) {
  const auto dots = Dots(DrawSvg(Chart({{0, 1}, {5, 2}, {10, 3}})));
  EXPECT_THAT(dots, ElementsAre(std::pair(64.0, 364.0), std::pair(380.0, 216.0), std::pair(696.0, 68.0)));
}

TEST(LineChart, TicksAreRoundNumbersAroundThePoints) {
  EXPECT_THAT(VerticalTicks(DrawSvg(Chart({{0, 1.13}, {1, 1.98}}))),
              ElementsAre("1.0", "1.2", "1.4", "1.6", "1.8", "2.0"));
  EXPECT_THAT(VerticalTicks(DrawSvg(Chart({{0, -30}, {1, 70}}))),
              ElementsAre("-40", "-20", "0", "20", "40", "60", "80"));
  const std::string svg = DrawSvg(Chart({{0, 1}, {14, 2}}));  // beyond the end that was given
  for (const char* tick : {">0<", ">2<", ">14<"}) EXPECT_THAT(svg, HasSubstr(tick));
  EXPECT_THAT(svg, Not(HasSubstr(">16<")));
}

TEST(LineChart, TicksGivenReplaceItsOwn) {
  LineChart chart = Chart({{0, 1}, {10, 2}});
  chart.x_ticks = {{5, "half"}};
  const std::string svg = DrawSvg(chart);
  EXPECT_THAT(svg, HasSubstr("x=\"380.0\" y=\"384.0\" text-anchor=\"middle\">half<"));
  EXPECT_THAT(svg, Not(HasSubstr(">10<")));
}

TEST(LineChart, ASeriesOfOnePointIsSeen) {
  LineChart chart = Chart({{3, 1}});
  chart.series[0].dots = false;
  EXPECT_EQ(Count(DrawSvg(chart), "<circle"), 1u);
  chart.series[0].points.push_back({4, 1});
  EXPECT_EQ(Count(DrawSvg(chart), "<circle"), 0u);
}

TEST(LineChart, EscapesItsTexts) {
  LineChart chart = Chart({{3, 1, "a note <1>"}});
  chart.title = "a<b> & \"c\"\n";
  chart.x_label = "<x>";
  chart.y_label = "<y>";
  chart.series[0].name = "<name>";
  chart.x_ticks = {{1, "<tick>"}};
  const std::string svg = DrawSvg(chart);
  EXPECT_THAT(svg, HasSubstr(">a&lt;b&gt; &amp; &quot;c&quot; <"));
  for (const char* text :
       {"&lt;x&gt;", "&lt;y&gt;", "&lt;name&gt;", "&lt;tick&gt;", "<title>a note &lt;1&gt;</title>"})
    EXPECT_THAT(svg, HasSubstr(text));
  EXPECT_TRUE(IsBalanced(svg));
}

TEST(LineChart, HasColoursForALightAndADarkPage) {
  LineChart chart = Chart({{0, 1}, {1, 2}});
  chart.series.push_back({.name = "other", .points = {{0, 2}, {1, 1}}});
  const std::string svg = DrawSvg(chart);
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(svg, HasSubstr("class=\"line c0\""));
  EXPECT_THAT(svg, HasSubstr("class=\"line c1\""));
}

}  // namespace
}  // namespace tern
