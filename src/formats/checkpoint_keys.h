// The keys of a file (a GGUF's, those of a config.json) that say how to read its tensors. Private to
// src/formats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace tern {

/// N of an RWKV-5, 6 or 7 GGUF: its key, else what the stored shape of a tensor with a value for each head
/// and channel says
/// ([H, N], or for RWKV-5 [H]). An error that names the key when it is missing and the shape is flat, and
/// when the key does not divide the channels.
Result<int64_t> ReadHeadSizeKey(const TensorSource& source, int major, int64_t channels,
                                const std::optional<Shape>& per_head);

/// After how many layers an RWKV-6 GGUF halves output and value once more; 0: never. No tensor tells it: a
/// missing key is an error.
Result<int64_t> ReadRescaleKey(const TensorSource& source, int64_t layers);

/// The epsilon of layer norms that the file states; nothing for formats that leave it to the reader. A GGUF
/// and a config.json state it: a missing key is an error there.
Result<std::optional<float>> ReadEpsilonKey(const TensorSource& source, int major);

/// Compares the sizes that the keys state with those of the tensors. A key that is missing is no loss; one
/// that states another size, or something that the model's program does not do, is an error that names it.
Status CheckSizeKeys(const Checkpoint& checkpoint);

}  // namespace tern
