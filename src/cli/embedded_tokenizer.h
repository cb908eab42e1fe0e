// The tokenizer that a weight file carries in its keys.
#pragma once

#include <memory>

#include "base/status.h"
#include "formats/tensor_source.h"
#include "text/tokenizer.h"

namespace tern {

/// World's or, in a GGUF of kind "gpt2", a byte-level BPE; nullptr where the file carries none. The tensors do not matter:
/// the file may be of another model, or of a vocabulary alone. A GGUF's tokenizer of another kind is an error that names the
/// kind: another vocabulary must not stand in for it without being asked for.
Result<std::shared_ptr<const Tokenizer>> EmbeddedTokenizer(const TensorSource& source);

}  // namespace tern
