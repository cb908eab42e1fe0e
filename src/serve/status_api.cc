#include "serve/status_api.h"

#include <unistd.h>

#include <fstream>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/ops.h"
#include "serve/handler.h"
#include "serve/metrics.h"
#include "serve/model_api.h"
#include "serve/openai_answer.h"

namespace tern::serve {
namespace {

using nlohmann::ordered_json;

/// Bytes of this process that lie in memory; 0 when that cannot be known.
uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return statm ? resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

uint64_t MachineBytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

ordered_json DescribeHttp(const HttpStats& stats) {
  return {{"connections", stats.connections},
          {"connections_total", stats.connections_total},
          {"refused_connections", stats.refused_connections},
          {"requests", stats.requests},
          {"bad_requests", stats.bad_requests},
          {"responses_2xx", stats.responses_2xx},
          {"responses_3xx", stats.responses_3xx},
          {"responses_4xx", stats.responses_4xx},
          {"responses_5xx", stats.responses_5xx},
          {"unauthorized", stats.unauthorized},
          {"timeouts", stats.timeouts},
          {"vanished", stats.vanished}};
}

ordered_json DescribeEngine(const EngineStats& stats) {
  return {{"waiting", stats.waiting},
          {"reading", stats.reading},
          {"writing", stats.writing},
          {"requests", stats.requests},
          {"refused", stats.refused},
          {"cancelled", stats.cancelled},
          {"failed", stats.failed},
          {"prompt_tokens", stats.prompt_tokens},
          {"cached_tokens", stats.cached_tokens},
          {"generated_tokens", stats.generated_tokens},
          {"steps", stats.steps},
          {"busy_seconds", stats.busy_seconds},
          {"tokens_per_second_prompt", stats.prompt_rate},
          {"tokens_per_second_generated", stats.generated_rate}};
}

ordered_json DescribeCache(const StateCacheStats& stats) {
  return {{"memory_bytes", stats.memory_bytes},
          {"disk_bytes", stats.disk_bytes},
          {"states", stats.states},
          {"named", stats.named},
          {"evictable", stats.evictable},
          {"not_kept", stats.not_kept},
          {"hits", stats.hits},
          {"misses", stats.misses},
          {"disk_reads", stats.disk_reads},
          {"disk_writes", stats.disk_writes},
          {"evictions", stats.evictions},
          {"corrupt", stats.corrupt}};
}

ordered_json DescribeStatus(const ServiceContext& context, bool admin) {
  ordered_json json;
  json["version"] = context.version;
  json["admin"] = admin;  // whether the client may load and unload models
  json["uptime_seconds"] = SecondsSince(context.started);
  json["machine"] = {{"cpu", DescribeCpu()},
                     {"level", kernels::Name(kernels::Kernels().level)},
                     {"threads", NumThreads()},
                     {"memory_bytes", MachineBytes()},
                     {"available_bytes", AvailableMemory()}};
  json["process"] = {{"resident_bytes", ResidentBytes()}};
  if (context.ready) json["http"] = DescribeHttp(context.http_stats());
  json["models"] = ordered_json::array();
  for (const ModelEntry& entry : context.host.List()) {
    ordered_json model = DescribeModel(entry)["tern"];
    model["id"] = entry.source.name;
    if (entry.served) {
      model["engine"] = DescribeEngine(entry.served->engine().stats());
      model["cache"] = DescribeCache(entry.served->cache().stats());
    }
    json["models"].push_back(std::move(model));
  }
  return json;
}

// ---- Prometheus

struct Sampled {
  MetricLabels labels;
  EngineStats engine;
  StateCacheStats cache;
};

/// One metric with a sample per model.
struct ModelMetric {
  const char* name;
  const char* help;
  bool counter;
  double (*value)(const Sampled&);
};

constexpr ModelMetric kModelMetrics[] = {
    {"tern_requests_waiting", "Requests in the queue.", false,
     [](const Sampled& s) { return double(s.engine.waiting); }},
    {"tern_prompts_reading", "Prompts being read.", false,
     [](const Sampled& s) { return double(s.engine.reading); }},
    {"tern_answers_writing", "Answers being written: the batch.", false,
     [](const Sampled& s) { return double(s.engine.writing); }},
    {"tern_requests_total", "Requests that were taken.", true,
     [](const Sampled& s) { return double(s.engine.requests); }},
    {"tern_requests_refused_total", "Requests refused as the queue was full.", true,
     [](const Sampled& s) { return double(s.engine.refused); }},
    {"tern_requests_cancelled_total", "Requests whose clients went away.", true,
     [](const Sampled& s) { return double(s.engine.cancelled); }},
    {"tern_requests_failed_total", "Requests that ended in an error.", true,
     [](const Sampled& s) { return double(s.engine.failed); }},
    {"tern_prompt_tokens_total", "Tokens of prompts that were read.", true,
     [](const Sampled& s) { return double(s.engine.prompt_tokens); }},
    {"tern_cached_tokens_total", "Tokens of prompts that a kept state spared.", true,
     [](const Sampled& s) { return double(s.engine.cached_tokens); }},
    {"tern_generated_tokens_total", "Tokens of answers.", true,
     [](const Sampled& s) { return double(s.engine.generated_tokens); }},
    {"tern_steps_total", "Forward passes.", true, [](const Sampled& s) { return double(s.engine.steps); }},
    {"tern_busy_seconds_total", "Time in forward passes and sampling.", true,
     [](const Sampled& s) { return s.engine.busy_seconds; }},
    {"tern_state_memory_bytes", "Kept states in memory.", false,
     [](const Sampled& s) { return double(s.cache.memory_bytes); }},
    {"tern_state_disk_bytes", "Kept states on disk.", false,
     [](const Sampled& s) { return double(s.cache.disk_bytes); }},
    {"tern_states", "Kept states.", false, [](const Sampled& s) { return double(s.cache.states); }},
    {"tern_states_named", "Kept states with a name.", false,
     [](const Sampled& s) { return double(s.cache.named); }},
    {"tern_states_evictable", "Kept states with a name that may be forgotten.", false,
     [](const Sampled& s) { return double(s.cache.evictable); }},
    {"tern_states_not_kept_total", "States that were to be kept and could not be.", true,
     [](const Sampled& s) { return double(s.cache.not_kept); }},
    {"tern_state_hits_total", "Prompts that began at a kept state.", true,
     [](const Sampled& s) { return double(s.cache.hits); }},
    {"tern_state_misses_total", "Prompts that began at none.", true,
     [](const Sampled& s) { return double(s.cache.misses); }},
    {"tern_state_disk_reads_total", "States read from disk.", true,
     [](const Sampled& s) { return double(s.cache.disk_reads); }},
    {"tern_state_disk_writes_total", "States written to disk.", true,
     [](const Sampled& s) { return double(s.cache.disk_writes); }},
    {"tern_state_evictions_total", "States forgotten for want of room.", true,
     [](const Sampled& s) { return double(s.cache.evictions); }},
    {"tern_state_corrupt_total", "Damaged state files met.", true,
     [](const Sampled& s) { return double(s.cache.corrupt); }},
};

void WriteHistograms(const std::vector<Sampled>& samples, MetricsWriter* writer) {
  struct Entry {
    const char* name;
    const char* help;
    const tern::Histogram EngineStats::*histogram;
  };
  constexpr Entry kEntries[] = {
      {"tern_queue_seconds", "From a request to its first pass.", &EngineStats::queue_seconds},
      {"tern_first_token_seconds", "From a request to its answer's first token.",
       &EngineStats::first_token_seconds},
      {"tern_token_seconds", "Between two tokens of an answer.", &EngineStats::token_seconds},
      {"tern_batch_size", "Answers written by a pass.", &EngineStats::batch},
  };
  for (const Entry& entry : kEntries) {
    for (const Sampled& sample : samples) {
      const tern::Histogram& histogram = sample.engine.*entry.histogram;
      writer->Add(entry.name, entry.help,
                  {.bounds = histogram.bounds(), .counts = histogram.counts(), .sum = histogram.sum()},
                  sample.labels);
    }
  }
}

std::string WriteMetrics(const ServiceContext& context) {
  std::vector<Sampled> samples;
  size_t names = 0;
  for (const ModelEntry& entry : context.host.List()) {
    ++names;
    if (!entry.served) continue;
    samples.push_back(
        {{{"model", entry.source.name}}, entry.served->engine().stats(), entry.served->cache().stats()});
  }
  MetricsWriter writer;
  writer.Gauge("tern_info", "The program.").Sample(1, {{"version", context.version}});
  writer.Gauge("tern_uptime_seconds", "Since the start.").Sample(SecondsSince(context.started));
  writer.Gauge("tern_resident_bytes", "Memory of the process.").Sample(static_cast<double>(ResidentBytes()));
  writer.Gauge("tern_models", "Models with a name.").Sample(static_cast<double>(names));
  writer.Gauge("tern_models_loaded", "Models that are loaded.").Sample(static_cast<double>(samples.size()));
  for (const ModelMetric& metric : kModelMetrics) {
    metric.counter ? writer.Counter(metric.name, metric.help) : writer.Gauge(metric.name, metric.help);
    for (const Sampled& sample : samples) writer.Sample(metric.value(sample), sample.labels);
  }
  WriteHistograms(samples, &writer);
  if (context.ready) WriteHttpMetrics(context.http_stats(), &writer);
  return writer.text();
}

// ---- Handlers

Task<void> ShowStatus(ServiceContext& context, Exchange& exchange) {
  co_await SendJson(exchange, DescribeStatus(context, exchange.request().admin));
}

Task<void> ShowMetrics(ServiceContext& context, Exchange& exchange) {
  HttpResponse response;
  response.content_type = MetricsWriter::kContentType;
  response.body = WriteMetrics(context);
  const Status sent = co_await exchange.Send(std::move(response));
  static_cast<void>(sent);
}

Task<void> ShowHealth(ServiceContext& context, Exchange& exchange) {
  HttpResponse response;
  const char* status = context.stopping ? "stopping" : context.ready ? "ok" : "loading";
  response.status = context.ready && !context.stopping ? 200 : 503;
  response.body = Dump({{"status", status}});
  const Status sent = co_await exchange.Send(std::move(response));
  static_cast<void>(sent);
}

}  // namespace

std::vector<Route> StatusRoutes(const std::shared_ptr<ServiceContext>& context) {
  return {
      MakeRoute(context, "GET", "/v1/status", ShowStatus),
      MakeRoute(context, "GET", "/metrics", ShowMetrics),
      MakeRoute(context, "GET", "/health", ShowHealth, Access::kPublic),
  };
}

}  // namespace tern::serve
