// Small models of every generation, sources that lie in memory, and comparisons, for the tests of
// checkpoints.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/tensor_source.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_data.h"

namespace tern::testing {

/// A source whose tensors are in memory, of any format.
class MemorySource : public TensorSource {
 public:
  explicit MemorySource(FileFormat format, std::string path = "memory")
      : TensorSource(format, std::move(path)) {}

  void Put(const std::string& name, DType dtype, Shape shape, std::vector<std::byte> bytes) {
    owned_.push_back(std::make_unique<std::vector<std::byte>>(std::move(bytes)));
    const Status added = Add({name, dtype, std::move(shape), *owned_.back()});
    ASSERT_TRUE(added.ok()) << added.message();
  }
  void Put(const std::string& name, Shape shape, const std::vector<float>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    Put(name, DType::kF32, std::move(shape), std::move(bytes));
  }
  /// Elements 0, 1, 2 …
  void PutRange(const std::string& name, const Shape& shape) {
    std::vector<float> values(static_cast<size_t>(*NumElements(shape)));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    Put(name, shape, values);
  }
  void Set(const std::string& key, MetaValue value) { metadata_[key] = std::move(value); }
};

/// A tiny model: 2 layers of 64 channels, 4 heads of 16.
inline RandomModel SmallModel(Generation generation, int64_t layers = 2) {
  RandomModel model{
      .generation = generation, .vocab = 50, .width = 64, .layers = layers, .ffn = 96, .seed = 31};
  const int major = Major(generation);
  if (major > 4) model.head_size = 16;
  if (major == 6) model.mix_rank = 8, model.decay_rank = 24;
  if (major == 7) {
    model.ffn = 128;
    model.decay_rank = 12, model.iclr_rank = 20, model.value_rank = 8, model.gate_rank = 28;
  }
  model.log_time_first = generation == Generation::kRwkv5_0;
  return model;
}

inline constexpr Generation kGenerations[] = {Generation::kRwkv4,   Generation::kRwkv5_0,
                                              Generation::kRwkv5_1, Generation::kRwkv5_2,
                                              Generation::kRwkv6,   Generation::kRwkv7};

/// All tensors of a random model in memory.
inline std::shared_ptr<MemorySource> RandomSource(const RandomModel& model, DType type = DType::kF32) {
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "random.pth");
  for (const OutputTensor& tensor : RandomTensors(model, type)) {
    auto produced = tensor.produce();
    EXPECT_TRUE(produced.ok()) << produced.status().message();
    const auto bytes = produced->bytes();
    source->Put(tensor.name, tensor.dtype, tensor.shape, {bytes.begin(), bytes.end()});
  }
  return source;
}

inline std::shared_ptr<const Checkpoint> MustGather(std::shared_ptr<const TensorSource> source) {
  auto checkpoint = Checkpoint::FromSource(std::move(source));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

inline std::shared_ptr<const Checkpoint> MustOpen(const std::string& path) {
  auto checkpoint = OpenCheckpoint(path);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

inline std::vector<float> Canonical(const CheckpointTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(*NumElements(tensor.shape)));
  ReadCanonical(tensor, values.data());
  return values;
}

inline std::vector<float> Canonical(const Checkpoint& checkpoint, const std::string& name) {
  const CheckpointTensor* tensor = checkpoint.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  return tensor == nullptr ? std::vector<float>() : Canonical(*tensor);
}

}  // namespace tern::testing
