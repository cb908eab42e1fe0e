// Messages under way.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <vector>

#include "base/status.h"

namespace tern::train {

/// OK, or IoError with `what` and MPI's own words.
Status CheckMpi(int code, const char* what);

/// Messages of one operation. Memory given to it must stay until Done says true. All calls from the one
/// thread that speaks MPI.
class Requests {
 public:
  /// Messages of any size; those between the same two processes with the same tag arrive in the order sent.
  Status Send(const void* data, size_t bytes, int peer, int tag);
  Status Receive(void* data, size_t bytes, int peer, int tag);
  Status Broadcast(void* data, size_t bytes, int root);
  /// Whether all are complete; never waits. Forgets them then.
  Result<bool> Done();

 private:
  std::vector<MPI_Request> requests_;
};

}  // namespace tern::train
