// Tuned initial states: which way they lie, where a model starts from them, and what is refused.
#include "model/initial_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/model/model_testing.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::RandomTensors;

constexpr int64_t kHeads = 2, kSize = 8, kLayers = 2;

RandomModel TinyModel(Generation generation) {
  RandomModel model{.generation = generation, .vocab = 43, .width = kHeads * kSize, .layers = kLayers, .ffn = 64, .seed = 21};
  if (generation != Generation::kRwkv4) model.head_size = kSize;
  if (generation == Generation::kRwkv6) model.mix_rank = 4, model.decay_rank = 6;
  if (generation == Generation::kRwkv7) {
    model.decay_rank = 4, model.iclr_rank = 5, model.value_rank = 6, model.gate_rank = 7;
  }
  model.log_time_first = generation == Generation::kRwkv5_0;
  return model;
}

OutputTensor Tensor(const std::string& name, const Shape& shape, const std::vector<float>& values) {
  const auto* data = reinterpret_cast<const std::byte*>(values.data());
  const std::vector<std::byte> bytes(data, data + values.size() * sizeof(float));
  return {name, DType::kF32, shape, [bytes]() -> Result<TensorBytes> { return TensorBytes{{}, bytes}; }};
}

std::string StateName(int64_t layer) { return "blocks." + std::to_string(layer) + ".att.time_state"; }

/// [H, N, N] of a layer, as training writes it: [head, value, key].
std::vector<float> TunedValues(int64_t layer) {
  Random random(100 + static_cast<uint64_t>(layer));
  std::vector<float> values(static_cast<size_t>(kHeads * kSize * kSize));
  for (float& value : values) value = static_cast<float>(random.Uniform(-1, 1));
  return values;
}

/// Element [head, value, key] of what training writes.
float Tuned(const std::vector<float>& values, int64_t head, int64_t value, int64_t key) {
  return values[static_cast<size_t>((head * kSize + value) * kSize + key)];
}

std::vector<OutputTensor> TunedTensors(bool keys_first = false) {
  std::vector<OutputTensor> tensors;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    std::vector<float> values = TunedValues(layer);
    if (keys_first) {
      const std::vector<float> plain = values;
      for (int64_t h = 0; h < kHeads; ++h) {
        for (int64_t i = 0; i < kSize; ++i) {
          for (int64_t j = 0; j < kSize; ++j) values[static_cast<size_t>((h * kSize + j) * kSize + i)] = Tuned(plain, h, i, j);
        }
      }
    }
    tensors.push_back(Tensor(StateName(layer), {kHeads, kSize, kSize}, values));
  }
  return tensors;
}

class InitialState : public ::testing::TestWithParam<Generation> {
 protected:
  std::vector<OutputTensor> Weights() const { return RandomTensors(TinyModel(GetParam())); }
  std::vector<OutputTensor> WeightsWithState() const {
    std::vector<OutputTensor> tensors = Weights();
    for (OutputTensor& state : TunedTensors()) tensors.push_back(std::move(state));
    return tensors;
  }
  std::shared_ptr<const Model> Load(const std::vector<OutputTensor>& tensors, const std::string& state_in = {}) const {
    const std::string path = dir_.File("model.pth");
    EXPECT_TRUE(WritePth(path, tensors).ok());
    auto model = Model::Load(path, Placement::kAuto, state_in);
    EXPECT_TRUE(model.ok()) << model.status().message();
    return model.ok() ? *model : nullptr;
  }
  std::string WriteState(const std::vector<OutputTensor>& tensors) const {
    const std::string path = dir_.File("state.pth");
    EXPECT_TRUE(WritePth(path, tensors).ok());
    return path;
  }
  std::string StartError(const std::vector<OutputTensor>& tensors) const {
    const auto model = Load(Weights());
    return LoadStartState(WriteState(tensors), *model).status().message();
  }
  /// S of a layer by what it means, whatever the order in memory.
  static float At(State& state, int64_t layer, int64_t head, int64_t value, int64_t key) {
    const bool keys_first = state.layout().generation != Generation::kRwkv7;
    const int64_t place = keys_first ? key * kSize + value : value * kSize + key;
    return state.wkv(layer)[head * kSize * kSize + place];
  }

  testing::TempDir dir_;
};

TEST_P(InitialState, IsWhatAModelStartsFrom) {
  const auto model = Load(WeightsWithState());
  State state = model->NewState();
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::vector<float> tuned = TunedValues(layer);
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t i = 0; i < kSize; ++i) {
        for (int64_t j = 0; j < kSize; ++j) ASSERT_EQ(At(state, layer, h, i, j), Tuned(tuned, h, i, j));
      }
    }
    EXPECT_EQ(state.att_shift(layer)[0], 0.0f);
  }
}

