#include "cli/train_speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/memory.h"
#include "cli/bench_machine.h"
#include "cli/common.h"
#include "train/matrix_rate.h"
#include "train/onednn.h"
#include "train/trainer.h"

namespace tern {
namespace {

using train::Communicator;
using train::TrainOptions;

/// More tokens of one process change nothing but the time: a step grows with them.
constexpr int64_t kMostTokens = 16384;
constexpr size_t kMostSteps = 5;
constexpr double kMostSeconds = 10;

/// Whether any process wants it: then all do it.
Result<bool> AnyWishes(Communicator& communicator, bool wish) {
  double wishes[1] = {wish ? 1.0 : 0.0};
  TERN_RETURN_IF_ERROR(communicator.Sum(wishes));
  return wishes[0] > 0;
}

/// Processes on this host, as the launcher tells them; where it does not, all of them.
uint64_t ProcessesHere(int processes) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}) {
    const char* value = std::getenv(name);
    const int here = value == nullptr ? 0 : std::atoi(value);
    if (here > 0 && here <= processes) return static_cast<uint64_t>(here);
  }
  return static_cast<uint64_t>(processes);
}

/// Two micro-batches of each process show what every further one takes.
TrainOptions OptionsToTime(TrainOptions options, int processes) {
  const int64_t rows = std::min(2 * train::MicroRows(options), std::max<int64_t>(1, kMostTokens / options.context));
  options.batch = std::min(options.batch, rows * processes);
  options.schedule = "constant";
  options.lr = options.lr_final = 0;
  options.skip_bad_steps = true;
  return options;
}

struct StepSeconds {
  std::vector<double> gradients, rest;  ///< with the number of rows, and whatever that is
};

/// The first step warms up; it counts alone where it is long.
Result<StepSeconds> TakeSteps(train::Trainer& trainer) {
  StepSeconds taken;
  double spent = 0;
  for (;;) {
    TERN_ASSIGN_OR_RETURN(const bool stop, AnyWishes(trainer.communicator(), Interrupted()));
    if (stop) return Cancelled("stopped");
    TERN_ASSIGN_OR_RETURN(const train::StepReport report, trainer.Step());
    spent += report.seconds;
    const bool warm_up = trainer.step() == 1 && report.seconds < kMostSeconds;
    if (!warm_up) {
      taken.gradients.push_back(report.gradient_seconds);
      taken.rest.push_back(report.seconds - report.gradient_seconds);
    }
    const bool enough = taken.gradients.size() >= kMostSteps || (!taken.gradients.empty() && spent >= kMostSeconds);
    TERN_ASSIGN_OR_RETURN(const bool done, AnyWishes(trainer.communicator(), enough));
    if (done && !taken.gradients.empty()) return taken;
  }
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

MachineRates MeasureRates(const TrainOptions& options, const train::ParameterLayout& layout) {
  constexpr double kSeconds = 0.25;
  constexpr int64_t kRateTokens = 4096;  // enough to show the rate; all of a big step's would take long
  const train::GraphOptions graph = train::GraphOptionsOf(options);
  const int64_t tokens = std::min(kRateTokens, train::MicroRows(options) * options.context);
  MachineRates rates;
  rates.onednn = train::MeasureMatrixRate(
      train::LargestProduct(train::StepProducts(layout, tokens, graph.head_rows)), graph.precision, kSeconds);
  const bool bf16 = graph.precision == train::Precision::kBf16 && train::OneDnnHasBf16();
  for (const PeakLoop& loop : PeakLoops()) {
    if (loop.arithmetic != (bf16 ? Arithmetic::kBf16 : Arithmetic::kFp32)) continue;
    rates.peak = MeasurePeak(loop, kSeconds);
    rates.arithmetic = Name(loop.arithmetic);
    rates.instruction = loop.instruction;
  }
  return rates;
}

std::string Describe(const MachineRates& rates) {
  const auto giga = [](double rate) { return fmt::format("{:.{}f} GFLOP/s", rate / 1e9, rate < 1e10 ? 2 : 0); };
  std::string text;
  if (rates.peak > 0) {
    text = fmt::format("{} peak {} ({})", rates.arithmetic, giga(rates.peak), rates.instruction);
  }
  if (rates.onednn > 0) {
    text += fmt::format("{}oneDNN reaches {}", text.empty() ? "" : ", ", giga(rates.onednn));
  }
  return text;
}

Result<TimedSteps> TimeSteps(const TrainSetup& setup, uint64_t memory, Communicator& communicator) {
  const int processes = communicator.size();
  const uint64_t available = AvailableMemory(), needed = memory * ProcessesHere(processes);
  TimedSteps timed;
  TERN_ASSIGN_OR_RETURN(const bool too_much, AnyWishes(communicator, available > 0 && needed > available));
  if (too_much) {
    timed.why_not =
        fmt::format("it needs {} of memory here, {} are available", HumanBytes(needed), HumanBytes(available));
    return timed;
  }
  const TrainOptions options = OptionsToTime(setup.options, processes);
  TERN_ASSIGN_OR_RETURN(const auto trainer, train::Trainer::Create(options, setup.shape, setup.data, &communicator));
  TERN_ASSIGN_OR_RETURN(const StepSeconds taken, TakeSteps(*trainer));
  const double more_rows = static_cast<double>(Communicator::Rows(setup.options.batch, 0, processes).size()) /
                           static_cast<double>(std::max<int64_t>(1, trainer->rows().size()));
  timed.steps = static_cast<int64_t>(taken.gradients.size());
  timed.tokens = options.batch * options.context;
  timed.step_seconds = Median(taken.gradients) * std::max(1.0, more_rows) + Median(taken.rest);
  return timed;
}

}  // namespace tern
