// tern bench: how fast this machine is at what Tern does.
#include "base/parallel.h"
#include "cli/bench_train.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/train_arguments.h"

namespace tern {
namespace {

struct Options {
  TrainArguments training;
  bool train = false, json = false;
  int threads = 0;
};

Status RunBench(const CLI::App& command, const Options& options) {
  if (options.threads > 0) SetNumThreads(options.threads);
  if (!options.train) return InvalidArgument("nothing to measure: give --train");
  train::TrainOptions base = options.training.options;
  TERN_ASSIGN_OR_RETURN(train::TrainOptions resolved, Resolve(command, options.training, base));
  if (resolved.vocab == 0) resolved.vocab = base.vocab;
  return BenchTrain(resolved, options.json);
}

}  // namespace

void AddBench(CLI::App& app, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Measure the speed of this machine with a random model");
  command->add_flag("--train", options->train, "Training steps, held against oneDNN's own matrix products");
  // The size at which training is compared: 12 × 768 at 8 × 512.
  train::TrainOptions& o = options->training.options;
  o.layers = 12, o.width = 768, o.vocab = 65536, o.context = 512, o.batch = 8, o.steps = 5;
  AddModelSizes(*command, options->training);
  const auto add = [&](const char* name, auto& field, const char* help) {
    command->add_option(name, field, help)->group("Training")->capture_default_str();
  };
  add("--context", o.context, "Tokens of a row");
  add("--batch", o.batch, "Rows of a step");
  add("--micro-batch", o.micro_batch, "Rows at once (0: all)");
  add("--precision", o.precision, "bf16 or f32");
  add("--order", o.order, "shuffled or streams");
  command->add_flag("--recompute", o.recompute, "Compute layers again in the backward pass")
      ->group("Training");
  command->add_option("--steps", o.steps, "Timed steps, after one to warm up")
      ->group("Training")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  AddThreads(*command, options->threads);
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] { *run = [=] { return RunBench(*command, *options); }; });
}

}  // namespace tern
