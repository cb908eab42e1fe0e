// A run on disk: one safetensors file per checkpoint, from which the run goes on bit for bit, and which is a
// model that every command can read.
//
// Tensors: the weights under their own names; "optimizer.m" and "optimizer.v", [layout.total()] each; with
// carried streams "streams", [rows, floats per row]. Metadata: "tern.run" (the format's version) and
// "tern.record" (RunRecord as JSON). Everything random is a function of the options' seed and the step: there
// is no other random state.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "train/dataset.h"
#include "train/train_options.h"
#include "train/trainer.h"

namespace tern::train {

/// What tells one corpus from another.
struct DataIdentity {
  int64_t tokens = 0, documents = 0;
  std::string hash;  ///< of all tokens and of where documents start, hexadecimal
  bool operator==(const DataIdentity&) const = default;
};
/// Reads all of it once.
DataIdentity Identify(const TokenData& data);

struct RunRecord {
  int64_t step = 0;  ///< steps done
  TrainOptions options;
  DataIdentity data;
  std::string
      vocabulary_hash;  ///< of the vocabulary file; empty for bytes and for data that are tokens already
  int64_t tokens = 0;   ///< targets learned from so far
  int64_t skipped = 0;  ///< steps left out for NaN or infinity
  double seconds = 0;   ///< of training so far
  double smoothed_loss = 0, smoothing_weight = 0;
  double best_loss = std::numeric_limits<double>::infinity();  ///< of validation
  int64_t best_step = -1;
};

/// "folder/step-00001000.safetensors".
std::string RunPath(const std::string& folder, int64_t step);

/// Writes the run's state to RunPath(folder, record.step), atomically. With several processes every one calls
/// it, and the first one writes.
Status SaveRun(const std::string& folder, Trainer& trainer, const RunRecord& record);
/// Removes all but the newest `keep` checkpoints (0: none is removed), and what killed writers left.
void PruneRuns(const std::string& folder, int64_t keep);

/// A checkpoint opened: its record is read, its tensors are mapped.
struct StoredRun {
  std::string path;
  RunRecord record;
  std::shared_ptr<const Checkpoint> weights;
};
Result<StoredRun> OpenRun(const std::string& path);
/// The newest checkpoint of a folder that can be read; newer ones that cannot are named in `passed_over`.
/// NotFound when there is none.
Result<StoredRun> OpenNewestRun(const std::string& folder, std::vector<std::string>* passed_over);

/// Weights, moments, streams and step into a trainer of the same sizes. Fails, naming the tensor, on other
/// sizes; the trainer is then not to be used.
Status RestoreRun(const StoredRun& run, Trainer* trainer);

/// Whether `now` may go on with `run`: InvalidArgument that names every difference of options and data that
/// would make it another run. What differs harmlessly is told in `changes`.
Status CheckResume(const StoredRun& run, const TrainOptions& now, const DataIdentity& data,
                   const std::string& vocabulary_hash, std::vector<std::string>* changes);

/// The weights alone, fp32, with the record: "best.safetensors".
Status SaveWeights(const std::string& path, const Trainer& trainer, const RunRecord& record);

}  // namespace tern::train
