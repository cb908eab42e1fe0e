// tern bench --train: how fast a training step is on this machine, and what it is held against.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "train/train_options.h"

namespace tern {

/// Trains a random model of the options' sizes on random tokens: one step to warm up, options.steps timed
/// ones. Prints a table, or one JSON document.
Status BenchTrain(const train::TrainOptions& options, bool json);

}  // namespace tern
