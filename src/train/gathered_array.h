// An array that the processes of a run hold in parts, brought to the first of them piece by piece.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "train/communicator.h"

namespace tern::train {

/// Every process makes one of the same array and calls Send(); no process ever holds more than its own part
/// and one piece.
class GatheredArray {
 public:
  using Sink = std::function<Status(std::span<const float>)>;

  /// `own` is this process's part; `ranges` are all processes' parts of the array, in order, without gaps.
  GatheredArray(Communicator& communicator, std::span<float> own, std::vector<OwnedRange> ranges)
      : communicator_(communicator), own_(own), ranges_(std::move(ranges)) {}

  int64_t size() const { return ranges_.back().end; }
  /// Gives the whole array to `sink`, in order, at the first process; the others send their parts. After an
  /// error of the sink the rest is received and dropped, so that the others are not left waiting.
  Status Send(const Sink& sink);
  /// The same without a sink, if Send was not called: what the first process does when it has failed before.
  Status Drop();

 private:
  Status SendPart(int rank, const Sink& sink, std::vector<float>* buffer, Status* sunk);

  Communicator& communicator_;
  std::span<float> own_;
  std::vector<OwnedRange> ranges_;
  bool sent_ = false;
};

}  // namespace tern::train
