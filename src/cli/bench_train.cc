#include "cli/bench_train.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "base/parallel.h"
#include "base/random.h"
#include "cli/common.h"
#include "cli/train_speed.h"
#include "train/matrix_rate.h"
#include "train/trainer.h"

namespace tern {
namespace {

/// Tokens without end and meaning, each a function of its place.
class RandomTokens final : public train::TokenData {
 public:
  RandomTokens(int64_t tokens, int64_t vocab) : tokens_(tokens), vocab_(static_cast<uint64_t>(vocab)) {
    largest_token_ = static_cast<int32_t>(vocab - 1);
  }
  int64_t tokens() const override { return tokens_; }
  std::span<const int64_t> documents() const override { return {&start_, 1}; }
  void Read(int64_t begin, std::span<int32_t> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<int32_t>(Mix64((static_cast<uint64_t>(begin) + i + 1) * kGoldenStep) % vocab_);
    }
  }

 private:
  int64_t tokens_, start_ = 0;
  uint64_t vocab_;
};

struct Measured {
  double median = 0, fastest = 0, slowest = 0;     ///< seconds of a step
  double products_seconds = 0, products_flop = 0;  ///< of a step, as the graph did them
  double counted_flop = 0;                         ///< 6 per matrix element and token
  double rate = 0;                                 ///< FLOP per second of oneDNN on these shapes
  MachineRates machine;
  int64_t tokens = 0, parameters = 0;
  size_t workspace = 0;
  double other_share = 0;  ///< of a step, median
  double share_of_rate() const { return rate > 0 ? counted_flop / median / rate : 0; }
  double share_of_peak() const { return machine.peak > 0 ? counted_flop / median / machine.peak : 0; }
};

/// oneDNN's own rate on every shape of the step, weighted by FLOP.
double WeightedRate(const train::ParameterLayout& layout, const train::TrainOptions& options) {
  const train::GraphOptions graph = train::GraphOptionsOf(options);
  double flop = 0, seconds = 0;
  for (const train::StepProduct& p :
       train::StepProducts(layout, train::MicroRows(options) * options.context, graph.head_rows)) {
    constexpr double kEach = 0.1;
    const double rate = train::MeasureMatrixRate(p, graph.precision, kEach),
                 all = p.flop() * static_cast<double>(p.count);
    if (rate <= 0) continue;
    flop += all;
    seconds += all / rate;
  }
  return seconds > 0 ? flop / seconds : 0;
}

Status Steps(train::Trainer& trainer, int64_t count, Measured* measured) {
  TERN_RETURN_IF_ERROR(trainer.Step().status());
  std::vector<double> seconds, products, others;
  for (int64_t i = 0; i < count; ++i) {
    if (Interrupted()) return Cancelled("stopped");
    trainer.graph().products().ResetCounters();
    TERN_ASSIGN_OR_RETURN(const train::StepReport report, trainer.Step());
    seconds.push_back(report.seconds);
    products.push_back(trainer.graph().products().seconds());
    others.push_back(1 - products.back() / seconds.back());
  }
  measured->median = Median(seconds);
  measured->fastest = *std::min_element(seconds.begin(), seconds.end());
  measured->slowest = *std::max_element(seconds.begin(), seconds.end());
  measured->products_seconds = Median(products);
  measured->products_flop = trainer.graph().products().flop();
  measured->other_share = Median(others);
  measured->workspace = trainer.graph().workspace_bytes();
  return OkStatus();
}

void PrintTable(const train::ModelShape& shape, const train::TrainOptions& o, const Measured& m) {
  const auto line = [](const std::string& name, const std::string& value) {
    std::cout << fmt::format("  {:<44} {:>16}\n", name, value);
  };
  std::cout << fmt::format("{}, {} × {}, {} symbols, {} × {} tokens, {}, {} threads, {} steps\n",
                           Name(shape.generation), shape.layers, shape.width, shape.vocab, o.batch, o.context,
                           o.precision, NumThreads(), o.steps);
  line("parameters", HumanCount(static_cast<uint64_t>(m.parameters)));
  line("step, median", fmt::format("{:.3f} s", m.median));
  line("fastest … slowest", fmt::format("{:.3f} … {:.3f} s", m.fastest, m.slowest));
  line("tokens per second", fmt::format("{:.0f}", static_cast<double>(m.tokens) / m.median));
  line("matrix products", fmt::format("{:.3f} s", m.products_seconds));
  line("their rate within the step",
       fmt::format("{:.0f} GFLOP/s", m.products_flop / m.products_seconds / 1e9));
  line("everything else, share of the step", fmt::format("{:.1f} %", 100 * m.other_share));
  line("oneDNN itself on these shapes", fmt::format("{:.0f} GFLOP/s", m.rate / 1e9));
  line("6 FLOP per matrix element and token, per second",
       fmt::format("{:.0f} GFLOP/s", m.counted_flop / m.median / 1e9));
  line("share of oneDNN's rate reached", fmt::format("{:.1f} %", 100 * m.share_of_rate()));
  if (m.machine.peak > 0) {
    line(fmt::format("{} peak, {}", m.machine.arithmetic, m.machine.instruction),
         fmt::format("{:.0f} GFLOP/s", m.machine.peak / 1e9));
    line("share of the peak reached", fmt::format("{:.1f} %", 100 * m.share_of_peak()));
  }
  line("activations and workspace", HumanBytes(m.workspace));
}

}  // namespace

Status BenchTrain(const train::TrainOptions& options, bool json) {
  CatchInterrupts();
  const Generation generation = options.generation == 4 ? Generation::kRwkv4 : Generation::kRwkv7;
  TERN_ASSIGN_OR_RETURN(const auto shape, train::MakeShape(generation, options.vocab, options.layers,
                                                           options.width, options.head_size));
  train::SingleProcess alone;
  constexpr int64_t kWindows = 16;
  const auto data =
      std::make_shared<RandomTokens>(kWindows * options.batch * options.context + 1, options.vocab);
  TERN_ASSIGN_OR_RETURN(const auto trainer, train::Trainer::Create(options, shape, data, &alone));
  Measured m;
  TERN_RETURN_IF_ERROR(Steps(*trainer, options.steps, &m));
  m.tokens = options.batch * options.context;
  m.parameters = trainer->layout().count();
  m.counted_flop = train::StepFlop(trainer->layout(), m.tokens);
  m.rate = WeightedRate(trainer->layout(), options);
  m.machine = MeasureRates(options, trainer->layout());
  if (!json) {
    PrintTable(shape, options, m);
    return OkStatus();
  }
  PrintJson({{"architecture", Name(shape.generation)},
             {"layers", shape.layers},
             {"width", shape.width},
             {"vocab", shape.vocab},
             {"context", options.context},
             {"batch", options.batch},
             {"precision", options.precision},
             {"recompute", options.recompute},
             {"threads", NumThreads()},
             {"steps", options.steps},
             {"parameters", m.parameters},
             {"step_seconds", m.median},
             {"fastest_step_seconds", m.fastest},
             {"slowest_step_seconds", m.slowest},
             {"tokens_per_second", static_cast<double>(m.tokens) / m.median},
             {"product_seconds", m.products_seconds},
             {"product_flop", m.products_flop},
             {"other_share", m.other_share},
             {"onednn_flop_per_second", m.rate},
             {"counted_flop", m.counted_flop},
             {"share_of_onednn", m.share_of_rate()},
             {"peak_flop_per_second", m.machine.peak},
             {"peak_instruction", m.machine.instruction},
             {"share_of_peak", m.share_of_peak()},
             {"workspace_bytes", m.workspace}});
  return OkStatus();
}

}  // namespace tern
