#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
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

#if !defined(TERN_OPENMP)
/// A plain pool for builds without OpenMP (sanitizers, other compilers). Workers sleep between calls.
class Pool {
 public:
  static Pool& Get() {
    static Pool pool;
    return pool;
  }

  void Run(Work& work, int threads) {
    std::lock_guard<std::mutex> one_call(call_mutex_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (static_cast<int>(workers_.size()) < threads - 1) {
        workers_.emplace_back([this, index = static_cast<int>(workers_.size())] { Loop(index); });
      }
      work_ = &work;
      wanted_ = threads - 1;
      running_ = wanted_;
      ++generation_;
    }
    wake_.notify_all();
    work.Run();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

 private:
  void Loop(int index) {
    uint64_t seen = 0;
    for (;;) {
      Work* work = nullptr;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || (generation_ != seen && index < wanted_); });
        if (stop_) return;
        seen = generation_;
        work = work_;
      }
      work->Run();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex call_mutex_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  Work* work_ = nullptr;
  uint64_t generation_ = 0;
  int wanted_ = 0, running_ = 0;
  bool stop_ = false;
};
#endif

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
  if (threads == 1 || t_inside) {
    for (int64_t begin = 0; begin < n; begin += grain) fn(begin, std::min(n, begin + grain));
    return;
  }
  Work work{.n = n, .grain = grain, .fn = fn};
#if defined(TERN_OPENMP)
#pragma omp parallel num_threads(threads)
  work.Run();
#else
  Pool::Get().Run(work, threads);
#endif
}

}  // namespace tern
