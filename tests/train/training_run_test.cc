// A run on a disk that is full: the model is written, and nothing that a run can go on from is lost.
#include "train/training_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/test_data.h"
#include "tests/train/run_testing.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using tern::testing::LearnableTokens;
using tern::testing::MakeTrainer;
using tern::testing::RecordOf;
using tern::testing::SmallRun;
using ::testing::HasSubstr;

class TrainingRun : public ::testing::Test {
 protected:
  TrainingRun() {
    options_.steps = 6;
    options_.save_every = 2;
    options_.eval_every = 0;
    setup_.folder = dir_.path();
    setup_.report = false;
    setup_.save_model = [this](const Trainer& trainer, const RunRecord& record) {
      return SaveWeights(Model(), trainer, record);
    };
  }
  Result<RunResult> Go() {
    auto trainer = MakeTrainer(options_, data_);
    setup_.record = RecordOf(*trainer, *data_);
    return RunTraining(*trainer, setup_);
  }
  std::string Model() const { return dir_.File("model.safetensors"); }
  /// Whatever is written to this path meets a full disk.
  static void MakeFull(const std::string& path) { fs::create_symlink("/dev/full", path); }
  bool Exists(int64_t step) const { return fs::exists(RunPath(dir_.path(), step)); }

  tern::testing::TempDir dir_;
  TrainOptions options_ = SmallRun(7);
  RunSetup setup_;
  std::shared_ptr<const TokenData> data_ = std::make_shared<LearnableTokens>(700);
};

TEST_F(TrainingRun, LeavesTheModelAndTheNewestCheckpoints) {
  const auto result = Go();
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_TRUE(result->saved);
  EXPECT_TRUE(fs::exists(Model()));
  EXPECT_TRUE(Exists(2) && Exists(4) && Exists(6));
}

TEST_F(TrainingRun, WritesTheModelWhereTheLastCheckpointFindsNoRoom) {
  MakeFull(RunPath(dir_.path(), 6));
  const auto result = Go();
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_FALSE(result->saved);
  EXPECT_TRUE(fs::exists(Model()));
  const auto newest = OpenRun(RunPath(dir_.path(), 4));
  EXPECT_TRUE(newest.ok()) << newest.status().message();
  EXPECT_FALSE(Exists(2)) << "no room was made";
}

TEST_F(TrainingRun, OlderCheckpointsMakeRoomForTheModel) {
  setup_.save_model = [this](const Trainer& trainer, const RunRecord& record) {
    return Exists(2) ? Exhausted("no space left") : SaveWeights(Model(), trainer, record);
  };
  const auto result = Go();
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_TRUE(fs::exists(Model()));
  EXPECT_FALSE(Exists(2));
  EXPECT_TRUE(Exists(4) && Exists(6));
}

TEST_F(TrainingRun, CheckpointsThatWereAskedForMakeNoRoom) {
  options_.keep = 0;
  setup_.save_model = [](const Trainer&, const RunRecord&) { return Exhausted("no space left"); };
  const auto result = Go();
  EXPECT_EQ(result.status().code(), StatusCode::kExhausted);
  EXPECT_THAT(result.status().message(), HasSubstr("--resume goes on from step 4"));
  EXPECT_TRUE(Exists(2) && Exists(4));
}

TEST_F(TrainingRun, SaysThatNoCheckpointIsLeftToGoOnFrom) {
  options_.save_every = 0;
  setup_.save_model = [](const Trainer&, const RunRecord&) { return Exhausted("no space left"); };
  EXPECT_THAT(Go().status().message(), HasSubstr("no checkpoint either"));
}

TEST_F(TrainingRun, ADamagedCheckpointIsNotTheOneThatIsLeft) {
  setup_.save_model = [this](const Trainer&, const RunRecord&) -> Status {
    if (Exists(4)) fs::resize_file(RunPath(dir_.path(), 4), 1000);
    return Exhausted("no space left");
  };
  EXPECT_FALSE(Go().ok());
  EXPECT_TRUE(Exists(2)) << "the last whole checkpoint was removed";
}

}  // namespace
}  // namespace tern::train
