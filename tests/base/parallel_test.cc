#include "base/parallel.h"

#include <atomic>
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
