// tern bench: how fast this machine is at what Tern does.
#include <fmt/format.h>

#include "base/parallel.h"
#include "cli/bench_infer.h"
#include "cli/bench_train.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/train_arguments.h"
#include "tensor/quant.h"

namespace tern {
namespace {

struct BenchArguments {
  TrainArguments training;
  InferBenchOptions inference;
  std::vector<std::string> types;
  std::vector<int> threads;
  std::vector<int64_t> batch;
  bool train = false, json = false;
};

constexpr const char* kTraining = "Training (with --train)";
constexpr const char* kInference = "Inference (without --train)";

Status RunTraining(const CLI::App& command, const BenchArguments& options) {
  if (options.threads.size() > 1 || options.batch.size() > 1) {
    return InvalidArgument("--train measures one number of --threads and one --batch at a time");
  }
  if (!options.threads.empty()) SetNumThreads(options.threads[0]);
  TrainArguments training = options.training;
  if (!options.batch.empty()) training.options.batch = options.batch[0];
  const train::TrainOptions& base = training.options;
  TERN_ASSIGN_OR_RETURN(train::TrainOptions resolved, Resolve(command, training, base));
  if (resolved.vocab == 0) resolved.vocab = base.vocab;
  return BenchTrain(resolved, options.json);
}

Status RunInference(const BenchArguments& options) {
  InferBenchOptions inference = options.inference;
  for (const std::string& name : options.types) {
    const auto type = DTypeFromName(name);
    if (!type || !CanQuantizeTo(*type)) {
      return InvalidArgument(fmt::format(
          "--type {}: expected f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, q4_k, q5_k or q6_k", name));
    }
    inference.types.push_back(*type);
  }
  inference.threads = options.threads;
  if (!options.batch.empty()) inference.batches = options.batch;
  inference.json = options.json;
  return BenchInference(inference);
}

/// Refuses options of one half beside those of the other.
Status CheckHalves(const CLI::App& command, bool train) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string& group = option->get_group();
    const bool foreign = train ? group == kInference : group == kTraining;
    if (!foreign || option->count() == 0) continue;
    return InvalidArgument(
        fmt::format("{} {} --train", option->get_name(), train ? "does not go with" : "needs"));
  }
  return OkStatus();
}

void AddTraining(CLI::App& command, BenchArguments& options) {
  // The size at which training is compared: 12 × 768 at 8 × 512.
  train::TrainOptions& o = options.training.options;
  o.layers = 12, o.width = 768, o.vocab = 65536, o.context = 512, o.batch = 8, o.steps = 5;
  AddModelSizes(command, options.training);
  command.get_option("--vocab")->description("Logits");  // there is no tokenizer that 0 could stand for
  const auto add = [&](const char* name, auto& field, const char* help) {
    return command.add_option(name, field, help)->group(kTraining)->capture_default_str();
  };
  add("--context", o.context, "Tokens of a row");
  add("--micro-batch", o.micro_batch, "Rows at once (0: all)");
  add("--precision", o.precision, "bf16 or f32");
  add("--order", o.order, "shuffled or streams");
  command.add_flag("--recompute", o.recompute, "Compute layers again in the backward pass")->group(kTraining);
  add("--steps", o.steps, "Timed steps, after one to warm up")->check(CLI::Range(1, 100000));
  for (CLI::Option* option : command.get_options()) {
    if (!option->get_name().starts_with("--help")) option->group(kTraining);
  }
}

void AddInference(CLI::App& command, InferBenchOptions& options, std::vector<std::string>& types) {
  const auto add = [&](const char* name, auto& field, const char* help) {
    return command.add_option(name, field, help)->group(kInference);
  };
  CLI::Option* model = add("-m,--model", options.model, "Weights to measure (default: the bundled model)");
  model->type_name("FILE");
  add("--random", options.random, "Random weights of a size: rwkv7:1.5B, rwkv4:169M, rwkv7:12x768 …")
      ->type_name("GENERATION:SIZE")
      ->excludes(model);
  add("--type", types,
      "Types of weights, each measured: f16,q8_0,q4_k … (default: the file's; of random ones f16)")
      ->type_name("TYPE,…")
      ->delimiter(',');
  add("--prompt", options.prompt, "Tokens of a prompt (0: no prefill)")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  add("--generate", options.generate, "Tokens to decode")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add("--repeat", options.repeat, "Rounds; everything is measured once in each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add("--compare", options.compare,
      "A command to run in turn; it prints 'decode X tokens/s', 'prefill X tokens/s' or both, and finds "
      "TERN_BENCH_MODEL, _TYPE, _THREADS, _PROMPT and _GENERATE in its environment")
      ->type_name("COMMAND");
}

}  // namespace

void AddBench(CLI::App& app, Run* run) {
  auto options = std::make_shared<BenchArguments>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure the speed of this machine: decode, prefill, batches; training");
  AddTraining(*command, *options);
  AddInference(*command, options->inference, options->types);
  command->add_flag("--train", options->train, "Training steps, held against oneDNN's own matrix products");
  command
      ->add_option("-t,--threads", options->threads,
                   "Threads to compute with, each measured (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N,…")
      ->delimiter(',');
  command
      ->add_option("--batch", options->batch,
                   "Sequences decoded at once, each measured (default: 8,32); of training, "
                   "rows of a step (default: 8)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N,…")
      ->delimiter(',');
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] {
    *run = [=]() -> Status {
      TERN_RETURN_IF_ERROR(CheckHalves(*command, options->train));
      return options->train ? RunTraining(*command, *options) : RunInference(*options);
    };
  });
}

}  // namespace tern
