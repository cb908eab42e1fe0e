#include "cli/bench_infer.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/clock.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/bench_files.h"
#include "cli/bench_peer.h"
#include "cli/bench_report.h"
#include "cli/common.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "kernels/ops.h"

namespace tern {
namespace {

// --- memory of this process
// -----------------------------------------------------------------------------------------------

/// From here on the peak is counted anew.
bool ResetPeakMemory() {
  ::malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return static_cast<bool>(file);
}

std::optional<uint64_t> PeakMemory() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    uint64_t kilobytes = 0;
    if (word == "VmHWM:" && in >> kilobytes) return kilobytes * 1024;
  }
  return std::nullopt;
}

// --- one model
// -----------------------------------------------------------------------------------------------

/// A text of the model's own making: what it reads when it decodes, so that its activations are those of real
/// use (how many hidden units are zero depends on them).
Result<std::vector<int32_t>> OwnText(const std::shared_ptr<const Model>& model, int64_t tokens) {
  SamplingOptions options;
  options.top_p = 1;
  options.presence = options.frequency = 0;
  options.seed = 1;
  Sampler sampler(options);
  Session session(model, /*remember_tokens=*/false);
  std::vector<int32_t> text = {0};  // the end of a document, where a new one begins
  while (static_cast<int64_t>(text.size()) < tokens) {
    TERN_RETURN_IF_ERROR(session.Feed(text.back()));
    const auto token = sampler.Sample(session.logits());
    if (!token.ok()) {  // with options that allow every token only the model can be at fault
      const std::string why = model->FindNonFinite();
      return Corrupt(token.status().message() + (why.empty() ? std::string() : ": " + why));
    }
    text.push_back(*token);
  }
  return text;
}

/// Decodes `steps` tokens in each of several sequences at once; tokens per second of all together. Sequences
/// start at different places of the text. A first step is not counted.
Result<double> Decode(const Model& model, const std::vector<int32_t>& text, int64_t sequences,
                      int64_t steps) {
  std::vector<State> states(static_cast<size_t>(sequences), model.NewState());
  Workspace workspace;
  std::vector<float> logits;
  Batch batch;
  Clock::time_point start;
  for (int64_t step = -1; step < steps; ++step) {
    if (step == 0) start = Clock::now();
    batch.Clear();
    for (size_t s = 0; s < states.size(); ++s) {
      const size_t place = (static_cast<size_t>(step + 1) + 7 * s) % text.size();
      batch.Add({&text[place], 1}, &states[s], Logits::kLast);
    }
    TERN_RETURN_IF_ERROR(model.Forward(batch, workspace, &logits));
  }
  const double seconds = SecondsSince(start);
  if (!std::isfinite(std::accumulate(logits.begin(), logits.end(), 0.0))) {
    return Corrupt("the model's logits are not finite");
  }
  return static_cast<double>(sequences * steps) / seconds;
}

/// Bytes of weights that a token of the text reads, on average: the columns of hidden units at zero are not.
Result<double> BytesReadPerToken(const Model& model, const std::vector<int32_t>& text) {
  State state = model.NewState();
  Workspace workspace;
  kernels::SparseReads reads;
  workspace.CountSparseReads(&reads);
  std::vector<float> logits;
  for (const int32_t& token : text) {
    Batch batch;
    batch.Add({&token, 1}, &state, Logits::kLast);
    TERN_RETURN_IF_ERROR(model.Forward(batch, workspace, &logits));
  }
  const double unread = static_cast<double>(reads.dense_bytes) - static_cast<double>(reads.read_bytes);
  return static_cast<double>(model.footprint().bytes_per_token) - unread / static_cast<double>(text.size());
}

/// Reads a prompt of tokens from all over the vocabulary, as `tern generate` does; tokens per second.
/// `session` keeps its scratch memory from one prompt to the next.
Result<double> Prefill(Session& session, int64_t tokens) {
  std::vector<int32_t> prompt(static_cast<size_t>(tokens));
  Random random(1);
  for (int32_t& token : prompt) {
    token = static_cast<int32_t>(random.Below(static_cast<uint64_t>(session.model().config().vocab)));
  }
  session.Reset();
  const auto start = Clock::now();
  TERN_RETURN_IF_ERROR(session.Feed(prompt));
  return static_cast<double>(tokens) / SecondsSince(start);
}

