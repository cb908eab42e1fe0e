// Which part of a checkpoint's pickle is the model.
#pragma once

#include "base/status.h"
#include "formats/pickle.h"

namespace tern {

/// The dict whose values are the model's tensors: the pickle's root, or a dict inside it, by the names that
/// training programs use (state_dict, model, module …) or because no other holds tensors. kUnsupported,
/// saying what the pickle holds instead, when there is none, when there are several, or when an object of
/// some class would have to be made to get at them.
Result<PickleId> FindTensorDict(const Pickle& pickle);

}  // namespace tern
