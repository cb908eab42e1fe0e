// Weights between the trainer's flat array and files.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/tensor_source.h"
#include "train/shape.h"

namespace tern::train {

/// Copies a checkpoint's tensors to their places. Fails, naming the tensor, where one is missing or of
/// another shape; tensors that the model does not use are passed over.
Status LoadParameters(const Checkpoint& checkpoint, const ParameterLayout& layout,
                      std::span<float> parameters);

/// The weights as a checkpoint without a file: for running them (Model::FromCheckpoint) and for
/// SaveCheckpoint. It views `parameters`, which must stay as long as it.
Result<std::shared_ptr<const Checkpoint>> ViewAsCheckpoint(const ParameterLayout& layout,
                                                           std::span<const float> parameters);

/// The weights as safetensors store them, fp32 to the bit, for OpenCheckpoint. Views as above.
std::vector<OutputTensor> SafetensorsOf(const ParameterLayout& layout, std::span<const float> parameters);

}  // namespace tern::train
