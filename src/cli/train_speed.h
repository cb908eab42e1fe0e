// How fast this machine trains: its peak, what oneDNN reaches, and steps that are timed before a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/train_setup.h"
#include "train/communicator.h"

namespace tern {

/// Of one value or more.
double Median(std::vector<double> values);

/// FLOP per second of this process's threads.
struct MachineRates {
  double peak = 0;          ///< of a loop over one instruction on registers alone; 0: this processor has no such loop
  std::string arithmetic;   ///< of that instruction: "bf16", or "fp32" where oneDNN may not use one for bf16
  std::string instruction;  ///< "vdpbf16ps, 512 bits"
  double onednn = 0;        ///< oneDNN on the largest product of a step; 0: it refuses the shape
};
/// Takes half a second. Call it while no other ParallelFor runs.
MachineRates MeasureRates(const train::TrainOptions& options, const train::ParameterLayout& layout);

/// "bf16 peak 512 GFLOP/s (vdpbf16ps, 512 bits), oneDNN reaches 430 GFLOP/s"; empty when nothing is known.
std::string Describe(const MachineRates& rates);

/// Steps that were timed.
struct TimedSteps {
  int64_t steps = 0;          ///< how many; 0: none was
  int64_t tokens = 0;         ///< of one of them, over all processes
  double step_seconds = 0;    ///< of a step of the run; where fewer rows were timed, reckoned from them
  std::string why_not;        ///< why none was
};
/// Takes a few steps of the run, from new weights at a learning rate of 0, and writes nothing. All processes call it;
/// the result counts at the first. `memory` is what the run needs, bytes per process: where that is not to be had, no
/// step is taken. Cancelled when interrupted.
Result<TimedSteps> TimeSteps(const TrainSetup& setup, uint64_t memory, train::Communicator& communicator);

}  // namespace tern
