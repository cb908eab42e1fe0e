// Random models (formats/random_model.h) for tests: a golden answer needs only the seed, the tokens and the
// logits (tests/golden).
#pragma once

#include <string>
#include <vector>

#include "formats/random_model.h"
#include "formats/tensor_source.h"

namespace tern::testing {

using tern::CountParameters;
using tern::RandomModel;

/// All tensors in the order of a .pth. Matrices (products' left sides, embedding, low-rank factors) are
/// stored as `matrix_type`, vectors as fp32. The values of a tensor are made on all threads when its turn to
/// be written comes, so that a model larger than memory can be written. Rows that are no whole blocks of a
/// quantised type stay fp16.
std::vector<OutputTensor> RandomTensors(const RandomModel& model, DType matrix_type = DType::kF32);

/// All values of one of the model's tensors; `shape` as RandomTensors gives it.
std::vector<float> RandomValues(const RandomModel& model, const std::string& name, const Shape& shape);

}  // namespace tern::testing
