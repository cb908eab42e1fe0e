#include "tests/testing/random_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/bytes.h"
#include "base/parallel.h"
#include "tensor/quant.h"
#include "tests/testing/golden.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;

/// Sizes of tests/golden/rwkv7-head16.json, whose weights the reference was run with.
RandomModel Rwkv7Head16() {
  return {.generation = Generation::kRwkv7,
          .vocab = 64,
          .width = 48,
          .layers = 4,
          .ffn = 192,
          .head_size = 16,
          .decay_rank = 12,
          .iclr_rank = 20,
          .value_rank = 8,
          .gate_rank = 28,
          .block0_value_mix = true,
          .seed = 701};
}

const OutputTensor* Find(const std::vector<OutputTensor>& tensors, const std::string& name) {
  const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

std::vector<float> Floats(const TensorBytes& bytes, DType type, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  DequantizeRow(type, bytes.bytes().data(), values.data(), n);
  return values;
}

// The golden logits were computed from weights that a second program, in another language, made from the same
// formula; these are its numbers, printed with nine digits, which identify a float. Equality is exact.
TEST(RandomCheckpoint, ValuesAreThoseThatTheGoldenAnswersWereComputedFrom) {
  struct Expected {
    const char* name;
    Shape shape;
    std::vector<float> first;
    float last;
  };
  const Expected expected[] = {
      {"emb.weight", {64, 48}, {0.0380756259f, -0.0303420909f, 0.0357669778f}, -0.0256600436f},
      {"blocks.1.att.w0", {1, 1, 48}, {-1.72105503f, -1.84878492f, -4.27345037f}, -0.672376156f},
      {"blocks.2.att.g2", {28, 48}, {-0.203280523f, 0.358426183f, -0.426628441f}, 0.370159447f},
      {"blocks.3.ffn.value.weight",
       {48, 192},
       {0.0314750746f, -0.0231329277f, -0.00495129079f},
       0.0265558362f},
      {"ln_out.bias", {48}, {0.110615686f, 0.122781992f, -0.153109699f}, 0.187557533f},
  };
  const auto tensors = RandomTensors(Rwkv7Head16());
  for (const Expected& e : expected) {
    SCOPED_TRACE(e.name);
    const OutputTensor* tensor = Find(tensors, e.name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, e.shape);
    const auto bytes = tensor->produce();
    ASSERT_TRUE(bytes.ok());
    const auto values = Floats(*bytes, DType::kF32, *NumElements(e.shape));
    EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 3), e.first);
    EXPECT_EQ(values.back(), e.last);
    EXPECT_EQ(values, RandomValues(Rwkv7Head16(), e.name, e.shape));
  }
  const RandomModel rwkv4{
      .generation = Generation::kRwkv4, .vocab = 64, .width = 64, .layers = 4, .ffn = 256, .seed = 402};
  const auto decay = RandomValues(rwkv4, "blocks.2.att.time_decay", {64});
  EXPECT_EQ(std::vector<float>(decay.begin(), decay.begin() + 3),
            (std::vector<float>{-1.58990145f, -3.02393389f, 2.24195242f}));
}

TEST(RandomCheckpoint, StoredTypeIsTheConversionOfTheSameValues) {
  const RandomModel model = Rwkv7Head16();
  for (const DType type : {DType::kF16, DType::kBF16}) {
    for (const OutputTensor& tensor : RandomTensors(model, type)) {
      SCOPED_TRACE(tensor.name);
      const auto values = RandomValues(model, tensor.name, tensor.shape);
      const auto bytes = tensor.produce();
      ASSERT_TRUE(bytes.ok());
      ASSERT_EQ(bytes->bytes().size(), *NumBytes(tensor.dtype, tensor.shape));
      std::vector<std::byte> converted(bytes->bytes().size());
      QuantizeRow(tensor.dtype, values.data(), converted.data(), static_cast<int64_t>(values.size()));
      EXPECT_TRUE(std::equal(converted.begin(), converted.end(), bytes->bytes().begin()));
      EXPECT_EQ(tensor.dtype == DType::kF32, tensor.shape.size() == 1 || tensor.shape[0] == 1 ||
                                                 tensor.name.find("r_k") != std::string::npos);
    }
  }
}

