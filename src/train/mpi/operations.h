// What all processes do together, as operations that are advanced a little at a time: none ever waits, so
// that several are under way at once and the thread that drives them can sleep in between.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "train/communicator.h"
#include "train/mpi/module.h"

namespace tern::train {

struct Place {
  int rank, size;
};

/// Begun in the same order by all processes. All calls from the one thread that speaks MPI.
class Operation {
 public:
  virtual ~Operation() = default;
  /// `sequence` tells operations apart that are under way at once; the same at all processes.
  virtual Status Start(const Place& place, int64_t sequence) = 0;
  /// True when it is complete.
  virtual Result<bool> Advance() = 0;
};

/// `values` become their sum over all processes, the same bits everywhere: every process adds up one part, in
/// the processes' order, and sends the sum to all others.
std::unique_ptr<Operation> MakeSum(std::span<float> values, Wire wire);
std::unique_ptr<Operation> MakeSum(std::span<double> values);
std::unique_ptr<Operation> MakeAllGather(std::span<float> values, std::vector<OwnedRange> ranges);
std::unique_ptr<Operation> MakeBroadcast(std::span<float> values, int root);
std::unique_ptr<Operation> MakeMove(std::span<float> values, int from, int to);

}  // namespace tern::train
