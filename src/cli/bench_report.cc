#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "base/cpu.h"
#include "cli/common.h"
#include "kernels/ops.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;

// --- numbers that follow from the measured ones
// -----------------------------------------------------------------------------------------------

Series Scaled(const Series& series, double factor) {
  Series scaled;
  for (const double value : series.values) scaled.Add(value * factor);
  return scaled;
}

/// Of the memory's limit, bytes really read per token ÷ bandwidth, that decoding reaches.
Series ShareOfBandwidth(const InferMeasured& m, const CaseMeasured& c) {
  return Scaled(c.decode, m.files[c.file].bytes_read_per_token).Over(m.machines[c.machine].bandwidth);
}

Series PrefillRate(const InferBenchOptions& options, const InferMeasured& m, const CaseMeasured& c) {
  if (options.prompt == 0) return {};
  return Scaled(c.prefill,
                PrefillFlop(m.files[c.file], options.prompt) / static_cast<double>(options.prompt));
}

// --- JSON
// -----------------------------------------------------------------------------------------------

Json Spread(const Series& series) {
  return {{"median", series.Median()},
          {"lowest", series.Lowest()},
          {"highest", series.Highest()},
          {"rounds", series.values}};
}

Json MachineReport(const InferMeasured& m, const MachineMeasured& machine) {
  Json report = {{"threads", machine.threads}, {"bandwidth_bytes_per_second", Spread(machine.bandwidth)}};
  report["peaks"] = Json::array();
  for (size_t i = 0; i < m.loops.size(); ++i) {
    report["peaks"].push_back({{"arithmetic", Name(m.loops[i].arithmetic)},
                               {"instruction", m.loops[i].instruction},
                               {"operations_per_second", Spread(machine.peaks[i])}});
  }
  return report;
}

Json FileReport(const InferBenchOptions& options, const FileMeasured& file) {
  Json report = {{"type", file.type}};
  if (!options.model.empty() && options.types.empty()) report["path"] = file.path;
  report["architecture"] = Name(file.config.generation);
  report["layers"] = file.config.layers;
  report["width"] = file.config.width;
  report["ffn_width"] = file.config.ffn_width;
  report["vocabulary"] = file.config.vocab;
  report["parameters"] = file.footprint.parameters;
  report["file_bytes"] = file.file_bytes;
  report["bytes_per_token"] = file.footprint.bytes_per_token;
  report["bytes_read_per_token"] = file.bytes_read_per_token;
  report["flop_per_token"] = file.footprint.flop_per_token;
  report["state_bytes"] = file.footprint.state_bytes;
  report["load_seconds"] = Spread(file.load_seconds);
  report["peak_memory_bytes"] = file.peak_memory ? Json(*file.peak_memory) : Json();
  return report;
}

Json PrefillReport(const InferBenchOptions& options, const InferMeasured& m, const CaseMeasured& c) {
  const Series rate = PrefillRate(options, m, c);
  Json report = {{"tokens", options.prompt},
                 {"tokens_per_second", Spread(c.prefill)},
                 {"flop_per_second", Spread(rate)}};
  if (const auto loop = BoundingLoop(m, c)) {
    report["peak"] = Name(m.loops[*loop].arithmetic);
    report["share_of_peak"] = Spread(rate.Over(m.machines[c.machine].peaks[*loop]));
  }
  return report;
}

Json PeerReport(const CaseMeasured& c) {
  Json report = Json::object();
  const auto add = [&](const char* name, const Series& ours, const Series& theirs) {
    if (theirs.empty()) return;
    report[name] = {{"tokens_per_second", Spread(theirs)}};
    if (!ours.empty()) report[name]["tern_over_peer"] = Spread(ours.Over(theirs));
  };
  add("decode", c.decode, c.peer_decode);
  add("prefill", c.prefill, c.peer_prefill);
  return report;
}