// --- rounds
// -----------------------------------------------------------------------------------------------

class Bench {
 public:
  Bench(const InferBenchOptions& options, const std::vector<BenchFile>& files)
      : options_(options), texts_(files.size()) {
    measured_.loops = PeakLoops();
    for (const int threads : options.threads) {
      measured_.machines.push_back({threads, {}, std::vector<Series>(measured_.loops.size())});
    }
    for (const BenchFile& file : files) {
      measured_.files.push_back({.type = file.type, .path = file.path});
      for (size_t m = 0; m < measured_.machines.size(); ++m) {
        CaseMeasured c{.file = measured_.files.size() - 1, .machine = m};
        c.batches.resize(options.batches.size());
        measured_.cases.push_back(std::move(c));
      }
    }
  }

  Result<InferMeasured> Run() {
    const uint64_t each = measured_.machines.size() + measured_.cases.size();
    Progress progress("measuring", each * static_cast<uint64_t>(options_.repeat), "cases", !options_.json);
    progress_ = &progress;
    for (int round = 0; round < options_.repeat; ++round) TERN_RETURN_IF_ERROR(Round());
    return std::move(measured_);
  }

 private:
  Status Round() {
    for (MachineMeasured& machine : measured_.machines) TERN_RETURN_IF_ERROR(Machine(machine));
    for (size_t f = 0; f < measured_.files.size(); ++f) TERN_RETURN_IF_ERROR(File(f));
    return OkStatus();
  }

  Status Done() {
    progress_->Update(++done_);
    return Interrupted() ? Cancelled("stopped") : OkStatus();
  }

  Status Machine(MachineMeasured& machine) {
    SetNumThreads(machine.threads);
    const PageBuffer buffer = BandwidthBuffer();
    if (buffer.data() == nullptr) return Exhausted("no memory to measure the bandwidth with");
    machine.bandwidth.Add(MeasureBandwidth(buffer, 0.2));
    for (size_t i = 0; i < measured_.loops.size(); ++i) {
      machine.peaks[i].Add(MeasurePeak(measured_.loops[i], 0.03));
    }
    return Done();
  }

  /// Loaded anew in every round: only one model is in memory, and loading is measured as often as the rest.
  Status File(size_t index) {
    FileMeasured& file = measured_.files[index];
    SetNumThreads(*std::max_element(options_.threads.begin(), options_.threads.end()));
    const bool counted = ResetPeakMemory();
    const auto start = Clock::now();
    TERN_ASSIGN_OR_RETURN(const auto model, Model::Load(file.path));
    file.load_seconds.Add(SecondsSince(start));
    if (texts_[index].empty()) {
      file.config = model->config();
      file.footprint = model->footprint();
      std::error_code ignored;
      file.file_bytes = std::filesystem::is_regular_file(file.path, ignored)
                            ? std::filesystem::file_size(file.path, ignored)
                            : file.footprint.weight_bytes;
      TERN_ASSIGN_OR_RETURN(texts_[index], OwnText(model, options_.generate + 1));
      TERN_ASSIGN_OR_RETURN(file.bytes_read_per_token, BytesReadPerToken(*model, texts_[index]));
    }
    for (CaseMeasured& c : measured_.cases) {
      if (c.file != index) continue;
      SetNumThreads(measured_.machines[c.machine].threads);
      TERN_RETURN_IF_ERROR(OneSequence(model, c));
      if (counted && c.machine == 0) file.peak_memory = std::max(file.peak_memory, PeakMemory());
      TERN_RETURN_IF_ERROR(Batches(*model, c));
      if (!options_.compare.empty()) TERN_RETURN_IF_ERROR(Peer(c));
      TERN_RETURN_IF_ERROR(Done());
    }
    return OkStatus();
  }

  Status OneSequence(const std::shared_ptr<const Model>& model, CaseMeasured& c) {
    TERN_ASSIGN_OR_RETURN(const double decode, Decode(*model, texts_[c.file], 1, options_.generate));
    c.decode.Add(decode);
    if (options_.prompt == 0) return OkStatus();
    Session session(model, /*remember_tokens=*/false);
    // Scratch memory is got and pages are touched before the clock runs.
    TERN_RETURN_IF_ERROR(Prefill(session, std::min(options_.prompt, kPromptChunk)).status());
    TERN_ASSIGN_OR_RETURN(const double prefill, Prefill(session, options_.prompt));
    c.prefill.Add(prefill);
    return OkStatus();
  }