TEST(RandomCheckpoint, NumberOfThreadsDoesNotMatter) {
  const RandomModel model{
      .generation = Generation::kRwkv4, .vocab = 300, .width = 500, .layers = 1, .ffn = 1001, .seed = 9};
  for (const OutputTensor& tensor : RandomTensors(model, DType::kF16)) {
    SCOPED_TRACE(tensor.name);
    SetNumThreads(1);
    const auto one = tensor.produce();
    SetNumThreads(3);
    const auto three = tensor.produce();
    SetNumThreads(0);
    ASSERT_TRUE(one.ok() && three.ok());
    EXPECT_EQ(one->owned, three->owned);
  }
}

// The distribution, on a large matrix: variance gain²/fan_in, mean 0. With n = 2^20 values the sample mean is
// within 5σ/√n and the sample variance within 1 % of it unless the generator is broken.
TEST(RandomCheckpoint, MatricesKeepTheVarianceOfTheirInputs) {
  const RandomModel model{.generation = Generation::kRwkv7, .seed = 5};
  const auto values = RandomValues(model, "blocks.0.ffn.key.weight", {4096, 256});
  double sum = 0, squares = 0;
  for (const float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0.0, 5 * 1.2 / 16 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1.44 / 256, 0.01 * 1.44 / 256);
}

TEST(RandomCheckpoint, SeedAndNameBothChangeTheValues) {
  RandomModel model = Rwkv7Head16();
  const auto values = RandomValues(model, "blocks.0.att.key.weight", {48, 48});
  EXPECT_NE(values, RandomValues(model, "blocks.1.att.key.weight", {48, 48}));
  model.seed = 702;
  EXPECT_NE(values, RandomValues(model, "blocks.0.att.key.weight", {48, 48}));
}

TEST(RandomCheckpoint, PublishedSizesHaveThePublishedNumberOfParameters) {
  const auto count = [](const char* name) { return CountParameters(*RandomModelOfSize(name)); };
  // RWKV-4: 2VC + 13C²L + C(11L + 4), the paper's formula.
  const auto paper = [](int64_t C, int64_t L) { return 2 * 50277 * C + 13 * C * C * L + C * (11 * L + 4); };
  EXPECT_EQ(count("rwkv4:169M"), paper(768, 12));
  EXPECT_EQ(count("rwkv4:1.5B"), paper(2048, 24));
  EXPECT_EQ(count("rwkv4:14B"), paper(5120, 40));
  EXPECT_EQ(count("rwkv7:0.1B"), 191'034'624);
}

TEST(RandomCheckpoint, UnknownPublishedNameListsTheKnownOnes) {
  const auto result = RandomModelOfSize("rwkv9:1B");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(result.status().message(), HasSubstr("rwkv7:1.5B"));
}

TEST(Golden, EveryFileIsCompleteAndEveryGenerationHasOne) {
  std::set<Generation> generations;
  for (const std::string& path : GoldenFiles()) {
    SCOPED_TRACE(path);
    const auto golden = LoadGolden(path);
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    generations.insert(golden->model.generation);
    ASSERT_FALSE(golden->logits.empty());
    EXPECT_EQ(golden->logits.back().after, static_cast<int64_t>(golden->tokens.size()));
    for (const uint32_t token : golden->tokens) EXPECT_LT(token, golden->model.vocab);
    for (const GoldenLogits& logits : golden->logits) {
      ASSERT_EQ(static_cast<int64_t>(logits.values.size()), golden->model.vocab);
      for (const float value : logits.values) EXPECT_TRUE(std::isfinite(value));
    }
  }
  EXPECT_EQ(generations.size(), 6u);
}

}  // namespace
}  // namespace tern::testing
