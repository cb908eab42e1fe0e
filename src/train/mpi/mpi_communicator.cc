#include "train/mpi/mpi_communicator.h"

#include <mpi.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "train/mpi/requests.h"

namespace tern::train {
namespace {

/// A sum is cut into blocks of so many floats, of which some are under way at once: while one is added up,
/// others travel, and their buffers stay small beside the gradients.
constexpr size_t kBlock = size_t{1} << 21;
constexpr size_t kMostUnderWay = 4;

/// Short beside what a socket's buffer holds (0.2 ms of 10 Gbit/s are 250 KB), long beside a look. Naps of 50
/// µs were measured to slow computing threads on the same cores.
constexpr auto kNap = std::chrono::microseconds(200);
/// So many looks, yielding the core, before a thread that is waited for naps as well: others may need the
/// core.
constexpr int kLooksWhenWaitedFor = 2000;
/// With nothing under way here, what has been sent may still need a call to leave.
constexpr auto kIdle = std::chrono::milliseconds(2);

/// The number of processes that the launcher promised, or 0.
int PromisedSize() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"}) {
    if (const char* value = std::getenv(name); value != nullptr) return std::atoi(value);
  }
  return 0;
}

}  // namespace

Result<std::unique_ptr<Communicator>> MpiCommunicator::Connect(Wire wire) {
  std::unique_ptr<MpiCommunicator> communicator(new MpiCommunicator(wire));
  MpiCommunicator* c = communicator.get();
  c->thread_ = std::thread([c] { c->Speak(); });
  Status status;
  {
    std::unique_lock<std::mutex> lock(c->mutex_);
    c->done_.wait(lock, [c] { return c->ready_; });
    status = c->status_;
  }
  if (!status.ok()) return status;
  return std::unique_ptr<Communicator>(std::move(communicator));
}

MpiCommunicator::~MpiCommunicator() { EndThread(End::kDrop); }

void MpiCommunicator::EndThread(End end) {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_ == End::kNone) end_ = end;
  }
  posted_.notify_all();
  thread_.join();
}

Status MpiCommunicator::Post(std::unique_ptr<Operation> operation) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return status_;
    queue_.push_back(std::move(operation));
    ++unfinished_;
  }
  posted_.notify_all();
  return OkStatus();
}

Status MpiCommunicator::Wait() {
  waited_for_ = true;
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return unfinished_ == 0 || !status_.ok(); });
  waited_for_ = false;
  return status_;
}

Status MpiCommunicator::BeginSum(std::span<float> values) {
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    TERN_RETURN_IF_ERROR(
        Post(MakeSum(values.subspan(begin, std::min(kBlock, values.size() - begin)), wire_)));
  }
  return OkStatus();
}

Status MpiCommunicator::FinishSums() { return Wait(); }

Status MpiCommunicator::Sum(std::span<double> values) {
  TERN_RETURN_IF_ERROR(Post(MakeSum(values)));
  return Wait();
}

Status MpiCommunicator::AllGather(std::span<float> values, std::span<const OwnedRange> ranges) {
  bool fits = ranges.size() == static_cast<size_t>(place_.size);
  for (const OwnedRange& range : ranges) {
    fits = fits && 0 <= range.begin && range.begin <= range.end &&
           range.end <= static_cast<int64_t>(values.size());
  }
  if (!fits) return InvalidArgument("AllGather: expected one range within the values for each process");
  TERN_RETURN_IF_ERROR(Post(MakeAllGather(values, {ranges.begin(), ranges.end()})));
  return Wait();
}

Status MpiCommunicator::Broadcast(std::span<float> values, int root) {
  if (root < 0 || root >= place_.size) return InvalidArgument("Broadcast: no such process");
  TERN_RETURN_IF_ERROR(Post(MakeBroadcast(values, root)));
  return Wait();
}

Status MpiCommunicator::Move(std::span<float> values, int from, int to) {
  const auto known = [&](int rank) { return rank >= 0 && rank < place_.size; };
  if (!known(from) || !known(to)) return InvalidArgument("Move: no such process");
  TERN_RETURN_IF_ERROR(Post(MakeMove(values, from, to)));
  return Wait();
}

Status MpiCommunicator::Leave() {
  TERN_RETURN_IF_ERROR(Wait());
  EndThread(End::kFinalize);
  return status_;
}

void MpiCommunicator::Abort(const Status& why, int exit_code) {
  if (!thread_.joinable()) return;  // it has left
  // What ails all of them is said once, by the first.
  constexpr unsigned kSeconds = 5;
  for (unsigned left = place_.rank != 0 ? kSeconds : 0; left > 0;) left = ::sleep(left);
  std::fprintf(stderr, "tern: process %d of %d: %s\n", place_.rank, place_.size, why.message().c_str());
  exit_code_ = exit_code;
  EndThread(End::kAbort);
}

