// What a training run is made from: vocabulary, data, sizes, and the weights or the run that it goes on from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "text/tokenizer.h"
#include "train/dataset.h"
#include "train/run_checkpoint.h"
#include "train/shape.h"
#include "train/train_options.h"

namespace tern {

struct TrainSetup {
  train::TrainOptions options;  ///< complete: vocab is known
  train::ModelShape shape;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< nullptr where data are tokens and no vocabulary is known
  std::string vocabulary_hash;
  std::shared_ptr<const train::TokenData> data, validation;  ///< validation may be nullptr
  std::shared_ptr<const Checkpoint> model;                   ///< weights to begin with, or nullptr
  std::optional<train::StoredRun> run;                       ///< to go on with
  std::vector<std::string> notes;                            ///< what was chosen, for a person
};

/// Opens everything that the options name. `exact_vocab`: options.vocab was asked for, not a preset's. Fails,
/// naming the file, on what does not fit together.
Result<TrainSetup> PrepareTraining(train::TrainOptions options, bool exact_vocab,
                                   std::optional<train::StoredRun> run, const std::string& folder);

/// Puts the vocabulary into the run's folder, where every command looks for it beside a model.
Status KeepVocabulary(const TrainSetup& setup, const std::string& folder);

}  // namespace tern
