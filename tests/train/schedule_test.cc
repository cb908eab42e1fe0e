#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "train/recipe.h"

namespace tern::train {
namespace {

using Shape = Schedule::Shape;

Schedule Of(Shape shape, int64_t warmup = 0) {
  return {
      .shape = shape, .initial = 8e-4, .final = 2e-4, .total = 100, .warmup = warmup, .decay_fraction = 0.2};
}

TEST(Schedule, FallsFromInitialToFinal) {
  for (Shape shape : {Shape::kLinear, Shape::kCosine, Shape::kExponential, Shape::kWarmupStableDecay}) {
    SCOPED_TRACE(static_cast<int>(shape));
    const Schedule schedule = Of(shape);
    // The first and last steps are within one step's change of the ends: 2.3 % of the rate, for the
    // exponential's.
    EXPECT_NEAR(schedule.Rate(0), 8e-4, 0.023 * 8e-4);
    EXPECT_NEAR(schedule.Rate(99), 2e-4, 0.023 * 2e-4);
    EXPECT_DOUBLE_EQ(schedule.Rate(100), 2e-4);
    EXPECT_DOUBLE_EQ(schedule.Rate(1000), 2e-4);
    for (int64_t step = 1; step < 100; ++step)
      EXPECT_LE(schedule.Rate(step), schedule.Rate(step - 1)) << step;
  }
}

TEST(Schedule, ConstantStays) {
  for (int64_t step : {0, 50, 99, 500}) EXPECT_DOUBLE_EQ(Of(Shape::kConstant).Rate(step), 8e-4);
}

TEST(Schedule, LinearAndExponentialEndAtFinalInTheLastStep) {
  EXPECT_DOUBLE_EQ(Of(Shape::kLinear).Rate(49), 5e-4);
  EXPECT_DOUBLE_EQ(Of(Shape::kLinear).Rate(99), 2e-4);
  EXPECT_DOUBLE_EQ(Of(Shape::kExponential).Rate(49), 4e-4);  // the geometric mean
  EXPECT_DOUBLE_EQ(Of(Shape::kExponential).Rate(99), 2e-4);
}

TEST(Schedule, CosineIsHalfWayInTheMiddle) {
  EXPECT_DOUBLE_EQ(Of(Shape::kCosine).Rate(0), 8e-4);
  EXPECT_NEAR(Of(Shape::kCosine).Rate(25), 2e-4 + 6e-4 * (0.5 + std::sqrt(0.5) / 2), 1e-15);
  EXPECT_NEAR(Of(Shape::kCosine).Rate(50), 5e-4, 1e-15);
}

TEST(Schedule, WarmupStableDecayStaysThenFalls) {
  const Schedule schedule = Of(Shape::kWarmupStableDecay, 10);
  for (int64_t step : {10, 40, 79}) EXPECT_DOUBLE_EQ(schedule.Rate(step), 8e-4) << step;
  EXPECT_NEAR(schedule.Rate(89), 5e-4, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.Rate(99), 2e-4);

  Schedule without_fall = schedule;
  without_fall.decay_fraction = 0;
  EXPECT_DOUBLE_EQ(without_fall.Rate(99), 8e-4);
}

TEST(Schedule, WarmsUpFromAHundredth) {
  for (Shape shape :
       {Shape::kConstant, Shape::kLinear, Shape::kCosine, Shape::kExponential, Shape::kWarmupStableDecay}) {
    SCOPED_TRACE(static_cast<int>(shape));
    const Schedule schedule = Of(shape, 10);
    EXPECT_DOUBLE_EQ(schedule.Rate(0), 0.01 * 8e-4);
    EXPECT_NEAR(schedule.Rate(5), (0.01 + 0.99 * 0.5) * 8e-4, 1e-15);
    EXPECT_NEAR(schedule.Rate(10), 8e-4, 0.023 * 8e-4);
  }
}

TEST(Schedule, ShorterThanItsWarmupIsAllWarmup) {
  Schedule schedule = Of(Shape::kCosine, 10);
  schedule.total = 4;
  for (int64_t step = 0; step < 4; ++step)
    EXPECT_NEAR(schedule.Rate(step), (0.01 + 0.099 * static_cast<double>(step)) * 8e-4, 1e-15);
}

TEST(Schedule, NamesAreRead) {
  for (const auto& [name, shape] : {std::pair{"constant", Shape::kConstant},
                                    {"linear", Shape::kLinear},
                                    {"cosine", Shape::kCosine},
                                    {"exponential", Shape::kExponential},
                                    {"wsd", Shape::kWarmupStableDecay}}) {
    const auto parsed = ParseSchedule(name);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, shape);
  }
  const auto wrong = ParseSchedule("cosinus");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.status().message().find("\"cosinus\""), std::string::npos) << wrong.status().message();
}

}  // namespace
}  // namespace tern::train
