#include "cli/train_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "base/memory.h"
#include "cli/common.h"
#include "train/matrix_rate.h"
#include "train/memory_plan.h"
#include "train/run_report.h"

namespace tern {
namespace {

/// Bytes of the corpus in memory: two a token where the vocabulary allows; files of tokens stay mapped, and
/// what of them was read is counted as resident as well.
uint64_t DataBytes(const TrainSetup& setup) {
  const int64_t tokens =
      setup.data->tokens() + (setup.validation == nullptr ? 0 : setup.validation->tokens());
  const uint64_t per_token = setup.shape.vocab <= 65536 ? 2 : 4;
  return per_token * static_cast<uint64_t>(tokens);
}

/// Seconds that oneDNN takes for all products of a micro-batch, each shape measured by itself.
double SecondsOfProducts(const TrainSetup& setup, const train::ParameterLayout& layout, int64_t tokens) {
  const train::GraphOptions graph = train::GraphOptionsOf(setup.options);
  double seconds = 0;
  for (const train::StepProduct& product : train::StepProducts(layout, tokens, graph.head_rows)) {
    constexpr double kEach = 0.05;
    const double rate = train::MeasureMatrixRate(product, graph.precision, kEach);
    if (rate > 0) seconds += static_cast<double>(product.count) * product.flop() / rate;
  }
  return seconds;
}

struct Plan {
  const TrainSetup& setup;
  int processes;
  train::ParameterLayout layout{setup.shape};
  train::MemoryPlan memory = train::PlanMemory(setup.options, setup.shape, DataBytes(setup), processes);
  double tokens_per_second = 0;  ///< expected, of all processes
  int64_t step_tokens = 0;
};

Plan MakePlan(const TrainSetup& setup, int processes) {
  Plan plan{setup, processes};
  const int64_t rows = train::MicroRows(setup.options), context = setup.options.context;
  plan.step_tokens = setup.options.batch * context;
  // A few thousand tokens show the rate; a step of a big model would take minutes.
  constexpr int64_t kMeasured = 4096;
  const int64_t measured = std::min(rows * context, kMeasured);
  // Recomputation repeats the forward pass, a third of the whole.
  constexpr double kRecompute = 4.0 / 3.0;
  const double seconds = SecondsOfProducts(setup, plan.layout, measured) /
                         train::ShareOfProducts(setup.shape) * (setup.options.recompute ? kRecompute : 1);
  if (seconds > 0) plan.tokens_per_second = static_cast<double>(measured) / seconds * processes;
  return plan;
}

void PrintTable(const Plan& plan) {
  const auto line = [](const std::string& name, const std::string& value) {
    std::cout << fmt::format("  {:<36} {:>14}\n", name, value);
  };
  const auto& options = plan.setup.options;
  std::cout << fmt::format("{}, {} layers × {}, {} symbols\n", Name(plan.setup.shape.generation),
                           plan.setup.shape.layers, plan.setup.shape.width, plan.setup.shape.vocab);
  line("parameters", HumanCount(static_cast<uint64_t>(plan.layout.count())));
  line("of matrices", HumanCount(static_cast<uint64_t>(plan.layout.matrix_count())));
  line("FLOP per token (6 per matrix element)", fmt::format("{:.3g}", train::StepFlop(plan.layout, 1)));
  line("tokens of the data", HumanCount(static_cast<uint64_t>(plan.setup.data->tokens())));
  line("tokens of a step", HumanCount(static_cast<uint64_t>(plan.step_tokens)));
  line("epochs of the run",
       fmt::format("{:.2f}", static_cast<double>(options.steps) * static_cast<double>(plan.step_tokens) /
                                 static_cast<double>(plan.setup.data->tokens())));
  std::cout << (plan.processes == 1 ? "memory\n"
                                    : fmt::format("memory of each of {} processes\n", plan.processes));
  for (const auto& [name, bytes] : plan.memory.parts) line(name, HumanBytes(bytes));
  line("together", HumanBytes(plan.memory.total));
  const uint64_t available = AvailableMemory();
  if (available > 0) line("available now", HumanBytes(available));
  std::cout << (plan.processes == 1 ? "expected speed (estimated from this machine's products)\n"
                                    : "expected speed (estimated from the first process's products, as if "
                                      "the others were alike and\n"
                                      "sums cost nothing)\n");
  line("tokens per second", fmt::format("{:.0f}", plan.tokens_per_second));
  const double total = static_cast<double>(options.steps) * static_cast<double>(plan.step_tokens);
  if (plan.tokens_per_second > 0) line("time of the run", train::HumanTime(total / plan.tokens_per_second));
}

}  // namespace

std::string Summary(const TrainSetup& setup, const train::ParameterLayout& layout, int64_t windows_per_epoch,
                    double peak_rate) {
  const auto& o = setup.options;
  std::string text = fmt::format("{}, {} layers × {}, {} symbols: {} parameters\n",
                                 Name(setup.shape.generation), setup.shape.layers, setup.shape.width,
                                 setup.shape.vocab, HumanCount(static_cast<uint64_t>(layout.count())));
  text += fmt::format("{} tokens ({} windows of {}){}; {} steps of {} × {} tokens in {}",
                      setup.data->tokens(), windows_per_epoch, o.context,
                      setup.validation == nullptr
                          ? std::string()
                          : fmt::format(", {} for validation", setup.validation->tokens()),
                      o.steps, o.batch, o.context, o.precision);
  if (peak_rate > 0) text += fmt::format("; oneDNN reaches {:.0f} GFLOP/s here", peak_rate / 1e9);
  return text;
}

Status PrintPlan(const TrainSetup& setup, int processes, bool json) {
  const Plan plan = MakePlan(setup, processes);
  if (!json) {
    PrintTable(plan);
    return OkStatus();
  }
  nlohmann::ordered_json parts;
  for (const auto& [name, bytes] : plan.memory.parts) parts[name] = bytes;
  PrintJson({{"architecture", Name(setup.shape.generation)},
             {"layers", setup.shape.layers},
             {"width", setup.shape.width},
             {"vocab", setup.shape.vocab},
             {"parameters", plan.layout.count()},
             {"matrix_parameters", plan.layout.matrix_count()},
             {"flop_per_token", train::StepFlop(plan.layout, 1)},
             {"data_tokens", setup.data->tokens()},
             {"step_tokens", plan.step_tokens},
             {"processes", processes},
             {"memory_bytes", parts},
             {"memory_total_bytes", plan.memory.total},
             {"expected_tokens_per_second", plan.tokens_per_second}});
  return OkStatus();
}

}  // namespace tern
