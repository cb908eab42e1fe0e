// The files that a run reads. A checkpoint names them without their folders, because it is a model that may be
// published; the run's folder keeps the paths, in "inputs.json".
#pragma once

#include <string>

#include "base/status.h"
#include "train/train_options.h"

namespace tern::train {

/// The same options, with the last part of each path alone.
TrainOptions WithoutFolders(TrainOptions options);

/// Writes the paths of data, validation, tokenizer and model to "folder/inputs.json", unless they stand there.
Status WriteInputs(const std::string& folder, const TrainOptions& options);

/// Puts the paths of "folder/inputs.json" in place of those names in `options` that they end with. A folder without
/// the file changes nothing: older checkpoints hold paths. Corrupt, naming the file, when it cannot be read.
Status ReadInputs(const std::string& folder, TrainOptions* options);

}  // namespace tern::train
