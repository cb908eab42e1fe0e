// Which type each tensor of a written file has: what the format can hold and what its readers expect.
#pragma once

#include <optional>

#include "formats/checkpoint.h"
#include "formats/checkpoint_canonical.h"

namespace tern {

/// Whether a format can hold weights of a type.
bool CanHold(FileFormat format, DType type);
/// Fails, saying what the format can hold, when matrices cannot be asked for in this type.
Status CheckRequestedType(FileFormat format, DType type);

/// The type of a tensor of `major`'s generation that lies in its source as `own`, when `requested` is asked
/// for. `row_length` is the last dimension as written; a type whose blocks do not divide it gives way as in
/// llama.cpp: q4_k → q5_0, q5_k → q5_1, q6_k → q8_0, and f16 where blocks of 32 do not fit either.
/// docs/formats/canonical.md has the whole table.
DType WrittenType(FileFormat format, int major, Part part, DType own, std::optional<DType> requested,
                  int64_t row_length);

}  // namespace tern
