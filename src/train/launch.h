// One process or many: who started this program decides.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "train/communicator.h"

namespace tern::train {

/// Whether mpirun (or another launcher that speaks PMI) started this process together with others.
bool StartedWithOthers();

struct LaunchOptions {
  bool reduce_bf16 = false;  ///< gradients travel as bf16, and are summed in fp32
  std::string module;        ///< tern_mpi.so; empty: beside the program, or in ../lib/tern seen from there
};

/// The processes of this run: SingleProcess, or those that the launcher started, reached through the module,
/// which stays loaded. NotFound where that is not installed.
Result<std::unique_ptr<Communicator>> Launch(const LaunchOptions& options);

/// InvalidArgument at every process where `values` are not everywhere the same. `what` names them for the
/// message. Called by all.
Status CheckSame(Communicator& communicator, const std::vector<uint64_t>& values, const std::string& what);

}  // namespace tern::train
