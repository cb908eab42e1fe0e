// The run itself: steps, evaluations, checkpoints, samples and reports, from where a trainer stands to the
// last step.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "train/run_checkpoint.h"
#include "train/trainer.h"

namespace tern::train {

struct RunSetup {
  std::string folder;                           ///< that exists
  std::shared_ptr<const TokenData> validation;  ///< may be nullptr
  RunRecord record;                             ///< where the trainer stands
  bool report = true;                           ///< lines for a person on standard error
  double peak_rate = 0;                         ///< FLOP per second of the machine; 0: not known
  /// Asked after every step, and while evaluating: true saves and leaves.
  std::function<bool()> stop;
  /// Text from the present weights, or an empty function.
  std::function<Result<std::string>(const Trainer&)> sample;
};

struct RunResult {
  RunRecord record;
  bool stopped = false;          ///< before the last step
  double validation_loss = 0;    ///< the last one; 0 where there is none
  double tokens_per_second = 0;  ///< over all steps of this process
};

/// Runs until options.steps are done or `stop` says so. Writes into the folder: checkpoints
/// "step-….safetensors" (the newest `keep`), "best.safetensors" (weights with the lowest validation loss),
/// "log.jsonl", "loss.svg", "samples.txt". A checkpoint that cannot be written (a full disk) is reported and
/// tried again at the next time; the last one of a run is an error. With several processes each calls it; the
/// first one reports and writes.
Result<RunResult> RunTraining(Trainer& trainer, const RunSetup& setup);

}  // namespace tern::train
