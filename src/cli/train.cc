// tern train: learn a model from text.
#include <fmt/format.h>

#include <algorithm>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <tuple>

#include "base/log.h"
#include "base/parallel.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/train_arguments.h"
#include "cli/train_plan.h"
#include "cli/train_sample.h"
#include "cli/train_setup.h"
#include "cli/train_speed.h"
#include "train/launch.h"
#include "train/model_weights.h"
#include "train/onednn.h"
#include "train/run_inputs.h"
#include "train/training_run.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using train::Trainer;

void Say(const TrainArguments& arguments, const std::string& line) {
  if (arguments.first && !arguments.json) fmt::print(stderr, "{}\n", line);
}

/// What was found in the run's folder.
struct FoundRun {
  std::optional<train::StoredRun> run;
  std::vector<train::RefusedRun> refused;  ///< newer checkpoints than it
};

/// A new run takes no folder in which another one has left something.
Status CheckFolderIsFree(const std::string& folder) {
  if (const int64_t step = train::NewestStep(folder); step >= 0) {
    return InvalidArgument(fmt::format("'{}' holds a run of {} steps: go on with --resume, or choose another --out",
                                       folder, step));
  }
  std::error_code error;
  for (const char* name : {"model.safetensors", "best.safetensors"}) {
    if (!fs::exists(fs::path(folder) / name, error)) continue;
    return InvalidArgument(
        fmt::format("'{}' holds a {} already, which a run would replace: choose another --out", folder, name));
  }
  return OkStatus();
}

/// The newest whole checkpoint of the folder with --resume, nothing without.
Result<FoundRun> FindRun(const TrainArguments& arguments) {
  FoundRun found;
  if (!arguments.resume) {
    if (!arguments.dry_run) TERN_RETURN_IF_ERROR(CheckFolderIsFree(arguments.out));
    return found;
  }
  TERN_ASSIGN_OR_RETURN(found.run, train::OpenNewestRun(arguments.out, &found.refused));
  TERN_RETURN_IF_ERROR(train::ReadInputs(arguments.out, &found.run->record.options));
  if (!arguments.first) return found;
  for (const train::RefusedRun& each : found.refused) LogWarning("passed over: {}", each.why);
  if (!found.run->has_checksums) {
    LogWarning("'{}' has no checksums (an older version wrote it): damage to it would not be noticed",
               found.run->path);
  }
  return found;
}

/// Weights, and the record of where the trainer stands.
Result<train::RunRecord> Begin(const TrainArguments& arguments, const TrainSetup& setup, Trainer* trainer) {
  train::RunRecord record;
  const train::DataIdentity data = train::Identify(*setup.data);
  if (setup.run) {
    std::vector<std::string> changes;
    std::string other_kernels;
    TERN_RETURN_IF_ERROR(train::CheckResume(*setup.run, setup.options, data, setup.vocabulary_hash, &changes,
                                            &other_kernels));
    for (const std::string& change : changes) Say(arguments, "changed: " + change);
    if (arguments.first && !other_kernels.empty()) LogWarning("{}", other_kernels);
    TERN_RETURN_IF_ERROR(train::RestoreRun(*setup.run, trainer));
    record = setup.run->record;
    Say(arguments, fmt::format("going on from '{}' (step {})", setup.run->path, record.step));
  } else if (setup.model != nullptr) {
    TERN_RETURN_IF_ERROR(trainer->SetParameters([&](std::span<float> parameters) {
      return train::LoadParameters(*setup.model, trainer->layout(), parameters);
    }));
  }
  record.options = setup.options;
  record.data = data;
  record.vocabulary_hash = setup.vocabulary_hash;
  record.kernels = train::KernelsInUse();
  return record;
}

