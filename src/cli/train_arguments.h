// The command line of `tern train` (and the model's sizes, which `tern bench --train` shares).
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/status.h"
#include "train/train_options.h"

namespace tern {

struct TrainArguments {
  train::TrainOptions options;  ///< as given, defaults elsewhere; Resolve makes them what the run uses
  std::string preset, out;
  std::string type = "f32";  ///< of model.safetensors
  bool resume = false, dry_run = false, json = false;
  int threads = 0;
  std::string reduce = "f32";  ///< how gradients travel between processes
  bool first = true;           ///< of several processes, the one that speaks and writes
};

/// Adds every option of `tern train`.
void AddTrainArguments(CLI::App& command, TrainArguments& arguments);
/// --preset, --generation, --layers, --width, --head-size, --vocab.
void AddModelSizes(CLI::App& command, TrainArguments& arguments);

/// What was given on the command line over the preset's values over `base` (defaults, or a resumed run's
/// options). InvalidArgument, listing the presets, when there is none of that name.
Result<train::TrainOptions> Resolve(const CLI::App& command, const TrainArguments& arguments,
                                    const train::TrainOptions& base);
/// Whether an option of that name stood on the command line.
bool Given(const CLI::App& command, const std::string& name);

}  // namespace tern
