#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tern {
namespace {

TEST(ParallelFor, VisitsEachIndexOnceInWholeChunks) {
  for (int threads : {1, 2, 3, 8, 33}) {
    SetNumThreads(threads);
    EXPECT_EQ(NumThreads(), threads);
    for (int64_t n : {0, 1, 6, 7, 8, 1001}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
      ParallelFor(n, 7, [&](int64_t begin, int64_t end) {
        EXPECT_EQ(begin % 7, 0);
        EXPECT_TRUE(end == n || end == begin + 7);
        for (; begin < end; ++begin) seen[static_cast<size_t>(begin)]++;
      });
      for (auto& count : seen) EXPECT_EQ(count.load(), 1) << threads << " threads, n = " << n;
    }
  }
  SetNumThreads(0);
}

TEST(ParallelFor, RunsNestedCallsOnTheSameThread) {
  SetNumThreads(4);
  std::atomic<int> inner{0};
  ParallelFor(8, 1, [&](int64_t, int64_t) {
    ParallelFor(10, 1, [&](int64_t begin, int64_t end) { inner += static_cast<int>(end - begin); });
  });
  EXPECT_EQ(inner.load(), 80);
  SetNumThreads(0);
}

TEST(ParallelFor, AThreadThatIsHeldUpLosesItsOtherChunks) {
  SetNumThreads(2);
  for (int64_t held : {0, 63}) {  // the caller's first chunk, and one of the other's
    std::atomic<int> done{0};
    ParallelFor(64, 1, [&](int64_t begin, int64_t) {
      while (begin == held && done.load() < 63) std::this_thread::yield();  // for ever, if nobody took the others
      done++;
    });
    EXPECT_EQ(done.load(), 64);
  }
  SetNumThreads(0);
}

TEST(ParallelFor, EachThreadWalksThroughOnePartInOrder) {
  SetNumThreads(2);
  constexpr int64_t kChunks = 1000;
  std::mutex mutex;
  std::map<std::thread::id, std::vector<int64_t>> seen;
  ParallelFor(kChunks, 1, [&](int64_t begin, int64_t) {
    const std::lock_guard lock(mutex);
    seen[std::this_thread::get_id()].push_back(begin);
  });
  // Ascending through its own part, then descending through the end of the other's.
  for (const auto& [thread, chunks] : seen) {
    const auto turn = std::adjacent_find(chunks.begin(), chunks.end(), [](int64_t a, int64_t b) { return b != a + 1; });
    EXPECT_TRUE(std::is_sorted(turn == chunks.end() ? chunks.end() : turn + 1, chunks.end(), std::greater<>()));
    EXPECT_EQ(chunks.front() % (kChunks / 2) == 0 || chunks.front() == kChunks - 1, true) << chunks.front();
  }
  SetNumThreads(0);
}

TEST(ParallelFor, TakesAnyGrain) {
  SetNumThreads(3);
  std::atomic<int64_t> sum{0};
  ParallelFor(5, 0, [&](int64_t begin, int64_t end) { sum += end - begin; });
  ParallelFor(5, 1 << 30, [&](int64_t begin, int64_t end) { sum += end - begin; });
  ParallelFor(-3, 1, [&](int64_t, int64_t) { sum += 1000; });
  EXPECT_EQ(sum.load(), 10);
  SetNumThreads(0);
}

TEST(NumThreads, DefaultsToTheCoresOfThisProcess) {
  SetNumThreads(-5);
  EXPECT_GE(NumThreads(), 1);
}

}  // namespace
}  // namespace tern