/// A model that is trained on keeps its shape, and a run that stands beyond --steps has nothing to do.
Status CheckAsked(const CLI::App& command, const TrainArguments& arguments, const TrainSetup& setup) {
  if (setup.run && setup.options.steps < setup.run->record.step) {
    return InvalidArgument(fmt::format("--steps {}: the run in '{}' stands at step {} already", setup.options.steps,
                                       arguments.out, setup.run->record.step));
  }
  if (setup.model == nullptr) return OkStatus();
  const train::TrainOptions &asked = arguments.options, &real = setup.options;
  const std::tuple<const char*, int64_t, int64_t> sizes[] = {{"generation", asked.generation, real.generation},
                                                             {"layers", asked.layers, real.layers},
                                                             {"width", asked.width, real.width},
                                                             {"head-size", asked.head_size, real.head_size},
                                                             {"vocab", asked.vocab, real.vocab}};
  for (const auto& [name, value, own] : sizes) {
    if (!Given(command, name) || value == own) continue;
    return InvalidArgument(fmt::format("--{} {}: that of '{}' is {}", name, value, setup.options.model, own));
  }
  return OkStatus();
}

/// Processes of a run must stand at the same step of the same data: files may differ from host to host.
Status CheckBeginning(train::Communicator& communicator, const train::RunRecord& record) {
  constexpr size_t kDigits = 16;
  const auto words = [&](size_t begin) {
    return std::strtoull(record.data.hash.substr(begin, kDigits).c_str(), nullptr, 16);
  };
  return train::CheckSame(communicator, {static_cast<uint64_t>(record.step), words(0), words(kDigits)},
                          "step and training data");
}

/// The result of a whole run: "model.safetensors".
Status SaveModel(const TrainArguments& arguments, const Trainer& trainer, const train::RunRecord& record) {
  const std::string path = arguments.out + "/model.safetensors";
  if (arguments.type == "f32") return train::SaveWeights(path, trainer, record);
  TERN_ASSIGN_OR_RETURN(const auto checkpoint,
                        train::ViewAsCheckpoint(trainer.layout(), trainer.parameters()));
  SaveOptions save;
  save.format = FileFormat::kSafetensors;
  save.type = arguments.type == "bf16" ? DType::kBF16 : DType::kF16;
  return SaveCheckpoint(*checkpoint, path, save);
}

Status Tell(const TrainArguments& arguments, const train::RunResult& result, bool validated) {
  const train::RunRecord& record = result.record;
  if (!arguments.first) return OkStatus();
  if (arguments.json) {
    nlohmann::ordered_json json = {
        {"out", arguments.out},
        {"step", record.step},
        {"steps", record.options.steps},
        {"stopped", result.stopped},
        {"last_checkpoint_saved", result.saved},
        {"smoothed_loss", record.smoothing_weight > 0 ? record.smoothed_loss / record.smoothing_weight : 0},
        {"tokens", record.tokens},
        {"skipped_steps", record.skipped},
        {"seconds", record.seconds},
        {"tokens_per_second", result.tokens_per_second}};
    if (validated)
      json.update({{"validation_loss", result.validation_loss},
                   {"best_validation_loss", record.best_loss},
                   {"best_step", record.best_step}});
    PrintJson(json);
  }
  if (result.stopped) {
    Say(arguments,
        fmt::format("stopped after step {} of {}, saved in '{}'; go on with: tern train --resume --out {}",
                    record.step, record.options.steps, train::RunPath(arguments.out, record.step),
                    arguments.out));
    return Cancelled("stopped");
  }
  Say(arguments, fmt::format("{} steps in {:.0f} s, {:.0f} tokens/s: {}/model.safetensors", record.step,
                             record.seconds, result.tokens_per_second, arguments.out));
  if (record.skipped > 0)
    Say(arguments, fmt::format("{} steps were left out for NaN or infinity", record.skipped));
  return OkStatus();
}

