// Promises of the forward pass that hold bit for bit.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/parallel.h"
#include "base/random.h"
#include "tests/model/model_testing.h"

namespace tern {
namespace {

using testing::RandomModel;
using testing::RandomTokens;

class AnyGeneration : public ::testing::TestWithParam<RandomModel> {
 protected:
  void SetUp() override {
    model_ = testing::MakeModel(GetParam(), dir_, DType::kF16);
    ASSERT_NE(model_, nullptr);
  }
  void TearDown() override { SetNumThreads(0); }
  testing::TempDir dir_;
  std::shared_ptr<const Model> model_;
};

TEST_P(AnyGeneration, IsBitEqualAtAnyNumberOfThreads) {
  const std::vector<int32_t> tokens = RandomTokens(GetParam().vocab, 100, 1);
  std::vector<std::vector<float>> logits;
  std::vector<State> states;
  for (int threads : {1, 2, 3, 5, 16}) {
    SetNumThreads(threads);
    states.push_back(model_->NewState());
    logits.push_back(testing::Run(*model_, tokens, &states.back(), 33));
    EXPECT_EQ(logits.back(), logits.front()) << threads << " threads";
    EXPECT_TRUE(std::equal(states.back().data().begin(), states.back().data().end(), states.front().data().begin()))
        << threads << " threads";
  }
}

TEST_P(AnyGeneration, DecodesBitEqualWhoeverSharesTheBatch) {
  constexpr size_t kSequences = 9, kSteps = 20;
  // Alone.
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<std::vector<float>>> alone(kSequences);
  for (size_t s = 0; s < kSequences; ++s) {
    tokens.push_back(RandomTokens(GetParam().vocab, kSteps, 100 + s));
    State state = model_->NewState();
    for (int32_t token : tokens[s]) alone[s].push_back(testing::Run(*model_, {&token, 1}, &state, 1));
  }
  // Together with a changing company, some of which read several tokens at once.
  Random random(7);
  std::vector<State> states(kSequences, model_->NewState());
  std::vector<size_t> done(kSequences, 0);
  State stranger = model_->NewState();
  Workspace workspace;
  for (int step = 0; step < 60; ++step) {
    Batch batch;
    std::vector<size_t> present;
    for (size_t s = 0; s < kSequences; ++s) {
      if (done[s] == kSteps || random.Below(3) == 0) continue;
      batch.Add({&tokens[s][done[s]], 1}, &states[s], Logits::kLast);
      present.push_back(s);
    }
    const auto prefill = RandomTokens(GetParam().vocab, random.Below(40), random.NextU64());
    batch.Add(prefill, &stranger, Logits::kNone);
    std::vector<float> logits;
    ASSERT_TRUE(model_->Forward(batch, workspace, &logits).ok());
    const auto V = static_cast<size_t>(GetParam().vocab);
    for (size_t i = 0; i < present.size(); ++i) {
      const size_t s = present[i];
      const std::vector<float> row(logits.begin() + static_cast<ptrdiff_t>(i * V),
                                   logits.begin() + static_cast<ptrdiff_t>((i + 1) * V));
      EXPECT_EQ(row, alone[s][done[s]]) << "sequence " << s << ", token " << done[s];
      ++done[s];
    }
  }
  for (size_t s = 0; s < kSequences; ++s) EXPECT_EQ(done[s], kSteps);
}

TEST_P(AnyGeneration, RefusesBadBatchesAndChangesNothing) {
  State state = model_->NewState();
  testing::Run(*model_, RandomTokens(GetParam().vocab, 5, 3), &state, 5);
  const std::vector<float> before(state.data().begin(), state.data().end());
  Workspace workspace;
  std::vector<float> logits = {1.0f};
  for (int32_t bad : {-1, static_cast<int32_t>(GetParam().vocab), INT32_MAX}) {
    Batch batch;
    const int32_t tokens[] = {1, bad};
    batch.Add(tokens, &state, Logits::kLast);
    const Status status = model_->Forward(batch, workspace, &logits);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(std::to_string(bad)), std::string::npos);
  }
  State foreign;
  Batch batch;
  const int32_t token = 1;
  batch.Add({&token, 1}, &foreign, Logits::kLast);
  EXPECT_EQ(model_->Forward(batch, workspace, &logits).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(std::vector<float>(state.data().begin(), state.data().end()), before);
  EXPECT_EQ(logits, std::vector<float>{1.0f});
}

TEST_P(AnyGeneration, ReadsNothingFromAnEmptyBatch) {
  State state = model_->NewState();
  Workspace workspace;
  std::vector<float> logits;
  Batch batch;
  EXPECT_TRUE(model_->Forward(batch, workspace, &logits).ok());
  batch.Add({}, &state, Logits::kLast);
  EXPECT_TRUE(model_->Forward(batch, workspace, &logits).ok());
  EXPECT_TRUE(logits.empty());
}

INSTANTIATE_TEST_SUITE_P(Small, AnyGeneration, ::testing::ValuesIn(testing::SmallModels()),
                         [](const auto& p) { return testing::TestName(p.param); });

}  // namespace
}  // namespace tern
