// A run that was interrupted is the run that was not.
#include "train/run_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/parallel.h"
#include "model/model.h"
#include "tests/testing/test_data.h"
#include "tests/train/run_testing.h"
#include "train/onednn.h"

namespace tern::train {
namespace {

using tern::testing::LearnableTokens;
using tern::testing::MakeTrainer;
using tern::testing::RecordOf;
using tern::testing::SmallRun;
using tern::testing::TakeSteps;
using ::testing::HasSubstr;

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class RunCheckpoint : public ::testing::TestWithParam<int64_t> {
 protected:
  Status Save(Trainer& trainer) const { return SaveRun(dir_.path(), trainer, RecordOf(trainer, *data_)); }
  StoredRun Newest() const {
    std::vector<RefusedRun> passed_over;
    auto run = OpenNewestRun(dir_.path(), &passed_over);
    EXPECT_TRUE(run.ok()) << run.status().message();
    return *run;
  }

  tern::testing::TempDir dir_;
  std::shared_ptr<const TokenData> data_ = std::make_shared<LearnableTokens>(700);
};

TEST_P(RunCheckpoint, TenStepsAreFiveAndFiveBitForBit) {
  for (const char* precision : {"bf16", "f32"}) {
    SCOPED_TRACE(precision);
    TrainOptions options = SmallRun(GetParam());
    options.precision = precision;
    auto whole = MakeTrainer(options, data_);
    std::vector<double> losses = TakeSteps(*whole, 10);

    auto first = MakeTrainer(options, data_);
    TakeSteps(*first, 5);
    ASSERT_TRUE(Save(*first).ok());
    first.reset();
    options.seed += 1;  // what a new trainer starts from must not matter, once restored
    auto elsewhere = MakeTrainer(options, data_);
    const StoredRun run = Newest();
    EXPECT_EQ(run.record.step, 5);
    auto second = MakeTrainer(run.record.options, data_);
    const Status restored = RestoreRun(run, second.get());
    ASSERT_TRUE(restored.ok()) << restored.message();
    EXPECT_FALSE(SameBits(second->parameters(), elsewhere->parameters()));
    const std::vector<double> rest = TakeSteps(*second, 5);
    EXPECT_TRUE(std::equal(rest.begin(), rest.end(), losses.begin() + 5));
    EXPECT_TRUE(SameBits(second->parameters(), whole->parameters()));
    EXPECT_TRUE(SameBits(second->optimizer().m(), whole->optimizer().m()));
    EXPECT_TRUE(SameBits(second->optimizer().v(), whole->optimizer().v()));
    EXPECT_TRUE(SameBits(second->states()->values(), whole->states()->values()));
  }
}

TEST_P(RunCheckpoint, ReadsAsAModel) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  TakeSteps(*trainer, 2);
  ASSERT_TRUE(Save(*trainer).ok());
  const auto model = Model::Load(RunPath(dir_.path(), 2));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->footprint().parameters, trainer->layout().count());
}

TEST_P(RunCheckpoint, AFullDiskLeavesThePreviousOne) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  TakeSteps(*trainer, 1);
  ASSERT_TRUE(Save(*trainer).ok());
  TakeSteps(*trainer, 1);
  const auto size = std::filesystem::file_size(RunPath(dir_.path(), 1));
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = size / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Status failed = Save(*trainer);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(failed.code(), StatusCode::kIo) << failed.message();
  EXPECT_EQ(Newest().record.step, 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 2)
      << "a temporary file is left beside the checkpoint and inputs.json";
}

TEST_P(RunCheckpoint, ABrokenNewestOneIsPassedOver) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  TakeSteps(*trainer, 1);
  ASSERT_TRUE(Save(*trainer).ok());
  TakeSteps(*trainer, 1);
  ASSERT_TRUE(Save(*trainer).ok());
  std::filesystem::resize_file(RunPath(dir_.path(), 2), 1000);
  std::vector<RefusedRun> passed_over;
  const auto run = OpenNewestRun(dir_.path(), &passed_over);
  ASSERT_TRUE(run.ok()) << run.status().message();
  EXPECT_EQ(run->record.step, 1);
  ASSERT_EQ(passed_over.size(), 1u);
  EXPECT_THAT(passed_over[0].why, HasSubstr("step-00000002"));
  EXPECT_TRUE(passed_over[0].damaged);
}

