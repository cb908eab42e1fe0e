#include "serve/metrics.h"

#include <charconv>
#include <cmath>

namespace tern::serve {
namespace {

/// The shortest text that reads back as the same number.
std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

std::string Escaped(std::string_view text, bool quotes) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else {
      if (c == '\\' || (quotes && c == '"')) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

void MetricsWriter::Begin(std::string_view name, std::string_view help, std::string_view type) {
  if (name_ == name) return;
  name_ = name;
  text_ += "# HELP " + name_ + " " + Escaped(help, false) + "\n# TYPE " + name_ + " ";
  text_ += type;
  text_ += '\n';
}

MetricsWriter& MetricsWriter::Counter(std::string_view name, std::string_view help) {
  Begin(name, help, "counter");
  return *this;
}

MetricsWriter& MetricsWriter::Gauge(std::string_view name, std::string_view help) {
  Begin(name, help, "gauge");
  return *this;
}

MetricsWriter& MetricsWriter::Sample(double value, const MetricLabels& labels) {
  Line(name_, labels, value);
  return *this;
}

MetricsWriter& MetricsWriter::Add(std::string_view name, std::string_view help,
                                  const HistogramCounts& histogram, const MetricLabels& labels) {
  Begin(name, help, "histogram");
  MetricLabels with_bound = labels;
  with_bound.emplace_back("le", "");
  int64_t below = 0;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    below += histogram.counts[i];
    with_bound.back().second = i < histogram.bounds.size() ? Number(histogram.bounds[i]) : "+Inf";
    Line(name_ + "_bucket", with_bound, static_cast<double>(below));
  }
  Line(name_ + "_sum", labels, histogram.sum);
  Line(name_ + "_count", labels, static_cast<double>(below));
  return *this;
}

void MetricsWriter::Line(const std::string& name, const MetricLabels& labels, double value) {
  text_ += name;
  for (size_t i = 0; i < labels.size(); ++i) {
    text_ += (i == 0 ? "{" : ",") + labels[i].first + "=\"" + Escaped(labels[i].second, true) + "\"";
  }
  if (!labels.empty()) text_ += '}';
  text_ += " " + Number(value) + "\n";
}

void WriteHttpMetrics(const HttpStats& stats, MetricsWriter* writer) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  writer->Gauge("tern_http_connections", "Connections that are open").Sample(number(stats.connections));
  writer->Counter("tern_http_connections_total", "Connections that were taken")
      .Sample(number(stats.connections_total));
  writer
      ->Counter("tern_http_connections_refused_total", "Connections turned away because there were too many")
      .Sample(number(stats.refused_connections));
  writer->Counter("tern_http_requests_total", "Requests begun").Sample(number(stats.requests));
  writer->Counter("tern_http_responses_total", "Answers by the class of their status")
      .Sample(number(stats.responses_2xx), {{"status", "2xx"}})
      .Sample(number(stats.responses_3xx), {{"status", "3xx"}})
      .Sample(number(stats.responses_4xx), {{"status", "4xx"}})
      .Sample(number(stats.responses_5xx), {{"status", "5xx"}});
  writer->Counter("tern_http_bad_requests_total", "Requests that were not sound, too large or too slow")
      .Sample(number(stats.bad_requests));
  writer->Counter("tern_http_unauthorized_total", "Requests without a key that is known here")
      .Sample(number(stats.unauthorized));
  writer->Counter("tern_http_timeouts_total", "Requests and answers that took too long")
      .Sample(number(stats.timeouts));
  writer->Counter("tern_http_vanished_total", "Clients that went before their answer was complete")
      .Sample(number(stats.vanished));
}

}  // namespace tern::serve
