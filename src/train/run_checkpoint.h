// A run on disk: one safetensors file per checkpoint, from which the run goes on bit for bit, and which is a
// model that every command can read.
//
// Tensors: the weights under their own names; "optimizer.m" and "optimizer.v", [layout.total()] each; with
// carried streams "streams", [rows, floats per row]; "checksums" (train/run_checksums.h). Metadata: "tern.run"
// (the format's version) and "tern.record" (RunRecord as JSON, paths without their folders: train/run_inputs.h).
// Everything random is a function of the options' seed and the step: there is no other random state. The layout is
// drawn in docs/formats/run.md.
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
  int64_t step = 0;     ///< steps done
  std::string kernels;  ///< KernelsInUse() of the process that wrote it; empty in older checkpoints
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

/// Writes the run's state to RunPath(folder, record.step), atomically, and the paths of its inputs beside it. With
/// several processes every one calls it: the first one writes, and takes the others' moments and streams in pieces. All
/// return the same code.
Status SaveRun(const std::string& folder, Trainer& trainer, const RunRecord& record);
/// Removes all but the newest `keep` checkpoints (0: none is removed) up to `step`, and what killed writers left.
/// Checkpoints beyond `step` are not of the run's past: they neither count nor are they removed.
void PruneRuns(const std::string& folder, int64_t keep, int64_t step);
/// Makes room on a full disk: finds the newest checkpoint up to `step` that is whole, and removes those before it.
/// Returns how many it removed.
int64_t RemoveOlderRuns(const std::string& folder, int64_t step);
/// The step of a folder's newest checkpoint, going by names alone; −1: there is none.
int64_t NewestStep(const std::string& folder);

/// A checkpoint opened: its record is read, its tensors are mapped.
struct StoredRun {
  std::string path;
  RunRecord record;
  std::shared_ptr<const Checkpoint> weights;
  bool has_checksums = false;  ///< false: an older version wrote it, without
};
/// Reads all of it and compares its checksums. Corrupt, naming the tensor or the header, when the file is damaged.
Result<StoredRun> OpenRun(const std::string& path);

/// A checkpoint that could not be used.
struct RefusedRun {
  std::string path, why;
  bool damaged = false;  ///< not merely one that this program cannot read
};
/// The newest checkpoint of a folder that is whole; newer ones that are not are named in `refused`. An error that
/// names all of them when there is none.
Result<StoredRun> OpenNewestRun(const std::string& folder, std::vector<RefusedRun>* refused);
/// Renames a damaged checkpoint to "….damaged": the run neither counts nor overwrites it.
Status SetAside(const RefusedRun& run);

/// Weights, moments, streams and step into a trainer of the same sizes. Fails, naming the tensor, on other
/// sizes; the trainer is then not to be used.
Status RestoreRun(const StoredRun& run, Trainer* trainer);

/// Whether `now` may go on with `run`: InvalidArgument that names every difference of options and data that
/// would make it another run. What differs harmlessly is told in `changes`; kernels other than those that the run
/// used so far, with which it does not go on bit for bit, in `other_kernels`.
Status CheckResume(const StoredRun& run, const TrainOptions& now, const DataIdentity& data,
                   const std::string& vocabulary_hash, std::vector<std::string>* changes,
                   std::string* other_kernels);

/// What a finished model says of its training ("tern.training"): the record, with paths without their folders.
Metadata ModelMetadata(const RunRecord& record);
/// The weights alone, fp32, with ModelMetadata: "best.safetensors".
Status SaveWeights(const std::string& path, const Trainer& trainer, const RunRecord& record);

}  // namespace tern::train
