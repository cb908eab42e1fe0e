// States as values and as files.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/model/model_testing.h"
#include "tests/testing/corruption.h"

namespace tern {
namespace {

using testing::RandomModel;
using testing::RandomTokens;

class AnyState : public ::testing::TestWithParam<RandomModel> {
 protected:
  void SetUp() override {
    model_ = testing::MakeModel(GetParam(), dir_);
    ASSERT_NE(model_, nullptr);
  }
  testing::TempDir dir_;
  std::shared_ptr<const Model> model_;
};

TEST_P(AnyState, ACopyIsAForkAndAKeptCopyRollsBack) {
  const auto prompt = RandomTokens(GetParam().vocab, 20, 1), a = RandomTokens(GetParam().vocab, 9, 2),
             b = RandomTokens(GetParam().vocab, 9, 3);
  State state = model_->NewState();
  testing::Run(*model_, prompt, &state, 64);
  State fork = state;
  const State kept = state;
  const auto logits_a = testing::Run(*model_, a, &state, 1);
  const auto logits_b = testing::Run(*model_, b, &fork, 1);
  EXPECT_NE(logits_a, logits_b);
  state = kept;
  EXPECT_EQ(testing::Run(*model_, b, &state, 1), logits_b);
  EXPECT_EQ(std::vector<float>(state.data().begin(), state.data().end()),
            std::vector<float>(fork.data().begin(), fork.data().end()));
}

TEST_P(AnyState, GoesOnBitForBitAfterSavingAndLoading) {
  const auto prompt = RandomTokens(GetParam().vocab, 30, 4), rest = RandomTokens(GetParam().vocab, 10, 5);
  State state = model_->NewState();
  const auto logits = testing::Run(*model_, prompt, &state, 64);
  const std::string path = dir_.File("kept.state");
  ASSERT_TRUE(SaveState({state, model_->Hash(), prompt, logits, "a note: ü \n \" \\"}, path).ok());
  auto loaded = LoadState(path, model_->config(), model_->Hash());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->tokens, prompt);
  EXPECT_EQ(loaded->logits, logits);
  EXPECT_EQ(loaded->note, "a note: ü \n \" \\");
  EXPECT_EQ(testing::Run(*model_, rest, &loaded->state, 1), testing::Run(*model_, rest, &state, 1));
}

TEST_P(AnyState, IsRefusedByAnotherModelByName) {
  State state = model_->NewState();
  const std::string path = dir_.File("kept.state");
  ASSERT_TRUE(SaveState({state, model_->Hash(), {}, {}, ""}, path).ok());
  // The same shapes, other weights.
  RandomModel other_weights = GetParam();
  other_weights.seed += 1000;
  testing::TempDir other_dir;
  auto other = testing::MakeModel(other_weights, other_dir);
  EXPECT_NE(other->Hash(), model_->Hash());
  auto loaded = LoadState(path, other->config(), other->Hash());
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.status().message().find(path), std::string::npos);
  EXPECT_NE(loaded.status().message().find(model_->Hash()), std::string::npos);
  EXPECT_NE(loaded.status().message().find(other->Hash()), std::string::npos);
  // Another shape: the message says which.
  ModelConfig wider = model_->config();
  wider.layers += 1;
  loaded = LoadState(path, wider, model_->Hash());
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.status().message().find(std::to_string(wider.layers) + " layers"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Small, AnyState, ::testing::ValuesIn(testing::SmallModels()),
                         [](const auto& p) { return testing::TestName(p.param); });

TEST(StateFile, SurvivesDamage) {
  testing::TempDir dir;
  const RandomModel random = testing::SmallModels().front();
  auto model = testing::MakeModel(random, dir);
  const std::string path = dir.File("state");
  State state = model->NewState();
  const std::vector<int32_t> tokens = {1, 2, 3};
  const auto logits = testing::Run(*model, tokens, &state, 3);
  ASSERT_TRUE(SaveState({state, model->Hash(), tokens, logits, "note"}, path).ok());
  const auto good = testing::ReadBytes(path);
  const auto parse = [&](const std::vector<std::byte>& bytes) {
    testing::WriteBytes(path, bytes);
    auto loaded = LoadState(path, model->config(), model->Hash());
    EXPECT_TRUE(loaded.ok() || !loaded.status().message().empty());
  };
  testing::AttackByTruncation(good, parse);
  constexpr uint64_t kSeed = 99;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  testing::AttackByFlips(good, 700, 500, kSeed, parse);
}

TEST(ModelHash, FollowsTheWeightsNotTheFile) {
  testing::TempDir a, b;
  const RandomModel random = testing::SmallModels()[5];
  auto first = testing::MakeModel(random, a), second = testing::MakeModel(random, b);
  EXPECT_EQ(first->Hash(), second->Hash());
  EXPECT_EQ(first->Hash().size(), 32u);
}

}  // namespace
}  // namespace tern
