// What a training run will be, told before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "cli/train_setup.h"

namespace tern {

/// A few lines for a person: model, data, batch.
std::string Summary(const TrainSetup& setup, const train::ParameterLayout& layout, int64_t windows_per_epoch,
                    double peak_rate);

/// `tern train --dry-run` for a run of so many processes: parameters, memory of a process by part, FLOP,
/// tokens per epoch and expected speed, on standard output.
Status PrintPlan(const TrainSetup& setup, int processes, bool json);

}  // namespace tern
