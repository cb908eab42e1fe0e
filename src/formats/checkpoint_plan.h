// What a checkpoint's file of some format consists of.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/checkpoint_convert.h"

namespace tern {

/// The tensors to write, in order. The forms refer to the checkpoint's tensors.
struct SavePlan {
  std::vector<StoredForm> forms;
  NamingContext context;
  int64_t layers = 0;
  int64_t vocabulary = 0;  ///< rows of the embedding
};

/// Fails, naming the tensor, when the format needs one that the checkpoint lacks or has no name for one that
/// it has.
Result<SavePlan> PlanSave(const Checkpoint& checkpoint, const SaveOptions& options);

/// The bytes of a planned tensor.
using MakeBytes = std::function<Result<TensorBytes>(const StoredForm& form)>;
/// SaveCheckpoint with bytes that are made by `make` instead of being converted from the checkpoint's.
Status SaveCheckpointWith(const Checkpoint& checkpoint, const std::string& path, const SaveOptions& options,
                          const MakeBytes& make);

/// The keys of a GGUF of this plan.
Result<Metadata> GgufKeys(const Checkpoint& checkpoint, const SavePlan& plan, const SaveOptions& options);

/// The config.json that goes with Hugging Face's names: RWKV-4's of transformers, RWKV-7's of flash-linear-attention.
/// Empty for the other generations, whose repositories bring code of their own.
std::string HuggingFaceConfig(const Checkpoint& checkpoint, const SavePlan& plan);

}  // namespace tern
