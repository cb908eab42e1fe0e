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

/// The chunks of one call; every thread takes from it until none is left.
struct Work {
  std::atomic<int64_t> next{0};
  int64_t n;
  int64_t grain;
  FunctionRef<void(int64_t, int64_t)> fn;

  void Run() {
    t_inside = true;
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) break;
      fn(begin, std::min(n, begin + grain));
    }
    t_inside = false;
  }
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
    work.Run();
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
      if (work != nullptr && index < wanted_.load()) work->Run();
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
  if (threads > 1 && !t_inside) {
    Work work{.n = n, .grain = grain, .fn = fn};
    if (Pool::Get().Run(work, threads)) return;
  }
  for (int64_t begin = 0; begin < n; begin += grain) fn(begin, std::min(n, begin + grain));
}

}  // namespace tern
