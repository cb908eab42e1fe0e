// Several corpora as one.
#pragma once

#include <memory>
#include <vector>

#include "train/dataset.h"

namespace tern::train {

/// The parts one after the other, in the given order; there is at least one.
std::shared_ptr<const TokenData> Join(std::vector<std::shared_ptr<const TokenData>> parts);

}  // namespace tern::train
