#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <sched.h>

namespace tern {
namespace {

int CoresOfThisProcess() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::atomic<int> g_threads{0};
thread_local bool t_inside = false;

/// The most threads whose shares are kept apart; with more, several take from one.
constexpr int kMostShares = 64;

/// A run of chunks that belongs to one thread: it takes them from the front, and others, once they have done their own, from
/// the back. So each thread walks through memory in one long stream, which is read a tenth faster than many short ones in
/// turn (docs/performance.md), and a thread that is late holds up nothing but the chunk it has begun.
struct alignas(64) Share {
  uint64_t range;  ///< begin in the low half, end in the high. Not set by itself: most calls have fewer threads than shares

  void Set(uint32_t begin, uint32_t end) { range = Range(begin, end); }
  /// The next chunk, or −1.
  int64_t TakeFirst() {
    return Take([](uint32_t begin, uint32_t) { return begin; }, 1);
  }
  /// The last chunk, or −1.
  int64_t TakeLast() {
    return Take([](uint32_t, uint32_t end) { return end - 1; }, -Range(0, 1));
  }

 private:
  static constexpr uint64_t Range(uint32_t begin, uint32_t end) { return uint64_t{end} << 32 | begin; }

  /// The chunk that is chosen from begin and end, of which `change` takes it away.
  template <typename Choose>
  int64_t Take(const Choose& choose, uint64_t change) {
    const std::atomic_ref<uint64_t> shared(range);
    uint64_t seen = shared.load(std::memory_order_relaxed);
    for (;;) {
      const auto begin = static_cast<uint32_t>(seen), end = static_cast<uint32_t>(seen >> 32);
      if (begin >= end) return -1;
      if (shared.compare_exchange_weak(seen, seen + change, std::memory_order_relaxed)) return choose(begin, end);
    }
  }
};

/// The chunks of one call.
class Work {
 public:
  /// `chunks` (fewer than 2^32) chunks of `grain` indices, the last of which may be shorter.
  Work(int64_t n, int64_t grain, int64_t chunks, int threads, FunctionRef<void(int64_t, int64_t)> fn)
      : n_(n), grain_(grain), shares_(std::min(threads, kMostShares)), fn_(fn) {
    for (int i = 0; i < shares_; ++i) {
      share_[i].Set(static_cast<uint32_t>(chunks * i / shares_), static_cast<uint32_t>(chunks * (i + 1) / shares_));
    }
  }

  /// Takes chunks until none is left: thread `index`'s own, then the others'.
  void Run(int index) {
    t_inside = true;
    const int own = index % shares_;
    for (int64_t chunk; (chunk = share_[own].TakeFirst()) >= 0;) Do(chunk);
    for (int i = 1; i < shares_; ++i) {
      Share& other = share_[(own + i) % shares_];
      for (int64_t chunk; (chunk = other.TakeLast()) >= 0;) Do(chunk);
    }
    t_inside = false;
  }

 private:
  void Do(int64_t chunk) { fn_(chunk * grain_, std::min(n_, (chunk + 1) * grain_)); }

  const int64_t n_, grain_;
  const int shares_;
  const FunctionRef<void(int64_t, int64_t)> fn_;
  Share share_[kMostShares];
};

/// Tells the processor that this is a waiting loop.
void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// How long a thread looks for the next call before it sleeps: longer than what lies between two products of a
/// forward pass, short enough not to be felt by others. (A pause takes 10 to 40 ns.)
constexpr int kSpins = 4000;

/// Threads that help the one that calls. A call never waits for a helper to wake up, only for those that are inside it:
/// when another process holds a core, the remaining threads take its chunks. (libgomp's barrier waits for every thread;
/// with one busy neighbour on two cores it was measured to be up to 20 times slower than one thread alone.)
class Pool {
 public:
  static Pool& Get() {
    static Pool pool;
    return pool;
  }

  /// False when another thread's call has the pool.
  bool Run(Work& work, int threads) {
    std::unique_lock<std::mutex> one_call(call_mutex_, std::try_to_lock);
    if (!one_call.owns_lock()) return false;
    while (static_cast<int>(workers_.size()) < threads - 1) {
      workers_.emplace_back([this, index = static_cast<int>(workers_.size())] { Loop(index); });
    }
    wanted_.store(threads - 1);
    work_.store(&work);
    epoch_.fetch_add(1);
    if (sleeping_.load() > 0) epoch_.notify_all();
    work.Run(0);
    // No chunk is left. Helpers that come from now on see no work; those inside are waited for.
    work_.store(nullptr);
    for (int spins = 0; inside_.load() != 0; ++spins) {
      if (spins < kSpins) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
    return true;
  }

  ~Pool() {
    stop_.store(true);
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

 private:
  void Loop(int index) {
    for (uint32_t seen = 0; !stop_.load();) {
      seen = WaitForNext(seen);
      // Announced before the work is looked at, so that the caller cannot leave while it is used.
      inside_.fetch_add(1);
      Work* work = work_.load();
      if (work != nullptr && index < wanted_.load()) work->Run(index + 1);
      inside_.fetch_sub(1);
    }
  }

  uint32_t WaitForNext(uint32_t seen) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (epoch_.load() != seen) return epoch_.load();
      Pause();
    }
    sleeping_.fetch_add(1);
    epoch_.wait(seen);
    sleeping_.fetch_sub(1);
    return epoch_.load();
  }

  std::mutex call_mutex_;
  std::vector<std::thread> workers_;
  std::atomic<Work*> work_{nullptr};
  std::atomic<uint32_t> epoch_{0};   ///< counts calls; helpers wait on it
  std::atomic<int> wanted_{0};       ///< helpers with a smaller index take part
  std::atomic<int> inside_{0};       ///< helpers that may be using *work_
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

int NumThreads() {
  int threads = g_threads.load(std::memory_order_relaxed);
  if (threads == 0) {
    threads = CoresOfThisProcess();
    g_threads.store(threads, std::memory_order_relaxed);
  }
  return threads;
}

void SetNumThreads(int threads) { g_threads.store(threads >= 1 ? threads : CoresOfThisProcess()); }

void ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> fn) {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t chunks = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(NumThreads(), chunks));
  if (threads > 1 && !t_inside && chunks <= UINT32_MAX) {
    Work work(n, grain, chunks, threads, fn);
    if (Pool::Get().Run(work, threads)) return;
  }
  for (int64_t begin = 0; begin < n; begin += grain) fn(begin, std::min(n, begin + grain));
}

}  // namespace tern
