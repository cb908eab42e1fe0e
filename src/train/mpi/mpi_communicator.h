// The processes that mpirun started. One thread of each speaks MPI; the others hand it operations.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "base/status.h"
#include "train/communicator.h"
#include "train/mpi/module.h"
#include "train/mpi/operations.h"

namespace tern::train {

/// Open MPI moves data only while somebody calls it, and its own waiting burns a core. So a thread of ours
/// makes all calls (MPI_THREAD_FUNNELED is enough) and naps between looks: sums go on while other threads
/// compute.
class MpiCommunicator final : public Communicator {
 public:
  static Result<std::unique_ptr<Communicator>> Connect(Wire wire);
  ~MpiCommunicator() override;

  int rank() const override { return place_.rank; }
  int size() const override { return place_.size; }
  int threads() const override { return threads_; }
  Status BeginSum(std::span<float> values) override;
  Status FinishSums() override;
  Status Sum(std::span<double> values) override;
  Status AllGather(std::span<float> values, std::span<const OwnedRange> ranges) override;
  Status Broadcast(std::span<float> values, int root) override;
  Status Move(std::span<float> values, int from, int to) override;
  Status Leave() override;
  void Abort(const Status& why, int exit_code) override;

 private:
  enum class End : uint8_t { kNone, kFinalize, kAbort, kDrop };

  explicit MpiCommunicator(Wire wire) : wire_(wire) {}
  Status Post(std::unique_ptr<Operation> operation);
  /// Until all that was posted is done.
  Status Wait();
  void EndThread(End end);

  // The thread that speaks MPI.
  void Speak();
  Status Initialise();
  Status LearnCores();
  Status Drive();
  Status StartPosted();
  Result<bool> AdvanceAll();
  void Nap(int idle_looks) const;

  const Wire wire_;
  Place place_{0, 1};
  int threads_ = 0;

  std::mutex mutex_;
  std::condition_variable posted_, done_;
  std::deque<std::unique_ptr<Operation>> queue_;  ///< not yet started
  int64_t unfinished_ = 0;                        ///< queued and under way
  Status status_;                                 ///< the first error
  End end_ = End::kNone;
  int exit_code_ = 1;
  bool ready_ = false;
  std::atomic<bool> waited_for_{false};

  std::deque<std::unique_ptr<Operation>> under_way_;  ///< of the thread alone, as is the next
  int64_t sequence_ = 0;
  std::thread thread_;
};

}  // namespace tern::train