  Status Batches(const Model& model, CaseMeasured& c) {
    // A step of many sequences tells as much as several of one.
    const int64_t steps = std::max<int64_t>(std::min<int64_t>(4, options_.generate), options_.generate / 4);
    for (size_t i = 0; i < options_.batches.size(); ++i) {
      if (options_.batches[i] == 1) {
        c.batches[i].Add(c.decode.values.back());
        continue;
      }
      TERN_ASSIGN_OR_RETURN(const double rate, Decode(model, texts_[c.file], options_.batches[i], steps));
      c.batches[i].Add(rate);
    }
    return OkStatus();
  }

  Status Peer(CaseMeasured& c) {
    const FileMeasured& file = measured_.files[c.file];
    const auto rates = RunPeer(options_.compare,
                               {{"TERN_BENCH_MODEL", file.path},
                                {"TERN_BENCH_TYPE", file.type},
                                {"TERN_BENCH_THREADS", std::to_string(measured_.machines[c.machine].threads)},
                                {"TERN_BENCH_PROMPT", std::to_string(options_.prompt)},
                                {"TERN_BENCH_GENERATE", std::to_string(options_.generate)}});
    if (Interrupted()) return Cancelled("stopped");  // Ctrl-C ended the command as well
    TERN_RETURN_IF_ERROR(rates.status());
    if (rates->decode) c.peer_decode.Add(*rates->decode);
    if (rates->prefill) c.peer_prefill.Add(*rates->prefill);
    return OkStatus();
  }

  const InferBenchOptions& options_;
  InferMeasured measured_;
  std::vector<std::vector<int32_t>> texts_;
  Progress* progress_ = nullptr;
  uint64_t done_ = 0;
};

}  // namespace

double Series::Median() const {
  if (values.empty()) return 0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Series::Lowest() const { return values.empty() ? 0 : *std::min_element(values.begin(), values.end()); }
double Series::Highest() const {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

Series Series::Over(const Series& other) const {
  Series ratio;
  for (size_t i = 0; i < std::min(values.size(), other.values.size()); ++i) {
    if (other.values[i] > 0) ratio.Add(values[i] / other.values[i]);
  }
  return ratio;
}

double PrefillFlop(const FileMeasured& file, int64_t tokens) {
  const double head = 2.0 * static_cast<double>(file.config.vocab) * static_cast<double>(file.config.width);
  const double all = static_cast<double>(file.footprint.flop_per_token);
  return static_cast<double>(tokens) * (all - head) + head;
}

std::optional<size_t> BoundingLoop(const InferMeasured& measured, const CaseMeasured& measured_case) {
  const std::optional<DType> type = DTypeFromName(measured.files[measured_case.file].type);
  const std::vector<Series>& peaks = measured.machines[measured_case.machine].peaks;
  std::optional<size_t> best;
  for (size_t i = 0; i < measured.loops.size(); ++i) {
    const Arithmetic arithmetic = measured.loops[i].arithmetic;
    if (arithmetic == Arithmetic::kInt8 && !(type && Traits(*type).quantised)) continue;
    if (arithmetic == Arithmetic::kBf16 && type == DType::kF32) continue;
    if (!best || peaks[i].Median() > peaks[*best].Median()) best = i;
  }
  return best;
}

Status BenchInference(const InferBenchOptions& options) {
  CatchInterrupts();
  InferBenchOptions resolved = options;
  if (resolved.threads.empty()) resolved.threads = {NumThreads()};
  if (resolved.model.empty() && resolved.random.empty()) {
    TERN_ASSIGN_OR_RETURN(resolved.model, ModelPath(""));
  }
  TERN_ASSIGN_OR_RETURN(const BenchFiles files,
                        PrepareFiles(resolved.model, resolved.random, resolved.types, !resolved.json));
  TERN_ASSIGN_OR_RETURN(const InferMeasured measured, Bench(resolved, files.files).Run());
  SetNumThreads(resolved.threads.back());
  if (resolved.json) {
    PrintJson(InferReport(resolved, measured));
  } else {
    PrintInferTable(resolved, measured);
  }
  return OkStatus();
}

}  // namespace tern
