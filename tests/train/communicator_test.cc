#include "train/communicator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "train/launch.h"

namespace tern::train {
namespace {

TEST(Communicator, OwnedRangesFollowEachOtherAndBeginOnCacheLines) {
  for (const int64_t total : {0, 1, 15, 16, 17, 1000, 162368}) {
    for (const int size : {1, 2, 3, 7, 64}) {
      int64_t end = 0, largest = 0, smallest = total;
      for (int rank = 0; rank < size; ++rank) {
        const OwnedRange range = Communicator::Owned(total, rank, size);
        EXPECT_EQ(range.begin, end) << total << " in " << size;
        EXPECT_TRUE(range.begin == total || range.begin % 16 == 0) << range.begin;
        end = range.end;
        largest = std::max(largest, range.size());
        smallest = std::min(smallest, range.size());
      }
      EXPECT_EQ(end, total);
      EXPECT_LE(largest - smallest, 2 * 16) << total << " in " << size;
    }
  }
}

TEST(Communicator, RowsAreDealtOutEvenly) {
  for (const int64_t rows : {1, 5, 6, 64}) {
    for (const int size : {1, 2, 5}) {
      int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const OwnedRange range = Communicator::Rows(rows, rank, size);
        EXPECT_EQ(range.begin, end);
        EXPECT_LE(range.size(), rows / size + 1);
        EXPECT_GE(range.size(), rows / size);
        end = range.end;
      }
      EXPECT_EQ(end, rows);
    }
  }
}

TEST(Communicator, OneProcessHasItAllAlready) {
  SingleProcess alone;
  std::vector<float> values = {1, 2, 3};
  std::vector<double> numbers = {4};
  ASSERT_TRUE(alone.BeginSum(values).ok());
  ASSERT_TRUE(alone.FinishSums().ok());
  ASSERT_TRUE(alone.Sum(numbers).ok());
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(numbers[0], 4);
  EXPECT_EQ(alone.Owned(100).size(), 100);
  EXPECT_TRUE(CheckSame(alone, {1, ~uint64_t{0}}, "numbers").ok());
  EXPECT_TRUE(alone.Leave().ok());
}

TEST(Communicator, WithoutALauncherThereIsOneProcess) {
  if (StartedWithOthers()) GTEST_SKIP() << "these tests themselves run under mpirun";
  const auto communicator = Launch({});
  ASSERT_TRUE(communicator.ok()) << communicator.status().message();
  EXPECT_EQ((*communicator)->size(), 1);
}

}  // namespace
}  // namespace tern::train
