#include "formats/random_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "tensor/quant.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

RandomModel Sized(std::string_view name) {
  const auto model = RandomModelOfSize(name);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : RandomModel{};
}

TEST(RandomModelSize, PublishedNamesStandForTheirSizes) {
  struct Expected {
    const char* name;
    Generation generation;
    int64_t layers, width, ffn, vocab;
  };
  const Expected expected[] = {
      {"rwkv4:169M", Generation::kRwkv4, 12, 768, 3072, 50277},
      {"rwkv4:1.5B", Generation::kRwkv4, 24, 2048, 8192, 50277},
      {"rwkv5:1.5B", Generation::kRwkv5_2, 24, 2048, 7168, 65536},
      {"rwkv5.0:0.1B", Generation::kRwkv5_0, 12, 768, 2688, 65536},
      {"rwkv5.1:0.4B", Generation::kRwkv5_1, 24, 1024, 3584, 65536},
      {"rwkv5.2:7B", Generation::kRwkv5_2, 32, 4096, 14336, 65536},
      {"rwkv6:1.6B", Generation::kRwkv6, 24, 2048, 7168, 65536},
      {"rwkv7:0.1B", Generation::kRwkv7, 12, 768, 3072, 65536},
      {"rwkv7:1.5B", Generation::kRwkv7, 24, 2048, 8192, 65536},
      {"rwkv7:2.9B", Generation::kRwkv7, 32, 2560, 10240, 65536},
  };
  for (const Expected& e : expected) {
    SCOPED_TRACE(e.name);
    const RandomModel model = Sized(e.name);
    EXPECT_EQ(model.generation, e.generation);
    EXPECT_EQ(model.layers, e.layers);
    EXPECT_EQ(model.width, e.width);
    EXPECT_EQ(model.ffn, e.ffn);
    EXPECT_EQ(model.vocab, e.vocab);
    EXPECT_EQ(model.head_size, e.generation == Generation::kRwkv4 ? 0 : 64);
  }
}

TEST(RandomModelSize, LayersTimesWidthIsASizeToo) {
  const RandomModel same = Sized("rwkv7:12x768"), published = Sized("rwkv7:0.1B");
  EXPECT_EQ(CountParameters(same), CountParameters(published));
  const RandomModel small = Sized("rwkv4:3x96x100");
  EXPECT_EQ(small.layers, 3);
  EXPECT_EQ(small.width, 96);
  EXPECT_EQ(small.vocab, 100);
}

TEST(RandomModelSize, RefusesWhatIsNoSizeAndSaysWhatWouldBe) {
  for (const char* name : {"", "rwkv7", "rwkv7:", "rwkv3:1.5B", "rwkv7:169M", "1.5B", "rwkv7:12", "rwkv7:12x",
                           "rwkv7:x768", "rwkv7:12x768x", "rwkv7:12*768", "rwkv7:99999999999999999999x64"}) {
    SCOPED_TRACE(name);
    const auto model = RandomModelOfSize(name);
    ASSERT_FALSE(model.ok());
    EXPECT_THAT(model.status().message(),
                ::testing::AnyOf(HasSubstr("rwkv7:1.5B"), HasSubstr("LAYERSxWIDTH")));
  }
  for (const char* name :
       {"rwkv7:0x64", "rwkv7:1001x64", "rwkv7:1x63", "rwkv7:1x0", "rwkv7:-1x64", "rwkv7:1x65600",
        "rwkv4:1x48", "rwkv7:1x64x1", "rwkv7:1x64x1048577", "rwkv7:1x64x64x64"}) {
    SCOPED_TRACE(name);
    const auto model = RandomModelOfSize(name);
    ASSERT_FALSE(model.ok());
    EXPECT_THAT(model.status().message(), HasSubstr("LAYERSxWIDTH"));
  }
}

SaveOptions As(FileFormat format, DType type) {
  SaveOptions options;
  options.format = format;
  options.type = type;
  return options;
}

void ExpectAFileThatOpens(const RandomModel& model, DType type) {
  testing::TempDir dir;
  const std::string path = dir.File("model.gguf");
  const SaveOptions options = As(FileFormat::kGguf, type);
  const Status saved = SaveRandomModel(model, path, options);
  ASSERT_TRUE(saved.ok()) << saved.message();
  const auto checkpoint = OpenCheckpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_EQ((*checkpoint)->generation(), model.generation);
  EXPECT_EQ((*checkpoint)->tensors().size(), ListTensors(model).size());
  EXPECT_EQ((*checkpoint)->Find("blocks.1.ffn.key.weight")->dtype, type);
  // The file is its tensors, and names, keys and padding beside them.
  const auto predicted = RandomModelBytes(model, options);
  ASSERT_TRUE(predicted.ok());
  const auto size = std::filesystem::file_size(path);
  EXPECT_GE(size, *predicted);
  EXPECT_LE(size, *predicted + 40000);
}

