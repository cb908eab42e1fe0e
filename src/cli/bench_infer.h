// tern bench: how fast a model runs on this machine, and what share of the machine that is. docs/bench.md
// says how each number is measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/bench_machine.h"
#include "model/model.h"
#include "tensor/dtype.h"

namespace tern {

struct InferBenchOptions {
  std::string model;                       ///< path, or
  std::string random;                      ///< generation and size
  std::vector<DType> types;                ///< empty: the file's own
  std::vector<int> threads;                ///< empty: all cores
  int64_t prompt = 512;                    ///< tokens; 0: no prefill
  int64_t generate = 64;                   ///< tokens; 1 or more
  std::vector<int64_t> batches = {8, 32};  ///< sequences at once; 1 is the decode itself
  int repeat = 5;
  std::string compare;  ///< a peer's command, or empty
  bool json = false;
};

/// One value per round.
struct Series {
  std::vector<double> values;
  void Add(double value) { values.push_back(value); }
  bool empty() const { return values.empty(); }
  double Median() const;
  double Lowest() const;
  double Highest() const;
  /// Value by value: this / other. Rounds that either lacks are left out.
  Series Over(const Series& other) const;
};

/// The machine with so many threads.
struct MachineMeasured {
  int threads = 0;
  Series bandwidth;           ///< bytes per second
  std::vector<Series> peaks;  ///< operations per second, as PeakLoops()
};

struct FileMeasured {
  std::string type = {}, path = {};
  uint64_t file_bytes = 0;
  ModelConfig config = {};
  Footprint footprint = {};
  double bytes_read_per_token = 0;  ///< the footprint's, less what the zeros of sparse inputs leave unread
  Series load_seconds = {};
  std::optional<uint64_t> peak_memory =
      {};  ///< resident bytes of the process, one sequence; nothing where Linux doesn't tell
};

/// A file with so many threads.
struct CaseMeasured {
  size_t file = 0, machine = 0;      ///< indices
  Series decode = {}, prefill = {};  ///< tokens per second
  std::vector<Series> batches = {};  ///< tokens per second of all sequences together, as the options' batches
  Series peer_decode = {}, peer_prefill = {};
};

struct InferMeasured {
  std::vector<PeakLoop> loops;
  std::vector<MachineMeasured> machines;
  std::vector<FileMeasured> files;
  std::vector<CaseMeasured> cases;
};

/// Measures all there is to measure and prints it: a table, or one JSON document.
Status BenchInference(const InferBenchOptions& options);

/// Floating-point operations of a prompt's prefill: every token goes through the layers, the last through the
/// head.
double PrefillFlop(const FileMeasured& file, int64_t tokens);
/// The loop whose rate bounds the products of a weight type: the fastest of the arithmetics that could serve
/// it without losing more than the type itself does (F32: fp32; F16 and BF16: also bf16; quantised: also
/// int8). Index into loops, by the medians; nothing when there are no loops.
std::optional<size_t> BoundingLoop(const InferMeasured& measured, const CaseMeasured& measured_case);

}  // namespace tern
