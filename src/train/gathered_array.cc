#include "train/gathered_array.h"

#include <algorithm>

namespace tern::train {
namespace {

/// Floats of a piece: 8 MB, small beside a model and large beside what a message costs.
constexpr size_t kGatheredPiece = size_t{1} << 21;

}  // namespace

Status GatheredArray::Send(const Sink& sink) {
  sent_ = true;
  Status sunk;
  std::vector<float> buffer;
  for (int rank = 0; rank < communicator_.size(); ++rank) {
    TERN_RETURN_IF_ERROR(SendPart(rank, sink, &buffer, &sunk));
  }
  return sunk;
}

Status GatheredArray::Drop() {
  if (sent_) return OkStatus();
  return Send([](std::span<const float>) { return OkStatus(); });
}

Status GatheredArray::SendPart(int rank, const Sink& sink, std::vector<float>* buffer, Status* sunk) {
  const auto size = static_cast<size_t>(ranges_[static_cast<size_t>(rank)].size());
  const bool first = communicator_.rank() == 0, own = communicator_.rank() == rank;
  if (rank == 0) {  // nothing moves: no process may call the communicator, which counts calls
    if (first && sunk->ok()) *sunk = sink(own_);
    return OkStatus();
  }
  if (first) buffer->resize(std::min(size, kGatheredPiece));
  for (size_t begin = 0; begin < size; begin += kGatheredPiece) {
    const size_t count = std::min(kGatheredPiece, size - begin);
    std::span<float> piece;
    if (own) piece = own_.subspan(begin, count);
    if (first) piece = std::span(*buffer).first(count);
    TERN_RETURN_IF_ERROR(communicator_.Move(piece, rank, 0));
    if (first && sunk->ok()) *sunk = sink(piece);
  }
  return OkStatus();
}

}  // namespace tern::train
