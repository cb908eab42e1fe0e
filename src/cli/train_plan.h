// What a training run will be, told before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "cli/train_setup.h"
#include "cli/train_speed.h"
#include "train/communicator.h"

namespace tern {

/// A few lines for a person: model, data, batch, the machine's rates.
std::string Summary(const TrainSetup& setup, const train::ParameterLayout& layout, int64_t windows_per_epoch,
                    const MachineRates& rates);

/// `tern train --dry-run`: parameters, memory of a process by part, FLOP, epochs and the speed of timed steps, on
/// standard output. All processes call it, the first prints; none may use the communicator after it.
Status PrintPlan(const TrainSetup& setup, train::Communicator& communicator, bool json);

}  // namespace tern