void MpiCommunicator::Speak() {
  ::prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);  // naps as short as asked for
  Status status = Initialise();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_ = true;
    status_ = status;
  }
  done_.notify_all();
  if (status.ok()) status = Drive();
  End end;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = status;
    done_.notify_all();
    posted_.wait(lock, [this] { return end_ != End::kNone; });
    end = end_;
  }
  if (end == End::kAbort) MPI_Abort(MPI_COMM_WORLD, exit_code_);
  if (end == End::kFinalize && status.ok()) {
    status = CheckMpi(MPI_Finalize(), "leaving");
    const std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = status;
  }
}

Status MpiCommunicator::Initialise() {
  int provided = 0;
  TERN_RETURN_IF_ERROR(
      CheckMpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "starting"));
  TERN_RETURN_IF_ERROR(CheckMpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "starting"));
  if (provided < MPI_THREAD_FUNNELED) return Unsupported("this MPI cannot be used in a program with threads");
  TERN_RETURN_IF_ERROR(CheckMpi(MPI_Comm_rank(MPI_COMM_WORLD, &place_.rank), "starting"));
  TERN_RETURN_IF_ERROR(CheckMpi(MPI_Comm_size(MPI_COMM_WORLD, &place_.size), "starting"));
  if (const int promised = PromisedSize(); promised != 0 && promised != place_.size) {
    return Unsupported("the launcher started " + std::to_string(promised) + " processes, but MPI sees " +
                       std::to_string(place_.size) +
                       ": start them with the mpirun of the MPI that tern was built with");
  }
  return LearnCores();
}

/// Processes of one host share the cores that the launcher gave them.
Status MpiCommunicator::LearnCores() {
  MPI_Comm host = MPI_COMM_NULL;
  TERN_RETURN_IF_ERROR(CheckMpi(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "counting hosts"));
  int processes = 1;
  TERN_RETURN_IF_ERROR(CheckMpi(MPI_Comm_size(host, &processes), "counting hosts"));
  cpu_set_t own;
  CPU_ZERO(&own);
  ::sched_getaffinity(0, sizeof own, &own);
  unsigned char bytes[sizeof own], all[sizeof own];
  std::memcpy(bytes, &own, sizeof own);
  TERN_RETURN_IF_ERROR(
      CheckMpi(MPI_Allreduce(bytes, all, sizeof own, MPI_UNSIGNED_CHAR, MPI_BOR, host), "counting cores"));
  cpu_set_t together;
  std::memcpy(&together, all, sizeof together);
  const int cores = CPU_COUNT(&together);
  threads_ = std::max(1, cores / processes);
  const bool bound = std::getenv("OMPI_MCA_orte_bound_at_launch") != nullptr;
  if (const long online = ::sysconf(_SC_NPROCESSORS_ONLN); bound && place_.rank == 0 && cores < online) {
    std::fprintf(
        stderr,
        "warning: mpirun bound its processes to %d of the %ld cores of this host; give all with --bind-to "
        "none\n",
        cores, online);
  }
  return CheckMpi(MPI_Comm_free(&host), "counting hosts");
}

Status MpiCommunicator::Drive() {
  for (int idle_looks = 0;;) {
    TERN_RETURN_IF_ERROR(StartPosted());
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (end_ == End::kAbort || end_ == End::kDrop || (end_ == End::kFinalize && unfinished_ == 0))
        return OkStatus();
      if (unfinished_ == 0) {
        posted_.wait_for(lock, kIdle, [this] { return !queue_.empty() || end_ != End::kNone; });
        idle_looks = 0;
      }
    }
    if (under_way_.empty()) {
      int ignored = 0;
      TERN_RETURN_IF_ERROR(
          CheckMpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &ignored, MPI_STATUS_IGNORE),
                   "looking for messages"));
      continue;
    }
    TERN_ASSIGN_OR_RETURN(const bool moved, AdvanceAll());
    idle_looks = moved ? 0 : idle_looks + 1;
    if (!moved) Nap(idle_looks);
  }
}

Status MpiCommunicator::StartPosted() {
  while (under_way_.size() < kMostUnderWay) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (queue_.empty()) break;
      under_way_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    try {
      TERN_RETURN_IF_ERROR(under_way_.back()->Start(place_, sequence_++));
    } catch (const std::bad_alloc&) {
      return Exhausted("no memory for the buffers of an exchange between processes");
    }
  }
  return OkStatus();
}

Result<bool> MpiCommunicator::AdvanceAll() {
  bool moved = false;
  for (auto each = under_way_.begin(); each != under_way_.end();) {
    TERN_ASSIGN_OR_RETURN(const bool done, (*each)->Advance());
    if (!done) {
      ++each;
      continue;
    }
    each = under_way_.erase(each);
    moved = true;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--unfinished_ == 0) done_.notify_all();
  }
  return moved;
}

void MpiCommunicator::Nap(int idle_looks) const {
  if (waited_for_ && idle_looks < kLooksWhenWaitedFor) {
    ::sched_yield();
  } else {
    std::this_thread::sleep_for(kNap);
  }
}

}  // namespace tern::train

extern "C" __attribute__((visibility("default"))) void TernMpiConnect(
    tern::train::Wire wire, tern::Result<std::unique_ptr<tern::train::Communicator>>* result) {
  *result = tern::train::MpiCommunicator::Connect(wire);
}
