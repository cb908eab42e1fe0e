// Steps of training, as a run sees them.
#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"
#include "tests/train/run_testing.h"

namespace tern::train {
namespace {

using tern::testing::LearnableTokens;
using tern::testing::MakeTrainer;
using tern::testing::SmallRun;
using tern::testing::TakeSteps;
using ::testing::HasSubstr;

class TrainerTest : public ::testing::TestWithParam<int64_t> {
 protected:
  std::shared_ptr<const TokenData> data_ = std::make_shared<LearnableTokens>(3000);
};

TEST_P(TrainerTest, LearnsWhatCanBeLearnt) {
  TrainOptions options = SmallRun(GetParam());
  options.dropout = 0;
  options.steps = 60;
  auto trainer = MakeTrainer(options, data_);
  const std::vector<double> losses = TakeSteps(*trainer, 60);
  EXPECT_NEAR(losses.front(), std::log(16.0), 1.0);  // nothing is known at first
  // Seven of eight tokens follow from the one before; the rest are even over 16: an entropy of about 0.7
  // nats.
  EXPECT_LT(losses.back(), 1.6);
  const auto loss = trainer->Evaluate(LearnableTokens(500, 7), {});
  ASSERT_TRUE(loss.ok()) << loss.status().message();
  EXPECT_EQ(loss->count, 499);
  EXPECT_LT(loss->sum / static_cast<double>(loss->count), 1.6);
}

TEST_P(TrainerTest, BitsDoNotDependOnThreads) {
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
    TakeSteps(*trainer, 3);
    results.emplace_back(trainer->parameters().begin(), trainer->parameters().end());
  }
  SetNumThreads(0);
  EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(float)), 0);
}

TEST_P(TrainerTest, MicroBatchesAreTheWholeBatch) {
  TrainOptions options = SmallRun(GetParam());
  options.dropout = 0;
  options.precision = "f32";
  std::vector<std::vector<double>> losses;
  for (const int64_t micro : {0, 1, 2}) {
    options.micro_batch = micro;
    auto trainer = MakeTrainer(options, data_);
    losses.push_back(TakeSteps(*trainer, 3));
  }
  // Sums in another order: fp32 rounding, a few steps later.
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(losses[1][i], losses[0][i], 1e-4);
    EXPECT_NEAR(losses[2][i], losses[0][i], 1e-4);
  }
}

TEST_P(TrainerTest, NamesWhereNaNIs) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  ASSERT_TRUE(trainer
                  ->SetParameters([&](std::span<float> parameters) {
                    const Parameter& p = trainer->layout().Get("blocks.1.ffn.key.weight");
                    parameters[static_cast<size_t>(p.offset + 3)] = std::numeric_limits<float>::quiet_NaN();
                    return OkStatus();
                  })
                  .ok());
  const auto report = trainer->Step();
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.status().message(), HasSubstr("blocks.1.ffn"));
  EXPECT_THAT(report.status().message(), HasSubstr("step 1"));
}

TEST_P(TrainerTest, SkipsBadStepsWhereAskedAndNotForEver) {
  TrainOptions options = SmallRun(GetParam());
  options.skip_bad_steps = true;
  auto trainer = MakeTrainer(options, data_);
  std::vector<float> before;
  ASSERT_TRUE(trainer
                  ->SetParameters([&](std::span<float> parameters) {
                    parameters[static_cast<size_t>(trainer->layout().Get("head.weight").offset)] =
                        std::numeric_limits<float>::infinity();
                    before.assign(parameters.begin(), parameters.end());
                    return OkStatus();
                  })
                  .ok());
  const std::vector<float> states(trainer->states()->values().begin(), trainer->states()->values().end());
  const auto report = trainer->Step();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_FALSE(report->trouble.empty());
  EXPECT_EQ(trainer->step(), 1);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), trainer->parameters().begin()));
  EXPECT_TRUE(std::equal(states.begin(), states.end(), trainer->states()->values().begin()));
  Status last;
  for (int i = 1; i < Trainer::kMostBadSteps; ++i) last = trainer->Step().status();
  EXPECT_THAT(last.message(), HasSubstr("in a row"));
}

TEST_P(TrainerTest, CarriedValidationGoesOnFromWindowToWindow) {
  TrainOptions options = SmallRun(GetParam());
  options.context = 2;
  auto trainer = MakeTrainer(options, data_);
  TakeSteps(*trainer, 5);  // at first the output is zero, whatever the state
  const LearnableTokens text(301, 5);
  const auto zero = trainer->Evaluate(text, {});
  options.eval_carried = true;
  auto carrying = MakeTrainer(options, data_);
  TakeSteps(*carrying, 5);
  const auto carried = carrying->Evaluate(text, {});
  ASSERT_TRUE(zero.ok() && carried.ok());
  EXPECT_EQ(zero->count, 300);
  EXPECT_EQ(carried->count, 300);
  EXPECT_NE(zero->sum, carried->sum);
}

TEST_P(TrainerTest, ReadsAboutAsManyValidationTokensAsAsked) {
  TrainOptions options = SmallRun(GetParam());
  options.eval_tokens = 50;
  auto trainer = MakeTrainer(options, data_);
  const auto loss = trainer->Evaluate(LearnableTokens(500), {});
  ASSERT_TRUE(loss.ok());
  EXPECT_EQ(loss->count, 48);  // four windows of twelve
}

TEST_P(TrainerTest, RefusesTokensOutsideTheVocabulary) {
  SingleProcess alone;
  const TrainOptions options = SmallRun(GetParam());
  const auto trainer = Trainer::Create(options, tern::testing::ShapeOf(options),
                                       std::make_shared<LearnableTokens>(500, 1, 17), &alone);
  ASSERT_FALSE(trainer.ok());
  EXPECT_THAT(trainer.status().message(), HasSubstr("token 16"));
}

INSTANTIATE_TEST_SUITE_P(Generations, TrainerTest, ::testing::Values(4, 7),
                         [](const auto& at) { return "Rwkv" + std::to_string(at.param); });

}  // namespace
}  // namespace tern::train
