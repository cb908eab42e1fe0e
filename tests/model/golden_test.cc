// Every generation against the public reference implementation (tests/golden/README.md).
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/parallel.h"
#include "kernels/ops.h"
#include "tests/model/model_testing.h"
#include "tests/testing/golden.h"

namespace tern {
namespace {

using testing::Golden;
using testing::RelativeError;

// The reference itself, in fp32, is within 2.2e-6 of these double-precision numbers; a wrong term moves them by far
// more than 1e-4.
constexpr double kTolerance = 1e-4;

std::vector<int32_t> Ids(const Golden& golden) { return {golden.tokens.begin(), golden.tokens.end()}; }

class GoldenModel : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto golden = testing::LoadGolden(GetParam());
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    golden_ = *golden;
    model_ = testing::MakeModel(golden_.model, dir_);
    ASSERT_NE(model_, nullptr);
  }
  void TearDown() override { SetNumThreads(0); }

  testing::TempDir dir_;
  Golden golden_;
  std::shared_ptr<const Model> model_;
};

TEST_P(GoldenModel, GivesTheReferencesLogitsInAnyChunking) {
  const std::vector<int32_t> tokens = Ids(golden_);
  for (size_t chunk : {size_t{1}, size_t{7}, size_t{64}, tokens.size()}) {
    for (const testing::GoldenLogits& expected : golden_.logits) {
      State state = model_->NewState();
      const auto logits = testing::Run(*model_, std::span(tokens).first(static_cast<size_t>(expected.after)), &state, chunk);
      EXPECT_LT(RelativeError(logits, expected.values), kTolerance)
          << golden_.name << " after " << expected.after << " tokens in chunks of " << chunk;
    }
  }
}

TEST_P(GoldenModel, GivesTheReferencesLogitsAtEveryKernelLevel) {
  const kernels::Level before = kernels::Kernels().level;
  const std::vector<int32_t> tokens = Ids(golden_);
  for (kernels::Level level : {kernels::Level::kRef, kernels::Level::kAvx2, kernels::Level::kAvx512,
                               kernels::Level::kAmx}) {
    if (!kernels::UseLevel(level).ok()) continue;
    State state = model_->NewState();
    EXPECT_LT(RelativeError(testing::Run(*model_, tokens, &state, 16), golden_.logits.back().values), kTolerance)
        << golden_.name << " with kernels " << kernels::Name(level);
  }
  ASSERT_TRUE(kernels::UseLevel(before).ok());
}

TEST_P(GoldenModel, GivesAllLogitsInOnePassAsOneByOne) {
  const std::vector<int32_t> tokens = Ids(golden_);
  State state = model_->NewState();
  Workspace workspace;
  Batch batch;
  batch.Add(tokens, &state, Logits::kAll);
  std::vector<float> all;
  ASSERT_TRUE(model_->Forward(batch, workspace, &all).ok());
  const auto V = static_cast<size_t>(model_->config().vocab);
  ASSERT_EQ(all.size(), tokens.size() * V);
  for (const testing::GoldenLogits& expected : golden_.logits) {
    const auto row = all.begin() + static_cast<ptrdiff_t>((static_cast<size_t>(expected.after) - 1) * V);
    EXPECT_LT(RelativeError({row, row + static_cast<ptrdiff_t>(V)}, expected.values), kTolerance) << golden_.name;
  }
}

// Sequence s of the ragged batches: the golden tokens, begun in a batch with s others of different lengths.
TEST_P(GoldenModel, GivesTheReferencesLogitsInRaggedBatchesOfOneToNine) {
  const std::vector<int32_t> tokens = Ids(golden_);
  for (size_t sequences = 1; sequences <= 9; ++sequences) {
    std::vector<State> states(sequences, model_->NewState());
    std::vector<size_t> done(sequences, 0);
    std::vector<std::vector<float>> last(sequences);
    Workspace workspace;
    // Sequence s takes s·5 % 13 + 1 tokens at a time until it has read them all: some decode while others prefill.
    for (bool more = true; more;) {
      more = false;
      Batch batch;
      std::vector<size_t> present;
      for (size_t s = 0; s < sequences; ++s) {
        const size_t count = std::min(s * 5 % 13 + 1, tokens.size() - done[s]);
        if (count == 0) continue;
        batch.Add(std::span(tokens).subspan(done[s], count), &states[s], Logits::kLast);
        done[s] += count;
        present.push_back(s);
        more = true;
      }
      std::vector<float> logits;
      ASSERT_TRUE(model_->Forward(batch, workspace, &logits).ok());
      const auto V = static_cast<size_t>(model_->config().vocab);
      for (size_t i = 0; i < present.size(); ++i) {
        last[present[i]].assign(logits.begin() + static_cast<ptrdiff_t>(i * V),
                                logits.begin() + static_cast<ptrdiff_t>((i + 1) * V));
      }
    }
    for (size_t s = 0; s < sequences; ++s) {
      EXPECT_LT(RelativeError(last[s], golden_.logits.back().values), kTolerance)
          << golden_.name << ", sequence " << s << " of " << sequences;
    }
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Reference, GoldenModel, ::testing::ValuesIn(testing::GoldenFiles()), NameOf);

TEST(Golden, CoversEveryGeneration) {
  std::vector<Generation> seen;
  for (const std::string& path : testing::GoldenFiles()) {
    auto golden = testing::LoadGolden(path);
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    seen.push_back(golden->model.generation);
  }
  for (Generation g : {Generation::kRwkv4, Generation::kRwkv5_0, Generation::kRwkv5_1, Generation::kRwkv5_2,
                       Generation::kRwkv6, Generation::kRwkv7}) {
    EXPECT_NE(std::find(seen.begin(), seen.end(), g), seen.end()) << Name(g);
  }
}

}  // namespace
}  // namespace tern