class DiagonalDecay : public InitialState {
 protected:
  /// The value whose element is the largest of a key's.
  static int64_t Largest(const std::vector<float>& values, int64_t head, int64_t key) {
    int64_t best = 0;
    for (int64_t i = 1; i < kSize; ++i) {
      if (std::fabs(Tuned(values, head, i, key)) > std::fabs(Tuned(values, head, best, key))) best = i;
    }
    return best;
  }
};

// The recurrence in scalars. The first layer's k, v and w depend on the token and the shift states only, so a run from
// zeros gives v kᵀ, and a run from S gives S·diag(w) + v kᵀ: the difference, divided by S, is one w for each key. In RWKV-5
// w is exp(−exp(time_decay)).
TEST_P(DiagonalDecay, IsAlongTheKeys) {
  const auto zero = Load(Weights()), tuned = Load(WeightsWithState());
  State from_zero = zero->NewState(), from_tuned = tuned->NewState();
  const std::vector<int32_t> token = {17};
  testing::Run(*zero, token, &from_zero, 1);
  testing::Run(*tuned, token, &from_tuned, 1);
  const std::vector<float> start = TunedValues(0);
  const auto decay = [&](int64_t h, int64_t i, int64_t j) {
    return (At(from_tuned, 0, h, i, j) - At(from_zero, 0, h, i, j)) / static_cast<double>(Tuned(start, h, i, j));
  };
  std::vector<float> p(static_cast<size_t>(kHeads * kSize));
  if (GetParam() == Generation::kRwkv5_2) ReadCanonical(*tuned->checkpoint().Find("blocks.0.att.time_decay"), p.data());
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t j = 0; j < kSize; ++j) {
      double expected = decay(h, Largest(start, h, j), j);
      if (GetParam() == Generation::kRwkv5_2) {
        expected = std::exp(-std::exp(static_cast<double>(p[static_cast<size_t>(h * kSize + j)])));
      }
      EXPECT_GT(expected, 0);
      EXPECT_LT(expected, 1);
      for (int64_t i = 0; i < kSize; ++i) {
        // Of fp32 differences of numbers below 10: an error of about 1e-6, divided by the element.
        EXPECT_NEAR(decay(h, i, j), expected, 3e-6 / std::fabs(Tuned(start, h, i, j))) << h << " " << i << " " << j;
      }
    }
  }
}

TEST(InitialStateOfRwkv7, KeepsTheRowsOfValuesApart) {
  const testing::TempDir dir;
  const RandomModel random = TinyModel(Generation::kRwkv7);
  const auto change = [&](const std::vector<float>& first_layer) {
    std::vector<OutputTensor> tensors = RandomTensors(random);
    tensors.push_back(Tensor(StateName(0), {kHeads, kSize, kSize}, first_layer));
    tensors.push_back(Tensor(StateName(1), {kHeads, kSize, kSize}, TunedValues(1)));
    EXPECT_TRUE(WritePth(dir.File("m.pth"), tensors).ok());
    const auto model = *Model::Load(dir.File("m.pth"));
    State state = model->NewState();
    testing::Run(*model, std::vector<int32_t>{17}, &state, 1);
    return std::vector<float>(state.wkv(0), state.wkv(0) + kHeads * kSize * kSize);
  };
  const std::vector<float> from_zero = change(std::vector<float>(static_cast<size_t>(kHeads * kSize * kSize)));
  // One row [head 1, value 3] of the file; its S·M lies in that row, and is not a multiple of it.
  std::vector<float> row(from_zero.size());
  for (int64_t j = 0; j < kSize; ++j) row[static_cast<size_t>((kSize + 3) * kSize + j)] = static_cast<float>(j + 1);
  const std::vector<float> from_row = change(row);
  for (size_t at = 0; at < from_zero.size(); ++at) {
    const bool in_row = static_cast<int64_t>(at) / kSize == kSize + 3;
    if (in_row) {
      EXPECT_NE(from_row[at], from_zero[at]) << at;
    }
    if (!in_row) {
      EXPECT_EQ(from_row[at], from_zero[at]) << at;
    }
  }
}

TEST_P(InitialState, InAFileOfItsOwnIsTheSame) {
  const std::vector<int32_t> tokens = {3, 17, 8, 40};
  const auto inside = Load(WeightsWithState());
  State expected_state = inside->NewState();
  const std::vector<float> expected = testing::Run(*inside, tokens, &expected_state, 4);
  const auto run = [&](const std::string& path) {
    const auto model = Load(Weights(), path);
    State state = model->NewState();
    return testing::Run(*model, tokens, &state, 4);
  };
  EXPECT_EQ(run(WriteState(TunedTensors())), expected);
  const std::string ai00 = dir_.File("state.st");  // web-rwkv's order: [head, key, value]
  ASSERT_TRUE(WriteSafetensors(ai00, TunedTensors(/*keys_first=*/true), {}).ok());
  EXPECT_EQ(run(ai00), expected);
}

