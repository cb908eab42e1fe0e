// Small models for the tests of this room, and ways to run them.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "formats/checkpoint.h"
#include "model/model.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_data.h"

namespace tern::testing {

/// Writes a random model as .pth and loads it.
inline std::shared_ptr<const Model> MakeModel(const RandomModel& random, const TempDir& dir, DType type = DType::kF32) {
  const std::string path = dir.File("model.pth");
  const std::vector<OutputTensor> tensors = RandomTensors(random, type);
  const Status written = WritePth(path, tensors);
  EXPECT_TRUE(written.ok()) << written.message();
  auto model = Model::Load(path);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

/// Logits after the last of `tokens`, read in passes of `chunk`, continuing `state`.
inline std::vector<float> Run(const Model& model, std::span<const int32_t> tokens, State* state, size_t chunk) {
  Workspace workspace;
  std::vector<float> logits;
  for (size_t done = 0; done < tokens.size(); done += chunk) {
    Batch batch;
    batch.Add(tokens.subspan(done, std::min(chunk, tokens.size() - done)), state, Logits::kLast);
    const Status status = model.Forward(batch, workspace, &logits);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return logits;
}

/// Largest difference, relative to the largest expected logit.
inline double RelativeError(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return INFINITY;
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    const double difference = std::fabs(static_cast<double>(got[i]) - expected[i]);
    error = std::isnan(difference) ? INFINITY : std::max(error, difference);
  }
  return error / largest;
}

/// Seven small models, one of each kind of arithmetic, with dimensions that are no multiple of a vector.
inline std::vector<RandomModel> SmallModels() {
  return {
      {.generation = Generation::kRwkv4, .vocab = 43, .width = 36, .layers = 3, .ffn = 100, .seed = 11},
      {.generation = Generation::kRwkv5_0, .vocab = 43, .width = 48, .layers = 2, .ffn = 168, .head_size = 16,
       .log_time_first = true, .seed = 12},
      {.generation = Generation::kRwkv5_1, .vocab = 43, .width = 48, .layers = 2, .ffn = 168, .head_size = 24,
       .log_time_first = true, .seed = 13},
      {.generation = Generation::kRwkv5_2, .vocab = 43, .width = 60, .layers = 2, .ffn = 210, .head_size = 20, .seed = 14},
      {.generation = Generation::kRwkv6, .vocab = 43, .width = 64, .layers = 2, .ffn = 224, .head_size = 32,
       .mix_rank = 12, .decay_rank = 20, .seed = 15},
      {.generation = Generation::kRwkv7, .vocab = 43, .width = 66, .layers = 3, .ffn = 264, .head_size = 22,
       .decay_rank = 9, .iclr_rank = 10, .value_rank = 7, .gate_rank = 13, .seed = 16},
      {.generation = Generation::kRwkv7, .vocab = 43, .width = 128, .layers = 2, .ffn = 512, .head_size = 128,
       .decay_rank = 32, .iclr_rank = 32, .value_rank = 32, .gate_rank = 32, .block0_value_mix = true, .seed = 17},
  };
}

/// A name for gtest's parameter lists.
inline std::string TestName(const RandomModel& model) {
  std::string name(Name(model.generation));
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name + "_C" + std::to_string(model.width);
}

/// `count` token ids below the vocabulary, from a seed.
inline std::vector<int32_t> RandomTokens(int64_t vocab, size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocab)));
  return tokens;
}

}  // namespace tern::testing
