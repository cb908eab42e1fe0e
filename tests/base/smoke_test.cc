#include <atomic>
#include <gtest/gtest.h>
#include "base/parallel.h"
#include "base/random.h"
TEST(ParallelFor, VisitsEachIndexOnce) {
  for (int threads : {1, 2, 3, 8}) {
    tern::SetNumThreads(threads);
    std::vector<std::atomic<int>> seen(1001);
    tern::ParallelFor(1001, 7, [&](int64_t b, int64_t e) { for (; b < e; ++b) seen[static_cast<size_t>(b)]++; });
    for (auto& s : seen) EXPECT_EQ(s.load(), 1);
  }
  tern::SetNumThreads(0);
}