TEST_P(InitialState, MakesAnotherModelOfIt) {
  const auto plain = Load(Weights());
  const auto tuned = Load(Weights(), WriteState(TunedTensors()));
  EXPECT_NE(plain->Hash(), tuned->Hash());
  EXPECT_EQ(tuned->Hash(), Load(Weights(), WriteState(TunedTensors()))->Hash());
  std::vector<OutputTensor> other = TunedTensors();
  std::swap(other[0].produce, other[1].produce);
  EXPECT_NE(tuned->Hash(), Load(Weights(), WriteState(other))->Hash());
}

TEST_P(InitialState, NamesWhatDoesNotBelongToTheModel) {
  std::vector<OutputTensor> tensors = TunedTensors();
  tensors.pop_back();
  EXPECT_THAT(StartError(tensors), HasSubstr("no tensor 'blocks.1.att.time_state'; the model has 2 layers"));
  tensors = TunedTensors();
  tensors.push_back(Tensor(StateName(2), {kHeads, kSize, kSize}, TunedValues(2)));
  EXPECT_THAT(StartError(tensors), HasSubstr("is of layer 2; the model has 2 layers"));
  tensors = TunedTensors();
  tensors[1].shape = {kHeads * kSize / 4, 4, kSize};
  EXPECT_THAT(StartError(tensors), HasSubstr("has shape [4, 4, 8]; the model needs [2, 8, 8]"));
  tensors = TunedTensors();
  tensors.push_back(Tensor("blocks.0.ts_state", {kHeads * kSize}, std::vector<float>(kHeads * kSize)));
  EXPECT_THAT(StartError(tensors), HasSubstr("'blocks.0.ts_state' is not a tuned state"));
  std::vector<float> bad = TunedValues(0);
  bad[5] = NAN;
  tensors = TunedTensors();
  tensors[0] = Tensor(StateName(0), {kHeads, kSize, kSize}, bad);
  EXPECT_THAT(StartError(tensors), HasSubstr("'blocks.0.att.time_state' holds nan"));
}

TEST_P(InitialState, OfOneLayerAloneIsRefused) {
  std::vector<OutputTensor> tensors = WeightsWithState();
  tensors.pop_back();
  ASSERT_TRUE(WritePth(dir_.File("model.pth"), tensors).ok());
  EXPECT_THAT(Model::Load(dir_.File("model.pth")).status().message(), HasSubstr("blocks.1.att.time_state"));
}

std::string GenerationName(const ::testing::TestParamInfo<Generation>& info) {
  std::string name(Name(info.param));
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(, DiagonalDecay,
                         ::testing::Values(Generation::kRwkv5_0, Generation::kRwkv5_1, Generation::kRwkv5_2,
                                           Generation::kRwkv6),
                         GenerationName);
INSTANTIATE_TEST_SUITE_P(, InitialState,
                         ::testing::Values(Generation::kRwkv5_0, Generation::kRwkv5_1, Generation::kRwkv5_2,
                                           Generation::kRwkv6, Generation::kRwkv7),
                         GenerationName);

TEST(InitialStateOfRwkv4, IsRefused) {
  const testing::TempDir dir;
  const auto model = testing::MakeModel(TinyModel(Generation::kRwkv4), dir);
  ASSERT_TRUE(WritePth(dir.File("s.pth"), TunedTensors()).ok());
  EXPECT_THAT(LoadStartState(dir.File("s.pth"), *model).status().message(), HasSubstr("RWKV-4"));
}

// Logits of an independent program (fp32) after the tokens 34, 105, 110, given to six digits.
TEST(InitialStateOfAReport, GivesTheLogitsOfAnotherProgram) {
  TERN_REQUIRE_TEST_DATA(data);
  const std::string folder = data + "/reports/";
  const std::vector<int32_t> tokens = {34, 105, 110};
  const auto logits = [&](const std::string& file, const std::string& state_in) {
    const auto model = Model::Load(folder + file, Placement::kAuto, state_in);
    EXPECT_TRUE(model.ok()) << model.status().message();
    State state = (*model)->NewState();
    return testing::Run(**model, tokens, &state, 3);
  };
  const std::vector<float> plain = logits("F1_v6_plain.pth", "");
  EXPECT_NEAR(plain[1], 6.56023, 1e-4);
  EXPECT_NEAR(plain[193], 5.00149, 1e-4);
  const std::vector<float> tuned = logits("F1_v6_time_state.pth", "");
  EXPECT_NEAR(tuned[1], 7.13979, 1e-4);
  EXPECT_NEAR(tuned[25], 5.57016, 1e-4);
  EXPECT_NEAR(tuned[97], 4.88138, 1e-4);
  EXPECT_EQ(logits("F1_v6_plain.pth", folder + "F1_state_only.pth"), tuned);
}

}  // namespace
}  // namespace tern
