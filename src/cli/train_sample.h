// A text from the weights of a running training.
#pragma once

#include <string>

#include "base/status.h"
#include "text/tokenizer.h"
#include "train/trainer.h"

namespace tern {

/// `prompt` (a new document where empty) and what the present weights make of it. The weights are used where
/// they are; the same weights give the same text.
Result<std::string> SampleText(const train::Trainer& trainer, const Tokenizer& tokenizer,
                               const std::string& prompt, int64_t tokens);

}  // namespace tern
