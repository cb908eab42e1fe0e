// Files that hold something that belongs to a model, and no model. Private to src/formats.
#pragma once

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// An error (kUnsupported) that calls a file of tuned initial states or of a LoRA what it is and says what it
/// is for; also for a model with a LoRA that was not merged. Everything else passes.
Status CheckIsModel(const TensorSource& source);

}  // namespace tern
