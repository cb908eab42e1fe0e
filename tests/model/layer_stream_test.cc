// Weights that stay in the file: what is kept, what is read again, and that nobody waits for ever.
#include "model/layer_stream.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "tests/model/model_testing.h"

namespace tern {
namespace {

constexpr size_t kPartBytes = 300'000;  // no multiple of a page

/// A file whose part p is filled with bytes of value p.
class StreamTest : public ::testing::Test {
 protected:
  std::vector<LayerStream::Part> Parts(size_t count) {
    std::string text;
    for (size_t p = 0; p < count; ++p) text.append(kPartBytes, static_cast<char>(p));
    auto writer = AtomicFile::Create(dir_.File("weights"));
    EXPECT_TRUE(writer.ok());
    EXPECT_TRUE((*writer)->Append(text).ok());
    EXPECT_TRUE((*writer)->Commit().ok());
    auto file = MappedFile::Open(dir_.File("weights"));
    EXPECT_TRUE(file.ok());
    file_ = *file;
    std::vector<LayerStream::Part> parts(count);
    for (size_t p = 0; p < count; ++p) {  // of two ranges each
      const auto bytes = file_->bytes().subspan(p * kPartBytes, kPartBytes);
      parts[p] = {bytes.first(kPartBytes / 3), bytes.subspan(kPartBytes / 3)};
    }
    return parts;
  }

  /// Uses every part as a pass does; false when a byte is not its part's.
  static bool Pass(LayerStream& stream, const std::vector<LayerStream::Part>& parts) {
    bool right = true;
    for (size_t p = 0; p < parts.size(); ++p) {
      stream.Enter(p);
      for (const auto bytes : parts[p]) {
        for (size_t i = 0; i < bytes.size(); i += 1000) right &= bytes[i] == static_cast<std::byte>(p);
      }
      stream.Leave(p);
    }
    return right;
  }

  testing::TempDir dir_;
  std::shared_ptr<const MappedFile> file_;
};

TEST_F(StreamTest, KeepsWhatMemoryHasRoomFor) {
  const auto parts = Parts(8);
  EXPECT_EQ(LayerStream(parts, 8 * kPartBytes).streamed_bytes(), 0u);
  // Three parts pass through: the one in use and two that are read ahead.
  EXPECT_EQ(LayerStream(parts, 8 * kPartBytes - 1).streamed_bytes(), 4 * kPartBytes);
  EXPECT_EQ(LayerStream(parts, 5 * kPartBytes).streamed_bytes(), 6 * kPartBytes);
  EXPECT_EQ(LayerStream(parts, 1).streamed_bytes(), 8 * kPartBytes);
  EXPECT_EQ(LayerStream(parts, 1).total_bytes(), 8 * kPartBytes);
}

TEST_F(StreamTest, EveryPassSeesTheFile) {
  const auto parts = Parts(6);
  for (uint64_t memory : {uint64_t{1}, 4 * kPartBytes, 6 * kPartBytes}) {
    LayerStream stream(parts, memory);
    for (int pass = 0; pass < 5; ++pass) ASSERT_TRUE(Pass(stream, parts)) << memory << " bytes, pass " << pass;
  }
}

TEST_F(StreamTest, PassesMayEndBeforeTheLastPart) {
  const auto parts = Parts(6);
  LayerStream stream(parts, 1);
  const std::vector<LayerStream::Part> first(parts.begin(), parts.begin() + 5);
  for (int pass = 0; pass < 5; ++pass) ASSERT_TRUE(Pass(stream, first));
}

TEST_F(StreamTest, PassesAtTheSameTimeAllGoOn) {
  const auto parts = Parts(5);
  LayerStream stream(parts, 4 * kPartBytes);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int pass = 0; pass < 20; ++pass) right += Pass(stream, parts);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
}

TEST_F(StreamTest, IsClosedWithoutEverHavingBeenUsed) {
  const auto parts = Parts(3);
  const LayerStream stream(parts, 1);
}

class LargerThanMemory : public ::testing::TestWithParam<RandomModel> {
 protected:
  void TearDown() override { LimitMemory(0); }
};

TEST_P(LargerThanMemory, GivesTheMappedModelsLogits) {
  testing::TempDir dir;
  const std::string path = dir.File("model.pth");
  ASSERT_TRUE(WritePth(path, testing::RandomTensors(GetParam())).ok());
  const auto load = [&](Placement placement) {
    auto model = Model::Load(path, placement);
    EXPECT_TRUE(model.ok()) << model.status().message();
    return *model;
  };
  const auto mapped = load(Placement::kMapped);
  EXPECT_EQ(mapped->footprint().streamed_bytes, 0u);
  LimitMemory(1000);
  const auto streamed = load(Placement::kAuto);
  EXPECT_GT(streamed->footprint().streamed_bytes, 0u);
  EXPECT_LT(streamed->footprint().streamed_bytes, streamed->footprint().weight_bytes);
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  for (size_t chunk : {size_t{1}, size_t{3}, tokens.size()}) {
    State a = mapped->NewState(), b = streamed->NewState();
    EXPECT_EQ(testing::Run(*mapped, tokens, &a, chunk), testing::Run(*streamed, tokens, &b, chunk)) << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Generations, LargerThanMemory, ::testing::ValuesIn(testing::SmallModels()),
                         [](const auto& p) { return testing::TestName(p.param); });

}  // namespace
}  // namespace tern