TEST_P(RunCheckpoint, KeepsTheNewestAndClearsWhatKilledWritersLeft) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  for (int i = 0; i < 4; ++i) {
    TakeSteps(*trainer, 1);
    ASSERT_TRUE(Save(*trainer).ok());
  }
  tern::testing::WriteBytes(RunPath(dir_.path(), 5) + ".tmp-1", {std::byte{1}});
  tern::testing::WriteBytes(dir_.File("best.safetensors"), {std::byte{1}});
  PruneRuns(dir_.path(), 2, 4);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("step-00000003.safetensors", "step-00000004.safetensors",
                                                     "best.safetensors", "inputs.json"));
}

TEST_P(RunCheckpoint, RefusesAnotherRunAndNamesTheDifference) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  TakeSteps(*trainer, 1);
  ASSERT_TRUE(Save(*trainer).ok());
  const StoredRun run = Newest();
  const DataIdentity data = Identify(*data_);
  std::vector<std::string> changes;
  std::string kernels;
  TrainOptions options = run.record.options;
  EXPECT_TRUE(CheckResume(run, options, data, "", &changes, &kernels).ok());
  EXPECT_TRUE(changes.empty());
  options.steps = 99;
  EXPECT_TRUE(CheckResume(run, options, data, "", &changes, &kernels).ok());
  EXPECT_THAT(changes, ::testing::ElementsAre(HasSubstr("steps 10 → 99")));
  options.context = 13;
  const Status sizes = CheckResume(run, options, data, "", &changes, &kernels);
  EXPECT_EQ(sizes.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(sizes.message(), HasSubstr("context 12 → 13"));
  options.context = 12;
  const DataIdentity other = Identify(LearnableTokens(700, 2));
  EXPECT_THAT(CheckResume(run, options, other, "", &changes, &kernels).message(), HasSubstr("700 tokens"));
  EXPECT_THAT(CheckResume(run, options, data, "x", &changes, &kernels).message(), HasSubstr("vocabulary"));
}

TEST_P(RunCheckpoint, NamesOtherKernelsThanThoseOfTheRun) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  TakeSteps(*trainer, 1);
  RunRecord record = RecordOf(*trainer, *data_);
  const auto other_kernels = [&](const std::string& before) {
    record.kernels = before;
    EXPECT_TRUE(SaveRun(dir_.path(), *trainer, record).ok());
    std::vector<std::string> changes;
    std::string kernels;
    const StoredRun run = Newest();
    EXPECT_TRUE(CheckResume(run, run.record.options, Identify(*data_), "", &changes, &kernels).ok());
    return kernels;
  };
  EXPECT_EQ(other_kernels(KernelsInUse()), "");
  EXPECT_EQ(other_kernels(""), "") << "an older checkpoint does not say which";
  EXPECT_THAT(other_kernels("abacus"), HasSubstr("abacus → " + KernelsInUse()));
}

TEST_P(RunCheckpoint, NamesFilesWithoutTheirFolders) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  RunRecord record = RecordOf(*trainer, *data_);
  record.options.data = {"/home/ada/private/corpus.txt"};
  record.options.tokenizer = "/home/ada/private/vocab.txt";
  record.options.model = "/home/ada/private/base.pth";
  record.options.validation = "/home/ada/private/held.txt";
  ASSERT_TRUE(SaveRun(dir_.path(), *trainer, record).ok());
  ASSERT_TRUE(SaveWeights(dir_.File("best.safetensors"), *trainer, record).ok());
  for (const std::string& path : {RunPath(dir_.path(), 0), dir_.File("best.safetensors")}) {
    const auto bytes = tern::testing::ReadBytes(path);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_THAT(text, HasSubstr("corpus.txt")) << path;
    EXPECT_EQ(text.find("private"), std::string::npos) << path;
  }
}

TEST_P(RunCheckpoint, AModelWithoutARunIsNotACheckpoint) {
  auto trainer = MakeTrainer(SmallRun(GetParam()), data_);
  ASSERT_TRUE(SaveWeights(dir_.File("best.safetensors"), *trainer, RecordOf(*trainer, *data_)).ok());
  EXPECT_THAT(OpenRun(dir_.File("best.safetensors")).status().message(), HasSubstr("--model"));
}

INSTANTIATE_TEST_SUITE_P(Generations, RunCheckpoint, ::testing::Values(4, 7),
                         [](const auto& at) { return "Rwkv" + std::to_string(at.param); });

}  // namespace
}  // namespace tern::train