TEST(RandomModelFile, EveryGenerationIsAFileThatOpens) {
  for (const char* name : {"rwkv4:2x256x300", "rwkv5.0:2x256x300", "rwkv5.1:2x256x300", "rwkv5:2x256x300",
                           "rwkv6:2x256x300", "rwkv7:2x256x300"}) {
    SCOPED_TRACE(name);
    ExpectAFileThatOpens(Sized(name), DType::kQ8_0);
  }
}

TEST(RandomModelFile, EveryTypeIsAFileThatOpens) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    if (!CanQuantizeTo(type)) continue;
    SCOPED_TRACE(std::string(Name(type)));
    ExpectAFileThatOpens(Sized("rwkv7:2x256x300"), type);
  }
}

// A row is cut from a pool of 2^18 weights, so that a matrix holds that many different ones at most: its mean
// and variance are those of the pool, within 5 standard deviations of them. Quantisation to 4 bits adds about
// a hundredth of variance.
TEST(RandomModelFile, MatricesHaveTheStatisticsOfTheFormula) {
  testing::TempDir dir;
  const RandomModel model = Sized("rwkv6:8x256x300");
  for (const DType type : {DType::kF16, DType::kQ8_0, DType::kQ4_K}) {
    ASSERT_TRUE(SaveRandomModel(model, dir.File("m.gguf"), As(FileFormat::kGguf, type)).ok());
    const auto checkpoint = OpenCheckpoint(dir.File("m.gguf"));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    // The last layer's value is stored halved in this format: what is read must be the same nevertheless.
    for (const char* name :
         {"blocks.0.ffn.key.weight", "blocks.7.ffn.value.weight", "blocks.3.att.time_maa_w2"}) {
      SCOPED_TRACE(std::string(name) + " " + std::string(Name(type)));
      const CheckpointTensor* tensor = (*checkpoint)->Find(name);
      ASSERT_NE(tensor, nullptr);
      std::vector<float> values(static_cast<size_t>(*NumElements(tensor->shape)));
      ReadCanonical(*tensor, values.data());
      double sum = 0, squares = 0;
      for (const float v : values) sum += v, squares += static_cast<double>(v) * v;
      const RandomTensor expected = MakeRandomTensor(model, name, tensor->shape);
      const double n = static_cast<double>(values.size()), variance = expected.scale * expected.scale / 3;
      const double independent = std::min(n, 262144.0) / 8;  // rows overlap
      EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(variance / independent));
      EXPECT_NEAR(squares / n / variance, 1, 5 / std::sqrt(independent) + 0.02);
    }
  }
}

TEST(RandomModelFile, RowsDiffer) {
  testing::TempDir dir;
  ASSERT_TRUE(
      SaveRandomModel(Sized("rwkv7:1x256x300"), dir.File("m.gguf"), As(FileFormat::kGguf, DType::kQ8_0))
          .ok());
  const auto checkpoint = OpenCheckpoint(dir.File("m.gguf"));
  ASSERT_TRUE(checkpoint.ok());
  const CheckpointTensor* key = (*checkpoint)->Find("blocks.0.ffn.key.weight");
  const size_t row = key->bytes.size() / static_cast<size_t>(key->shape[0]);
  std::set<std::vector<std::byte>> rows;
  for (int64_t i = 0; i < key->shape[0]; ++i) {
    const auto bytes = key->bytes.subspan(static_cast<size_t>(i) * row, row);
    rows.insert({bytes.begin(), bytes.end()});
  }
  // 1024 rows from 8192 places: about 60 meet another.
  EXPECT_GT(rows.size(), 900u);
}

TEST(RandomModelFile, OtherFormatsHoldItToo) {
  testing::TempDir dir;
  const RandomModel model = Sized("rwkv6:2x64x100");
  for (const auto& [format, name] :
       {std::pair(FileFormat::kPth, "m.pth"), std::pair(FileFormat::kSafetensors, "m.st"),
        std::pair(FileFormat::kRwkvBin, "m.bin")}) {
    SCOPED_TRACE(name);
    const Status saved = SaveRandomModel(model, dir.File(name), As(format, DType::kF16));
    ASSERT_TRUE(saved.ok()) << saved.message();
    const auto checkpoint = OpenCheckpoint(dir.File(name));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    EXPECT_EQ((*checkpoint)->generation(), Generation::kRwkv6);
  }
  EXPECT_EQ(SaveRandomModel(model, dir.File("m.pth"), As(FileFormat::kPth, DType::kQ8_0)).code(),
            StatusCode::kUnsupported);
}

}  // namespace
}  // namespace tern
