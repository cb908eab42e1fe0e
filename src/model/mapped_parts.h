// Which bytes of the file each part of a pass reads, where matrices are used as they stand in the mapped file.
#pragma once

#include <vector>

#include "formats/checkpoint.h"
#include "model/architecture.h"
#include "model/layer_stream.h"

namespace tern {

/// A part for each layer and one for the head; matrices that lie elsewhere (made anew at loading) are left out.
std::vector<LayerStream::Part> MappedParts(Architecture& architecture, int64_t layers, MatrixParam& head,
                                           const Checkpoint& checkpoint);

}  // namespace tern
