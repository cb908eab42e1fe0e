// Checksums within the checkpoints of a run: a byte that changed on the disk is found before a run goes on
// from it.
//
// The last tensor of the file is "checksums", I64 [tensors before it + 2]: XXH3-64 of the header with its
// length, of each tensor in the order of the file, and of all these numbers together.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern::train {

/// Appends "checksums" to tensors that are about to be written with `metadata`. The others are summed while
/// they are written.
Status AddChecksums(std::vector<OutputTensor>* tensors, const Metadata& metadata);

/// Reads the whole file and compares. False when the file has no checksums. Corrupt, naming the tensor or the
/// header, when something differs or the file cannot be read as safetensors; NotFound or IoError when it
/// cannot be opened.
Result<bool> VerifyChecksums(const std::string& path);

}  // namespace tern::train