Json CaseReport(const InferBenchOptions& options, const InferMeasured& m, const CaseMeasured& c) {
  Json report = {{"type", m.files[c.file].type}, {"threads", m.machines[c.machine].threads}};
  report["decode"] = {{"tokens", options.generate},
                      {"tokens_per_second", Spread(c.decode)},
                      {"share_of_bandwidth", Spread(ShareOfBandwidth(m, c))}};
  if (options.prompt > 0) report["prefill"] = PrefillReport(options, m, c);
  report["batches"] = Json::array();
  for (size_t i = 0; i < options.batches.size(); ++i) {
    report["batches"].push_back({{"sequences", options.batches[i]},
                                 {"tokens_per_second", Spread(c.batches[i])},
                                 {"times_one_sequence", Spread(c.batches[i].Over(c.decode))}});
  }
  if (!options.compare.empty()) report["peer"] = PeerReport(c);
  return report;
}

// --- tables
// -----------------------------------------------------------------------------------------------

/// Rows of cells under a line of headings, columns as wide as they must be, numbers to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  void Print() const {
    std::vector<size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
    }
    std::cout << "\n";
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string space(widths[i] - Width(row[i]), ' ');
        line += i == 0 ? row[i] + space : "   " + space + row[i];
      }
      std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << "\n";
    }
  }

 private:
  /// Characters, not bytes: '…' and '×' are one.
  static size_t Width(const std::string& text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  }

  std::vector<std::vector<std::string>> rows_;
};

