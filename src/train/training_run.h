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
  double peak_rate = 0;                         ///< FLOP per second that the processors can do; 0: not known
  /// Asked after every step, and while evaluating: true saves and leaves.
  std::function<bool()> stop;
  /// Text from the present weights, or an empty function.
  std::function<Result<std::string>(const Trainer&)> sample;
  /// Writes the model of a run that is complete; called by the first process, before the last checkpoint. May be empty.
  std::function<Status(const Trainer&, const RunRecord&)> save_model;
};

struct RunResult {
  RunRecord record;
  bool stopped = false;          ///< before the last step
  bool saved = true;             ///< false: the model is written, but the disk is too full for the last checkpoint
  double validation_loss = 0;    ///< the last one; 0 where there is none
  double tokens_per_second = 0;  ///< over all steps of this process
};

/// Runs until options.steps are done or `stop` says so. Writes into the folder: checkpoints
/// "step-….safetensors" (the newest `keep`), "best.safetensors" (weights with the lowest validation loss),
/// "log.jsonl", "loss.svg", "samples.txt". With several processes each calls it; the first one reports and writes.
///
/// A full disk: checkpoints before the newest whole one are removed (unless options.keep is 0), and what failed is
/// tried again. A checkpoint on the way that still fails is reported, and the run goes on. At the end the model is
/// written first; without it the run fails, and its newest checkpoint stays. The last checkpoint may then be missing.
Result<RunResult> RunTraining(Trainer& trainer, const RunSetup& setup);

}  // namespace tern::train
