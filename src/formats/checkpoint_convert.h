// One tensor from the form that a checkpoint has it in to the form that a file wants.
#pragma once

#include <string>
#include <vector>

#include "formats/checkpoint_names.h"

namespace tern {

/// A tensor of a file to be written.
struct StoredForm {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  ///< as the file shows it
  Storage storage;
  int64_t repeat = 1;  ///< every element is written this many times in a row
  Part part = Part::kVector;
  std::vector<const CheckpointTensor*> sources;  ///< one, or the slices of a fused tensor
};

/// The bytes of a form: a view of the source's own where type, orientation, encoding and scale agree, else
/// converted through fp32 (quantised blocks that differ in a power of two only get other scales). Parallel.
/// Fails, naming the tensor, on finite values that the type cannot hold, and on NaN and infinity in quantised
/// types.
Result<TensorBytes> Convert(const StoredForm& form);

}  // namespace tern
