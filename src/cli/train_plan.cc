#include "cli/train_plan.h"

#include <fmt/format.h>

#include <functional>
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

struct Plan {
  const TrainSetup& setup;
  int processes;
  train::ParameterLayout layout{setup.shape};
  train::MemoryPlan memory = train::PlanMemory(setup.options, setup.shape, DataBytes(setup), processes);
  int64_t step_tokens = setup.options.batch * setup.options.context;
  TimedSteps timed = {};
  double tokens_per_second() const { return static_cast<double>(step_tokens) / timed.step_seconds; }
};

void PrintSpeed(const Plan& plan, const std::function<void(const std::string&, const std::string&)>& line) {
  if (plan.timed.steps == 0) {
    std::cout << fmt::format("speed: no step was timed, {}\n", plan.timed.why_not);
    return;
  }
  std::cout << fmt::format("speed ({} real steps of {} tokens timed)\n", plan.timed.steps, plan.timed.tokens);
  line("seconds of a step", fmt::format("{:.3g}", plan.timed.step_seconds));
  line("tokens per second", fmt::format("{:.0f}", plan.tokens_per_second()));
  line("time of the run", train::HumanTime(static_cast<double>(plan.setup.options.steps) * plan.timed.step_seconds));
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
  PrintSpeed(plan, line);
}

}  // namespace

std::string Summary(const TrainSetup& setup, const train::ParameterLayout& layout, int64_t windows_per_epoch,
                    const MachineRates& rates) {
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
  if (const std::string machine = Describe(rates); !machine.empty()) text += "\n" + machine;
  return text;
}

Status PrintPlan(const TrainSetup& setup, train::Communicator& communicator, bool json) {
  Plan plan{setup, communicator.size()};
  TERN_ASSIGN_OR_RETURN(plan.timed, TimeSteps(setup, plan.memory.total, communicator));
  const bool first = communicator.rank() == 0;
  TERN_RETURN_IF_ERROR(communicator.Leave());
  if (!first) return OkStatus();
  if (!json) {
    PrintTable(plan);
    return OkStatus();
  }
  using Json = nlohmann::ordered_json;
  Json parts;
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
             {"processes", plan.processes},
             {"memory_bytes", parts},
             {"memory_total_bytes", plan.memory.total},
             {"timed_steps", plan.timed.steps},
             {"timed_step_tokens", plan.timed.tokens},
             {"expected_step_seconds", plan.timed.steps > 0 ? Json(plan.timed.step_seconds) : Json()},
             {"expected_tokens_per_second", plan.timed.steps > 0 ? Json(plan.tokens_per_second()) : Json()}});
  return OkStatus();
}

}  // namespace tern
