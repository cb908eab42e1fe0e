// Parameters that some tools store as exponentials, and their way back.
#pragma once

#include "formats/checkpoint.h"

namespace tern {

/// The stored value of the canonical parameter p, in fp32 as the converters compute it.
float Encode(Encoding encoding, float p);

/// A p with Encode(p) == x, bit for bit, where there is one near the exact inverse; otherwise the nearest
/// float to the exact inverse. Among several it prefers one that bf16 or fp16 can hold, because that is what
/// the parameter was before it was encoded. Always finite for an x that some p encodes to (0 and 1 included);
/// NaN for an x of the wrong sign.
float Decode(Encoding encoding, float x);

}  // namespace tern
