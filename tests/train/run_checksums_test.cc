// A byte that changed on the disk is found before a run goes on from it.
#include "train/run_checksums.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "tests/testing/test_data.h"
#include "tests/train/run_testing.h"

namespace tern::train {
namespace {

using tern::testing::LearnableTokens;
using tern::testing::MakeTrainer;
using tern::testing::ReadBytes;
using tern::testing::RecordOf;
using tern::testing::SmallRun;
using tern::testing::TakeSteps;
using tern::testing::WriteBytes;
using ::testing::HasSubstr;

class RunChecksums : public ::testing::Test {
 protected:
  RunChecksums() {
    auto trainer = MakeTrainer(SmallRun(7), data_);
    for (int step = 1; step <= 2; ++step) {
      TakeSteps(*trainer, 1);
      EXPECT_TRUE(SaveRun(dir_.path(), *trainer, RecordOf(*trainer, *data_)).ok());
    }
    bytes_ = ReadBytes(path_);
    std::memcpy(&header_bytes_, bytes_.data(), sizeof header_bytes_);
    header_bytes_ += sizeof header_bytes_;
  }

  void Put(size_t at, std::byte byte) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte));
    ASSERT_TRUE(file.flush()) << path_;
  }
  /// What opening says of the newest checkpoint with another byte at `at`.
  Status StatusWithFlipped(size_t at, std::byte difference) {
    Put(at, bytes_[at] ^ difference);
    const Status status = OpenRun(path_).status();
    Put(at, bytes_[at]);
    return status;
  }
  /// Writes the newest checkpoint again without its checksums, saying that it is of format `version`.
  void WriteWithoutChecksums(const std::string& version) {
    const auto source = OpenTensorSource(path_);
    ASSERT_TRUE(source.ok()) << source.status().message();
    std::vector<OutputTensor> tensors;
    for (const TensorInfo& tensor : (*source)->tensors()) {
      if (tensor.name == "checksums") continue;
      const std::vector<std::byte> bytes(tensor.bytes.begin(), tensor.bytes.end());
      tensors.push_back({tensor.name, tensor.dtype, tensor.shape,
                         [bytes]() -> Result<TensorBytes> { return TensorBytes{{}, bytes}; }});
    }
    Metadata metadata = (*source)->metadata();
    metadata["tern.run"] = version;
    ASSERT_TRUE(WriteSafetensors(path_, tensors, metadata).ok());
  }

  tern::testing::TempDir dir_;
  std::shared_ptr<const TokenData> data_ = std::make_shared<LearnableTokens>(700);
  std::string path_ = RunPath(dir_.path(), 2);
  std::vector<std::byte> bytes_;
  uint64_t header_bytes_ = 0;
};

TEST_F(RunChecksums, AnyFlippedByteOfTheHeaderIsFound) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(fmt::format("seed {}", kSeed));
  Random random(kSeed);
  for (size_t at = 0; at < header_bytes_; ++at) {
    const auto difference = static_cast<std::byte>(1 + random.Below(255));
    const Status status = StatusWithFlipped(at, difference);
    ASSERT_EQ(status.code(), StatusCode::kCorrupt)
        << "byte " << at << " ^ " << static_cast<int>(difference) << ": " << status.message();
    ASSERT_THAT(status.message(), HasSubstr(path_));
  }
}

TEST_F(RunChecksums, FlippedBytesOfEveryTensorAreFoundAndNamed) {
  const auto source = OpenTensorSource(path_);
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_NE((*source)->Find("optimizer.v"), nullptr);
  ASSERT_NE((*source)->Find("streams"), nullptr);
  size_t at = header_bytes_;
  std::vector<std::pair<size_t, std::string>> places;  // the first, a middle and the last byte of each
  for (const TensorInfo& tensor : (*source)->tensors()) {
    const size_t size = tensor.bytes.size();
    for (const size_t within : {size_t{0}, size / 2, size - 1}) places.emplace_back(at + within, tensor.name);
    at += size;
  }
  ASSERT_EQ(at, bytes_.size());
  for (const auto& [place, name] : places) {
    const Status status = StatusWithFlipped(place, std::byte{1});
    ASSERT_EQ(status.code(), StatusCode::kCorrupt) << "byte " << place << " of " << name;
    EXPECT_THAT(status.message(), HasSubstr("tensor '" + name + "'"));
  }
}

TEST_F(RunChecksums, AFileCutAnywhereIsFound) {
  for (size_t size = 1; size < bytes_.size(); size += 997) {  // a prime: no multiple of any tensor's size
    WriteBytes(path_, {bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(size)});
    ASSERT_EQ(OpenRun(path_).status().code(), StatusCode::kCorrupt) << size << " bytes";
  }
}

TEST_F(RunChecksums, TheCheckpointBeforeIsUsedAndTheDamagedOneSetAside) {
  Put(bytes_.size() / 2, bytes_[bytes_.size() / 2] ^ std::byte{0x40});
  std::vector<RefusedRun> refused;
  const auto run = OpenNewestRun(dir_.path(), &refused);
  ASSERT_TRUE(run.ok()) << run.status().message();
  EXPECT_EQ(run->record.step, 1);
  EXPECT_TRUE(run->has_checksums);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_TRUE(refused[0].damaged);
  EXPECT_THAT(refused[0].why, HasSubstr("does not match its checksum"));
  ASSERT_TRUE(SetAside(refused[0]).ok());
  EXPECT_EQ(NewestStep(dir_.path()), 1);
  EXPECT_TRUE(std::filesystem::exists(path_ + ".damaged"));
}

TEST_F(RunChecksums, OlderCheckpointsWithoutThemStillRead) {
  WriteWithoutChecksums("1");
  const auto run = OpenRun(path_);
  ASSERT_TRUE(run.ok()) << run.status().message();
  EXPECT_FALSE(run->has_checksums);
  auto trainer = MakeTrainer(run->record.options, data_);
  const Status restored = RestoreRun(*run, trainer.get());
  EXPECT_TRUE(restored.ok()) << restored.message();
  EXPECT_EQ(trainer->step(), 2);
}

TEST_F(RunChecksums, ACheckpointThatLostThemIsRefused) {
  WriteWithoutChecksums("2");
  EXPECT_THAT(OpenRun(path_).status().message(), HasSubstr("no tensor 'checksums'"));
}

}  // namespace
}  // namespace tern::train