/// Two digits at least: "0.0042", "8.21", "82.1", "821".
std::string Digits(double value) {
  return fmt::format("{:.{}f}", value, value < 0.0995 ? 4 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/// "12.4 (12.1 … 12.6)"; the median alone after one round.
std::string Shown(const Series& series, double unit = 1) {
  const std::string median = Digits(series.Median() / unit);
  if (series.values.size() < 2) return median;
  return fmt::format("{} ({} … {})", median, Digits(series.Lowest() / unit), Digits(series.Highest() / unit));
}

std::string Percent(const Series& series) { return fmt::format("{:.1f} %", 100 * series.Median()); }

void PrintHeader(const InferBenchOptions& options, const InferMeasured& m) {
  const FileMeasured& file = m.files.front();
  std::cout << fmt::format("{}: {}, {} × {}, ffn {}, {} symbols, {} parameters\n",
                           options.random.empty() ? options.model : options.random + ", random weights",
                           Name(file.config.generation), file.config.layers, file.config.width,
                           file.config.ffn_width, file.config.vocab,
                           HumanCount(static_cast<uint64_t>(file.footprint.parameters)));
  std::cout << fmt::format("kernels {} on {}\n", kernels::Name(kernels::Kernels().level), DescribeCpu());
  std::cout << fmt::format("{} {} in turn", options.repeat, options.repeat == 1 ? "round" : "rounds");
  std::cout << (options.repeat == 1 ? "\n" : ": median (lowest … highest)\n");
}

void PrintMachine(const InferMeasured& m) {
  std::vector<std::string> headings = {"this machine", "memory read, GB/s"};
  for (const PeakLoop& loop : m.loops) {
    headings.push_back(fmt::format("{}, T{}/s", Name(loop.arithmetic),
                                   loop.arithmetic == Arithmetic::kInt8 ? "OP" : "FLOP"));
  }
  Table table(std::move(headings));
  for (const MachineMeasured& machine : m.machines) {
    std::vector<std::string> row = {
        fmt::format("{} {}", machine.threads, machine.threads == 1 ? "thread" : "threads"),
        Shown(machine.bandwidth, 1e9)};
    for (const Series& peak : machine.peaks) row.push_back(Shown(peak, 1e12));
    table.Add(std::move(row));
  }
  table.Print();
}

void PrintFiles(const InferMeasured& m) {
  Table table(
      {"type", "file", "weights per token", "read per token", "load, s", "peak memory", "of the file"});
  for (const FileMeasured& file : m.files) {
    const auto of_file = [&](uint64_t bytes) {
      return fmt::format("{:.2f} ×", static_cast<double>(bytes) / static_cast<double>(file.file_bytes));
    };
    table.Add({file.type, HumanBytes(file.file_bytes), HumanBytes(file.footprint.bytes_per_token),
               HumanBytes(static_cast<uint64_t>(file.bytes_read_per_token)), Shown(file.load_seconds),
               file.peak_memory ? HumanBytes(*file.peak_memory) : "?",
               file.peak_memory ? of_file(*file.peak_memory) : "?"});
  }
  table.Print();
}

void PrintOneSequence(const InferBenchOptions& options, const InferMeasured& m) {
  std::vector<std::string> headings = {"type", "threads", "decode, tokens/s", "of bandwidth"};
  if (options.prompt > 0) {
    for (const char* heading : {"prefill, tokens/s", "of peak", ""}) headings.emplace_back(heading);
  }
  Table table(std::move(headings));
  for (const CaseMeasured& c : m.cases) {
    const int threads = m.machines[c.machine].threads;
    std::vector<std::string> row = {m.files[c.file].type, std::to_string(threads), Shown(c.decode),
                                    Percent(ShareOfBandwidth(m, c))};
    if (options.prompt > 0) {
      const auto loop = BoundingLoop(m, c);
      row.push_back(Shown(c.prefill));
      row.push_back(loop ? Percent(PrefillRate(options, m, c).Over(m.machines[c.machine].peaks[*loop]))
                         : "?");
      row.emplace_back(loop ? Name(m.loops[*loop].arithmetic) : "");
    }
    table.Add(std::move(row));
  }
  table.Print();
}

void PrintBatches(const InferBenchOptions& options, const InferMeasured& m) {
  if (options.batches.empty()) return;
  Table table({"type", "threads", "sequences", "all together, tokens/s", "of one alone"});
  for (const CaseMeasured& c : m.cases) {
    for (size_t i = 0; i < options.batches.size(); ++i) {
      table.Add({m.files[c.file].type, std::to_string(m.machines[c.machine].threads),
                 std::to_string(options.batches[i]), Shown(c.batches[i]),
                 Digits(c.batches[i].Over(c.decode).Median()) + " ×"});
    }
  }
  table.Print();
}

void PrintPeer(const InferBenchOptions& options, const InferMeasured& m) {
  if (options.compare.empty()) return;
  Table table({"type", "threads", "", "the other, tokens/s", "Tern ÷ the other"});
  for (const CaseMeasured& c : m.cases) {
    const auto add = [&](const char* what, const Series& ours, const Series& theirs) {
      if (theirs.empty()) return;
      table.Add({m.files[c.file].type, std::to_string(m.machines[c.machine].threads), what, Shown(theirs),
                 ours.empty() ? "?" : Shown(ours.Over(theirs))});
    };
    add("decode", c.decode, c.peer_decode);
    add("prefill", c.prefill, c.peer_prefill);
  }
  table.Print();
}

}  // namespace

nlohmann::ordered_json InferReport(const InferBenchOptions& options, const InferMeasured& measured) {
  Json report;
  if (options.random.empty()) {
    report["model"] = options.model;
  } else {
    report["random"] = options.random;
  }
  report["kernels"] = kernels::Name(kernels::Kernels().level);
  report["cpu"] = DescribeCpu();
  report["rounds"] = options.repeat;
  if (!options.compare.empty()) report["compare"] = options.compare;
  for (const MachineMeasured& machine : measured.machines) {
    report["machine"].push_back(MachineReport(measured, machine));
  }
  for (const FileMeasured& file : measured.files) report["files"].push_back(FileReport(options, file));
  for (const CaseMeasured& c : measured.cases) {
    report["results"].push_back(CaseReport(options, measured, c));
  }
  return report;
}

void PrintInferTable(const InferBenchOptions& options, const InferMeasured& measured) {
  PrintHeader(options, measured);
  PrintMachine(measured);
  PrintFiles(measured);
  PrintOneSequence(options, measured);
  PrintBatches(options, measured);
  PrintPeer(options, measured);
}

}  // namespace tern
