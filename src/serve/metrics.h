// Figures for Prometheus, in its text format (version 0.0.4).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http.h"

namespace tern::serve {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// What a histogram (base/histogram.h) holds.
struct HistogramCounts {
  std::vector<double> bounds = {};   ///< upper ends of the buckets, ascending
  std::vector<int64_t> counts = {};  ///< of each bucket by itself; one more than bounds
  double sum = 0;
};

/// Writes metrics one after the other. Samples of one name stand together: name it once, then give its
/// samples. Names are made of letters, digits, '_' and ':'.
class MetricsWriter {
 public:
  /// Begin a metric; `help` is one sentence, units in the name ("tern_prompt_tokens_total", "…_seconds").
  MetricsWriter& Counter(std::string_view name, std::string_view help);
  MetricsWriter& Gauge(std::string_view name, std::string_view help);
  /// A sample of the metric begun last.
  MetricsWriter& Sample(double value, const MetricLabels& labels = {});
  /// A whole histogram; for the same name with other labels, once more with the same help.
  MetricsWriter& Add(std::string_view name, std::string_view help, const HistogramCounts& histogram,
                     const MetricLabels& labels = {});

  const std::string& text() const { return text_; }
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  void Begin(std::string_view name, std::string_view help, std::string_view type);
  void Line(const std::string& name, const MetricLabels& labels, double value);
  std::string text_, name_;
};

/// tern_http_…
void WriteHttpMetrics(const HttpStats& stats, MetricsWriter* writer);

}  // namespace tern::serve
