// One process: tests/train/mpi/communicator_check.cc does the same with several.
#include "train/gathered_array.h"

#include <gtest/gtest.h>

#include <numeric>

namespace tern::train {
namespace {

class GatheredArrayOfOne : public ::testing::Test {
 protected:
  SingleProcess alone_;
  std::vector<float> values_ = std::vector<float>(100);
  GatheredArray array_{alone_, values_, {{0, 100}}};
};

TEST_F(GatheredArrayOfOne, GivesTheWholeArray) {
  std::iota(values_.begin(), values_.end(), 1.0f);
  std::vector<float> all;
  ASSERT_TRUE(array_.Send([&](std::span<const float> piece) {
    all.insert(all.end(), piece.begin(), piece.end());
    return OkStatus();
  }).ok());
  EXPECT_EQ(all, values_);
  EXPECT_EQ(array_.size(), 100);
}

TEST_F(GatheredArrayOfOne, ReturnsTheErrorOfItsSink) {
  const Status status = array_.Send([](std::span<const float>) { return Exhausted("full"); });
  EXPECT_EQ(status.code(), StatusCode::kExhausted);
  EXPECT_TRUE(array_.Drop().ok());
}

}  // namespace
}  // namespace tern::train