Status Train(const TrainArguments& arguments, const TrainSetup& setup,
             const std::vector<train::RefusedRun>& refused, train::Communicator& communicator) {
  std::error_code error;
  fs::create_directories(arguments.out, error);
  if (error) return IoError(fmt::format("cannot make the folder '{}': {}", arguments.out, error.message()));
  TERN_ASSIGN_OR_RETURN(const auto trainer,
                        Trainer::Create(setup.options, setup.shape, setup.data, &communicator));
  train::RunSetup run;
  TERN_ASSIGN_OR_RETURN(run.record, Begin(arguments, setup, trainer.get()));
  TERN_RETURN_IF_ERROR(CheckBeginning(communicator, run.record));
  for (const train::RefusedRun& each : refused) {  // every process has found the same one by now
    if (!arguments.first || !each.damaged) continue;
    if (const Status aside = train::SetAside(each); !aside.ok()) LogWarning("{}", aside.message());
  }
  if (arguments.first) TERN_RETURN_IF_ERROR(KeepVocabulary(setup, arguments.out));
  run.folder = arguments.out;
  run.validation = setup.validation;
  run.report = !arguments.json;
  const MachineRates rates = MeasureRates(setup.options, trainer->layout());
  run.peak_rate = rates.peak * communicator.size();
  run.stop = [] { return Interrupted(); };
  if (setup.options.sample_every > 0 && setup.tokenizer != nullptr) {
    run.sample = [&setup](const Trainer& t) {
      return SampleText(t, *setup.tokenizer, setup.options.sample_prompt, setup.options.sample_tokens);
    };
  }
  Say(arguments, Summary(setup, trainer->layout(), trainer->windows().windows_per_epoch(), rates));
  run.save_model = [&arguments](const Trainer& t, const train::RunRecord& record) {
    return SaveModel(arguments, t, record);
  };
  TERN_ASSIGN_OR_RETURN(const train::RunResult result, train::RunTraining(*trainer, run));
  TERN_RETURN_IF_ERROR(communicator.Leave());
  return Tell(arguments, result, setup.validation != nullptr);
}

/// What one of the processes of a run does.
Status RunProcess(const CLI::App& command, const TrainArguments& arguments,
                  train::Communicator& communicator) {
  if (arguments.out.empty() && (arguments.resume || !arguments.dry_run)) {
    return InvalidArgument("no folder for the run: name one with --out");
  }
  CatchInterrupts();  // finishes the step, saves and leaves
  TERN_ASSIGN_OR_RETURN(auto found, FindRun(arguments));
  const train::TrainOptions stored = found.run ? found.run->record.options : train::TrainOptions();
  TERN_ASSIGN_OR_RETURN(auto options, Resolve(command, arguments, stored));
  const bool exact_vocab = Given(command, "vocab") || found.run.has_value();
  TERN_ASSIGN_OR_RETURN(const TrainSetup setup,
                        PrepareTraining(std::move(options), exact_vocab, std::move(found.run), arguments.out));
  TERN_RETURN_IF_ERROR(CheckAsked(command, arguments, setup));
  for (const std::string& note : setup.notes) Say(arguments, note);
  if (!arguments.dry_run) return Train(arguments, setup, found.refused, communicator);
  Say(arguments, "timing steps; nothing is written");
  return PrintPlan(setup, communicator, arguments.json);
}

Status RunTrain(const CLI::App& command, TrainArguments arguments) {
  train::LaunchOptions launch;
  launch.reduce_bf16 = arguments.reduce == "bf16";
  TERN_ASSIGN_OR_RETURN(const auto communicator, train::Launch(launch));
  arguments.first = communicator->rank() == 0;
  SetNumThreads(arguments.threads > 0 ? arguments.threads : communicator->threads());
  const Status status = RunProcess(command, arguments, *communicator);
  // The others would wait for this one.
  if (!status.ok()) communicator->Abort(status, status.code() == StatusCode::kInvalidArgument ? 2 : 1);
  return status;
}

}  // namespace

void AddTrain(CLI::App& app, Run* run) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Learn a model from text");
  AddTrainArguments(*command, *arguments);
  command->callback([=] { *run = [=] { return RunTrain(*command, *arguments); }; });
}

}  // namespace tern
