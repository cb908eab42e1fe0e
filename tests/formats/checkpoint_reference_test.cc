// Real models in rwkv.cpp's format, written by its own converter and quantiser.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "tests/formats/checkpoint_testing.h"

namespace tern::testing {
namespace {

struct RealModel {
  const char* file;
  Generation generation;
};
constexpr RealModel kModels[] = {{"tiny-rwkv-4v0-660K", Generation::kRwkv4},
                                 {"tiny-rwkv-5v2-730K", Generation::kRwkv5_2},
                                 {"tiny-rwkv-6v0-3m", Generation::kRwkv6},
                                 {"tiny-rwkv-7v0-834K", Generation::kRwkv7}};
constexpr const char* kTypes[] = {"FP32", "FP16", "Q5_0", "Q5_1"};

void ExpectNearly(const TensorInfo& a, const TensorInfo& b, const std::string& name) {
  ASSERT_EQ(a.bytes.size(), b.bytes.size()) << name;
  for (size_t at = 0; at < a.bytes.size(); at += sizeof(float)) {
    const auto x = LoadUnaligned<float>(a.bytes.data() + at), y = LoadUnaligned<float>(b.bytes.data() + at);
    ASSERT_NEAR(x, y, 5e-7f * std::abs(x)) << name;
  }
}

/// Copies, through a GGUF, to rwkv.cpp's format again: the tensors must be those of the original file. Decays
/// of RWKV-4 and 5 are parameters in a GGUF and exponentials here: where the parameter's fp32 steps are
/// coarser than the exponential's (by up to four), a value that another exp() computed has no parameter of
/// its own.
void ExpectRoundTrip(const Checkpoint& checkpoint, const std::string& name) {
  const TempDir dir;
  SaveOptions to_gguf, to_bin;
  to_gguf.format = FileFormat::kGguf;
  to_bin.format = FileFormat::kRwkvBin;
  ASSERT_TRUE(SaveCheckpoint(checkpoint, dir.File("a.gguf"), to_gguf).ok()) << name;
  const auto gguf = MustOpen(dir.File("a.gguf"));
  ASSERT_NE(gguf, nullptr);
  ASSERT_TRUE(SaveCheckpoint(*gguf, dir.File("b.bin"), to_bin).ok()) << name;
  const auto bin = MustOpen(dir.File("b.bin"));
  ASSERT_NE(bin, nullptr);
  for (const TensorInfo& tensor : checkpoint.source().tensors()) {
    const std::string where = name + " " + tensor.name;
    const TensorInfo* copy = bin->source().Find(tensor.name);
    ASSERT_NE(copy, nullptr) << where;
    EXPECT_EQ(copy->shape, tensor.shape) << where;
    EXPECT_EQ(copy->dtype, tensor.dtype) << where;
    if (tensor.name.ends_with(".time_decay")) {
      ExpectNearly(tensor, *copy, where);
    } else {
      EXPECT_TRUE(
          std::equal(copy->bytes.begin(), copy->bytes.end(), tensor.bytes.begin(), tensor.bytes.end()))
          << where;
    }
  }
}

TEST(CheckpointReference, RealModelsAreUnderstoodAndSurviveARoundTrip) {
  TERN_REQUIRE_TEST_DATA(data);
  int opened = 0;
  for (const RealModel& model : kModels) {
    for (const char* type : kTypes) {
      const std::string path = data + "/models/" + model.file + "-" + type + ".bin";
      if (!MappedFile::Open(path).ok()) continue;  // 6v0 exists quantised only
      const auto checkpoint = MustOpen(path);
      ASSERT_NE(checkpoint, nullptr) << path;
      ++opened;
      EXPECT_EQ(checkpoint->generation(), model.generation) << path;
      for (const CheckpointTensor& tensor : checkpoint->tensors()) {
        for (float value : Canonical(tensor)) ASSERT_TRUE(std::isfinite(value)) << path << " " << tensor.name;
      }
      ExpectRoundTrip(*checkpoint, path);
    }
  }
  EXPECT_EQ(opened, 14);
}

TEST(CheckpointReference, QuantisedFilesAreCloseToTheirOriginals) {
  TERN_REQUIRE_TEST_DATA(data);
  for (const char* name : {"tiny-rwkv-5v2-730K", "tiny-rwkv-7v0-834K"}) {
    const auto exact = MustOpen(data + "/models/" + name + "-FP32.bin");
    const auto quantised = MustOpen(data + "/models/" + std::string(name) + "-Q5_1.bin");
    ASSERT_TRUE(exact != nullptr && quantised != nullptr);
    for (const CheckpointTensor& tensor : exact->tensors()) {
      const auto a = Canonical(tensor), b = Canonical(*quantised, tensor.name);
      ASSERT_EQ(a.size(), b.size()) << tensor.name;
      double error = 0, norm = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        error += std::pow(a[i] - b[i], 2), norm += std::pow(a[i], 2);
      }
      // 32 levels over a block's range: a step of range/31, whose rounding error is 0.29 steps; ranges of
      // five to six standard deviations give 5 %. A transposed or shifted matrix would give 140 %.
      EXPECT_LE(error, 0.08 * 0.08 * norm) << name << " " << tensor.name;
    }
  }
}

}  // namespace
}  // namespace tern::testing
