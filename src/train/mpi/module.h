// The one function of the module tern_mpi. The program never links libmpi: it loads this module when a
// launcher has started it together with others (train/launch.h).
#pragma once

#include <memory>

#include "base/status.h"
#include "train/communicator.h"

namespace tern::train {

/// How gradients travel.
enum class Wire {
  kF32,   ///< as they are
  kBf16,  ///< half the bytes; sums are formed in fp32
};

using ConnectFunction = void (*)(Wire wire, Result<std::unique_ptr<Communicator>>* result);
inline constexpr const char* kConnectName = "TernMpiConnect";

}  // namespace tern::train
