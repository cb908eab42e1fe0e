#include "train/mpi/requests.h"

#include <algorithm>
#include <string>

namespace tern::train {
namespace {

/// MPI counts in int, and a large message is better cut where buffers are concerned.
constexpr size_t kLargestMessage = size_t{64} << 20;

/// Calls start(offset, bytes, &request) for every piece.
template <typename Start>
Status ForPieces(size_t bytes, std::vector<MPI_Request>* requests, const char* what, Start&& start) {
  for (size_t offset = 0; offset < bytes; offset += kLargestMessage) {
    MPI_Request request = MPI_REQUEST_NULL;
    const auto piece = static_cast<int>(std::min(kLargestMessage, bytes - offset));
    TERN_RETURN_IF_ERROR(CheckMpi(start(offset, piece, &request), what));
    requests->push_back(request);
  }
  return OkStatus();
}

}  // namespace

Status CheckMpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  return IoError(std::string("MPI: ") + what + ": " + std::string(text, static_cast<size_t>(length)));
}

Status Requests::Send(const void* data, size_t bytes, int peer, int tag) {
  return ForPieces(bytes, &requests_, "sending", [&](size_t offset, int piece, MPI_Request* request) {
    return MPI_Isend(static_cast<const char*>(data) + offset, piece, MPI_BYTE, peer, tag, MPI_COMM_WORLD,
                     request);
  });
}

Status Requests::Receive(void* data, size_t bytes, int peer, int tag) {
  return ForPieces(bytes, &requests_, "receiving", [&](size_t offset, int piece, MPI_Request* request) {
    return MPI_Irecv(static_cast<char*>(data) + offset, piece, MPI_BYTE, peer, tag, MPI_COMM_WORLD, request);
  });
}

Status Requests::Broadcast(void* data, size_t bytes, int root) {
  return ForPieces(bytes, &requests_, "broadcasting", [&](size_t offset, int piece, MPI_Request* request) {
    return MPI_Ibcast(static_cast<char*>(data) + offset, piece, MPI_BYTE, root, MPI_COMM_WORLD, request);
  });
}

Result<bool> Requests::Done() {
  if (requests_.empty()) return true;
  int done = 0;
  TERN_RETURN_IF_ERROR(
      CheckMpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
               "exchanging values with the other processes"));
  if (done != 0) requests_.clear();
  return done != 0;
}

}  // namespace tern::train
