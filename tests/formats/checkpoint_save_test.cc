// Saving: round trips between all formats, types, keys, and what is refused.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/checkpoint_encoding.h"
#include "tensor/quant.h"
#include "tests/formats/checkpoint_testing.h"

namespace tern::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

enum class Target { kPth, kSt, kHuggingFace, kGguf, kBin };
constexpr Target kTargets[] = {Target::kPth, Target::kSt, Target::kHuggingFace, Target::kGguf, Target::kBin};

const char* NameOf(Target target) {
  switch (target) {
    case Target::kPth:
      return "pth";
    case Target::kSt:
      return "st";
    case Target::kHuggingFace:
      return "hf.safetensors";
    case Target::kGguf:
      return "gguf";
    case Target::kBin:
      return "bin";
  }
  return "?";
}

SaveOptions OptionsFor(Target target, std::optional<DType> type) {
  SaveOptions options;
  options.type = type;
  switch (target) {
    case Target::kPth:
      options.format = FileFormat::kPth;
      break;
    case Target::kSt:
      options.format = FileFormat::kSafetensors;
      break;
    case Target::kHuggingFace:
      options.format = FileFormat::kSafetensors;
      options.names = SaveOptions::Names::kHuggingFace;
      break;
    case Target::kGguf:
      options.format = FileFormat::kGguf;
      break;
    case Target::kBin:
      options.format = FileFormat::kRwkvBin;
      break;
  }
  return options;
}

/// Saves and opens what was saved.
class Saver {
 public:
  std::shared_ptr<const Checkpoint> Save(const Checkpoint& checkpoint, Target target,
                                         std::optional<DType> type) {
    const std::string path = dir_.File(std::to_string(count_++) + "." + NameOf(target));
    const Status saved = SaveCheckpoint(checkpoint, path, OptionsFor(target, type));
    EXPECT_TRUE(saved.ok()) << saved.message();
    return saved.ok() ? MustOpen(path) : nullptr;
  }

 private:
  TempDir dir_;
  int count_ = 0;
};

bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/// The encoding that rwkv.cpp's files use for a tensor, where fp32 parameters cannot always survive: several
/// of them have the same exponential.
Encoding BinEncoding(const Checkpoint& checkpoint, const std::string& name) {
  const int major = Major(checkpoint.generation());
  if (name.ends_with(".time_decay") && major == 4) return Encoding::kNegExp;
  if (name.ends_with(".time_decay") && major == 5) return Encoding::kExpNegExp;
  if (name.ends_with(".time_first") && major == 5) return Encoding::kExp;
  return Encoding::kPlain;
}

/// Every tensor of `b` is that of `a`: bytes, or (through rwkv.cpp's exponentials) parameters that mean the
/// same.
void ExpectSame(const Checkpoint& a, const Checkpoint& b, bool through_bin) {
  ASSERT_EQ(a.generation(), b.generation());
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    const CheckpointTensor& x = a.tensors()[i];
    const CheckpointTensor& y = b.tensors()[i];
    ASSERT_EQ(x.name, y.name);
    EXPECT_EQ(x.dtype, y.dtype) << x.name;
    EXPECT_EQ(x.shape, y.shape) << x.name;
    EXPECT_EQ(x.transposed, y.transposed) << x.name;
    EXPECT_EQ(x.scale, y.scale) << x.name;
    if (SameBytes(x.bytes, y.bytes)) continue;
    const Encoding encoding = BinEncoding(a, x.name);
    ASSERT_TRUE(through_bin && x.dtype == DType::kF32 && encoding != Encoding::kPlain)
        << x.name << " differs";
    const auto p = Canonical(x), q = Canonical(y);
    for (size_t j = 0; j < p.size(); ++j) ASSERT_EQ(Encode(encoding, p[j]), Encode(encoding, q[j])) << x.name;
  }
}

/// The same tensors, as they stand in the files, in any order.
void ExpectSameSource(const TensorSource& a, const TensorSource& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const TensorInfo& x : a.tensors()) {
    const TensorInfo* y = b.Find(x.name);
    ASSERT_NE(y, nullptr) << x.name;
    EXPECT_EQ(x.dtype, y->dtype) << x.name;
    EXPECT_EQ(x.shape, y->shape) << x.name;
    EXPECT_TRUE(SameBytes(x.bytes, y->bytes)) << x.name;
  }
}

class RoundTrip : public ::testing::TestWithParam<Generation> {};
std::string TestName(const ::testing::TestParamInfo<Generation>& param) {
  std::string name(Name(param.param));
  for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
  return name;
}
INSTANTIATE_TEST_SUITE_P(Generations, RoundTrip, ::testing::ValuesIn(kGenerations), TestName);

// RWKV-5.1's decays per head become 5.2's per channel in files whose readers know these only: tested below.
bool Widens(Generation generation, Target target) {
  return generation == Generation::kRwkv5_1 && (target == Target::kSt || target == Target::kBin);
}

TEST_P(RoundTrip, EveryPairOfFormatsGivesBackTheSameBits) {
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    Saver saver;
    // GGUF and rwkv.cpp keep vectors in fp32: they must be of the type to begin with.
    const auto original = saver.Save(*MustGather(RandomSource(SmallModel(GetParam()))), Target::kPth, type);
    ASSERT_NE(original, nullptr);
    for (Target a : kTargets) {
      if (type == DType::kBF16 && a != Target::kPth && a != Target::kGguf) continue;  // as fp16; spares time
      const auto first = saver.Save(*original, a, type);
      ASSERT_NE(first, nullptr);
      for (Target b : kTargets) {
        if (a == b || (Widens(GetParam(), b) && !Widens(GetParam(), a))) continue;
        SCOPED_TRACE(::testing::Message()
                     << Name(type) << " " << NameOf(a) << " → " << NameOf(b) << " → " << NameOf(a));
        const bool holds = b != Target::kBin || type != DType::kBF16;
        const auto between = saver.Save(*first, b, holds ? type : DType::kF32);
        ASSERT_NE(between, nullptr);
        const auto back = saver.Save(*between, a, type);
        ASSERT_NE(back, nullptr);
        ExpectSame(*first, *back, b == Target::kBin);
        if (b != Target::kBin || type != DType::kF32) ExpectSameSource(first->source(), back->source());
      }
    }
  }
}

TEST_P(RoundTrip, EveryFormatHoldsTheSameValues) {
  Saver saver;
  const auto original =
      MustGather(RandomSource(SmallModel(GetParam(), 8)));  // deep enough for a rwkv6 GGUF to rescale
  ASSERT_NE(original, nullptr);
  for (Target target : kTargets) {
    if (Widens(GetParam(), target)) continue;
    SCOPED_TRACE(NameOf(target));
    const auto saved = saver.Save(*original, target, DType::kF32);
    ASSERT_NE(saved, nullptr);
    for (const CheckpointTensor& tensor : original->tensors()) {
      const auto expected = Canonical(tensor), found = Canonical(*saved, tensor.name);
      ASSERT_EQ(found.size(), expected.size()) << tensor.name;
      const Encoding encoding = target == Target::kBin ? BinEncoding(*saved, tensor.name) : Encoding::kPlain;
      for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(Encode(encoding, found[i]), Encode(encoding, expected[i])) << tensor.name << " " << i;
      }
    }
  }
}

// All but RWKV-5.1, whose decays per head do not survive rwkv.cpp's format.
class QuantisedRoundTrip : public ::testing::TestWithParam<Generation> {};
INSTANTIATE_TEST_SUITE_P(Generations, QuantisedRoundTrip,
                         ::testing::Values(Generation::kRwkv4, Generation::kRwkv5_0, Generation::kRwkv5_2,
                                           Generation::kRwkv6, Generation::kRwkv7),
                         TestName);

TEST_P(QuantisedRoundTrip, MatricesGoBetweenGgufAndBinUntouched) {
  for (DType type : {DType::kQ8_0, DType::kQ5_1, DType::kQ5_0, DType::kQ4_1, DType::kQ4_0}) {
    SCOPED_TRACE(Name(type));
    Saver saver;
    const auto original =
        saver.Save(*MustGather(RandomSource(SmallModel(GetParam(), 8))), Target::kPth, DType::kF16);
    ASSERT_NE(original, nullptr);
    for (const auto& [a, b] :
         {std::pair(Target::kBin, Target::kGguf), std::pair(Target::kGguf, Target::kBin)}) {
      const auto first = saver.Save(*original, a, type);
      ASSERT_NE(first, nullptr);
      EXPECT_EQ(first->Find("blocks.1.ffn.key.weight")->dtype, type);
      const auto between = saver.Save(*first, b, std::nullopt);
      ASSERT_NE(between, nullptr);
      const auto back = saver.Save(*between, a, std::nullopt);
      ASSERT_NE(back, nullptr);
      ExpectSameSource(first->source(), back->source());
    }
  }
}

TEST_P(RoundTrip, WithoutATypeNothingIsLostInAPth) {
  Saver saver;
  const auto original = MustGather(RandomSource(SmallModel(GetParam()), DType::kBF16));
  ASSERT_NE(original, nullptr);
  const auto pth = saver.Save(*original, Target::kPth, std::nullopt);
  ASSERT_NE(pth, nullptr);
  ExpectSameSource(original->source(), pth->source());
  const auto quantised = saver.Save(*original, Target::kGguf, DType::kQ4_0);
  ASSERT_NE(quantised, nullptr);
  const auto expanded = saver.Save(*quantised, Target::kPth, std::nullopt);
  ASSERT_NE(expanded, nullptr);
  for (const CheckpointTensor& tensor : quantised->tensors()) {
    EXPECT_EQ(Canonical(tensor), Canonical(*expanded, tensor.name)) << tensor.name;
  }
}

TEST(CheckpointSave, PerHeadDecaysAreRepeatedWhereReadersKnowNoOther) {
  Saver saver;
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv5_1)));
  ASSERT_NE(original, nullptr);
  for (Target target : {Target::kSt, Target::kBin}) {
    const auto saved = saver.Save(*original, target, DType::kF32);
    ASSERT_NE(saved, nullptr);
    EXPECT_EQ(saved->generation(), Generation::kRwkv5_2);
    for (const char* name : {"blocks.1.att.time_decay", "blocks.1.att.time_faaaa"}) {
      const auto heads = Canonical(*original, name), channels = Canonical(*saved, name);
      const Encoding encoding = target == Target::kBin ? BinEncoding(*saved, name) : Encoding::kPlain;
      ASSERT_EQ(channels.size(), heads.size() * 16);
      for (size_t i = 0; i < channels.size(); ++i) {
        ASSERT_EQ(Encode(encoding, channels[i]), Encode(encoding, heads[i / 16])) << name;
      }
    }
  }
}

TEST(CheckpointSave, AnUngatedFaaaaBecomesWhatRwkvCppComputesWith) {
  RandomModel model = SmallModel(Generation::kRwkv5_0);
  model.log_time_first = false;
  const auto original = MustGather(RandomSource(model));
  ASSERT_NE(original, nullptr);
  Saver saver;
  const auto bin = saver.Save(*original, Target::kBin, DType::kF32);
  ASSERT_NE(bin, nullptr);
  const TensorInfo* stored = bin->source().Find("blocks.0.att.time_first");
  ASSERT_NE(stored, nullptr);
  EXPECT_TRUE(SameBytes(stored->bytes, original->Find("blocks.0.att.time_faaaa")->bytes));
}

TEST(CheckpointSave, TypesFollowWhatReadersExpect) {
  struct Row {
    Generation generation;
    Target target;
    DType type;
    const char* name;
    DType expected;
  };
  using enum DType;
  constexpr Generation k6 = Generation::kRwkv6, k7 = Generation::kRwkv7;
  const Row rows[] = {
      {k7, Target::kGguf, kQ4_0, "blk.1.time_mix_key.weight", kQ4_0},
      {k7, Target::kGguf, kQ4_0, "output.weight", kQ8_0},  // q6_k, but 64 columns are no block of 256
      {k7, Target::kGguf, kQ4_0, "token_embd.weight", kQ4_0},
      {k7, Target::kGguf, kQ4_0, "blk.1.time_mix_w1.weight", kBF16},
      {k7, Target::kGguf, kQ4_0, "blk.1.time_mix_lerp_fused.weight", kF32},
      {k7, Target::kGguf, kBF16, "blk.1.time_mix_k_k.weight", kF32},
      {k7, Target::kGguf, kF16, "blk.1.time_mix_w1.weight", kF16},
      {k7, Target::kGguf, kQ4_K, "blk.1.time_mix_key.weight", kQ5_0},
      {k7, Target::kGguf, kQ5_K, "blk.1.time_mix_key.weight", kQ5_1},
      {k7, Target::kGguf, kQ6_K, "blk.1.time_mix_key.weight", kQ8_0},
      {k6, Target::kGguf, kF16, "blk.1.time_mix_w1.weight", kF32},
      {k6, Target::kGguf, kQ8_0, "blk.1.time_mix_first.weight", kF32},
      {k6, Target::kBin, kQ5_1, "blocks.1.att.time_maa_w1", kF32},
      {k7, Target::kBin, kQ5_1, "blocks.1.att.key.weight", kQ5_1},
      {k7, Target::kBin, kQ5_1, "emb.weight", kF16},
      {k7, Target::kBin, kQ5_1, "head.weight", kF16},
      {k7, Target::kBin, kQ5_1, "blocks.1.att.g2", kF16},
      {k7, Target::kBin, kF16, "blocks.1.att.r_k", kF32},
      {k7, Target::kPth, kF16, "blocks.1.att.w0", kF16},
      {k7, Target::kSt, kBF16, "blocks.1.ln1.weight", kBF16},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(::testing::Message() << NameOf(row.target) << " " << Name(row.type) << " " << row.name);
    Saver saver;
    const auto original = MustGather(RandomSource(SmallModel(row.generation), DType::kBF16));
    const auto saved = saver.Save(*original, row.target, row.type);
    ASSERT_NE(saved, nullptr);
    const TensorInfo* tensor = saved->source().Find(row.name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(Name(tensor->dtype), Name(row.expected));
  }
}

TEST(CheckpointSave, QuantisedValuesAreThoseOfQuantizeRow) {
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv7)));
  Saver saver;
  const auto saved = saver.Save(*original, Target::kGguf, DType::kQ5_1);
  ASSERT_NE(saved, nullptr);
  const auto values = Canonical(*original, "blocks.1.ffn.key.weight");
  std::vector<std::byte> blocks(*NumBytes(DType::kQ5_1, {128, 64}));
  QuantizeRow(DType::kQ5_1, values.data(), blocks.data(), static_cast<int64_t>(values.size()));
  EXPECT_TRUE(SameBytes(saved->Find("blocks.1.ffn.key.weight")->bytes, blocks));
}

TEST(CheckpointSave, TypesThatAFormatLacksAreRefusedBeforeAnythingIsWritten) {
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv4)));
  const TempDir dir;
  const std::pair<Target, DType> lacking[] = {{Target::kPth, DType::kQ8_0},  {Target::kSt, DType::kQ4_0},
                                              {Target::kBin, DType::kBF16},  {Target::kBin, DType::kQ4_K},
                                              {Target::kGguf, DType::kQ2_K}, {Target::kGguf, DType::kI32}};
  for (const auto& [target, type] : lacking) {
    const Status status = SaveCheckpoint(*original, dir.File("out"), OptionsFor(target, type));
    EXPECT_EQ(status.code(), StatusCode::kUnsupported);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(std::string(Name(type))), HasSubstr("f16")));
    EXPECT_FALSE(MappedFile::Open(dir.File("out")).ok());
  }
}

/// A model whose blocks.0.ffn.value.weight begins with `value`.
std::shared_ptr<const Checkpoint> WithValue(float value) {
  const auto random = RandomSource(SmallModel(Generation::kRwkv4));
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "special.pth");
  for (const TensorInfo& info : random->tensors()) {
    std::vector<std::byte> bytes(info.bytes.begin(), info.bytes.end());
    if (info.name == "blocks.0.ffn.value.weight") std::memcpy(bytes.data() + 12, &value, sizeof(value));
    source->Put(info.name, info.dtype, info.shape, std::move(bytes));
  }
  return MustGather(source);
}

TEST(CheckpointSave, ValuesThatATypeCannotHoldAreNamed) {
  const TempDir dir;
  const float kInf = std::numeric_limits<float>::infinity();
  for (const auto& [value, type] :
       {std::pair(65600.0f, DType::kF16), std::pair(-1e6f, DType::kQ8_0), std::pair(3.4e38f, DType::kBF16),
        std::pair(std::nanf(""), DType::kQ4_0), std::pair(kInf, DType::kQ5_1)}) {
    const auto checkpoint = WithValue(value);
    ASSERT_NE(checkpoint, nullptr);
    const Status status = SaveCheckpoint(*checkpoint, dir.File("out.gguf"), OptionsFor(Target::kGguf, type));
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << Name(type);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("special.pth"), HasSubstr("blocks.0.ffn.value.weight"),
                                        HasSubstr("index 3"), HasSubstr(std::string(Name(type)))));
    EXPECT_FALSE(MappedFile::Open(dir.File("out.gguf")).ok());
  }
}

TEST(CheckpointSave, TheLargestValuesOfATypeAreStillHeld) {
  const TempDir dir;
  const float kInf = std::numeric_limits<float>::infinity();
  for (const auto& [value, type] : {std::pair(65504.0f, DType::kF16), std::pair(-65504.0f, DType::kQ8_0),
                                    std::pair(-kInf, DType::kF16), std::pair(0x1.fep127f, DType::kBF16),
                                    std::pair(kInf, DType::kBF16), std::pair(3.4e38f, DType::kF32)}) {
    const Status status =
        SaveCheckpoint(*WithValue(value), dir.File("out.gguf"), OptionsFor(Target::kGguf, type));
    EXPECT_TRUE(status.ok()) << status.message();
  }
  for (const auto& [value, type] :
       {std::pair(std::nextafter(65504.0f, kInf), DType::kF16),
        std::pair(std::nextafter(65504.0f, kInf), DType::kQ8_0), std::pair(0x1.ffp127f, DType::kBF16)}) {
    EXPECT_FALSE(
        SaveCheckpoint(*WithValue(value), dir.File("out.gguf"), OptionsFor(Target::kGguf, type)).ok());
  }
}

TEST(CheckpointSave, NanIsCopiedBitForBitAndKeptInPlainTypes) {
  const float nan = std::bit_cast<float>(0x7fa12345u);  // a payload that arithmetic would change
  const auto checkpoint = WithValue(nan);
  Saver saver;
  const auto copied = saver.Save(*checkpoint, Target::kSt, DType::kF32);
  EXPECT_TRUE(SameBytes(copied->Find("blocks.0.ffn.value.weight")->bytes,
                        checkpoint->Find("blocks.0.ffn.value.weight")->bytes));
  const auto converted = saver.Save(*checkpoint, Target::kSt, DType::kF16);
  EXPECT_TRUE(std::isnan(Canonical(*converted, "blocks.0.ffn.value.weight")[3]));
}

nlohmann::json SavedConfig(Generation generation, int64_t layers, std::optional<DType> type) {
  const TempDir dir;
  const auto original = MustGather(RandomSource(SmallModel(generation, layers)));
  // What stood there belonged to other weights.
  EXPECT_TRUE(
      WriteStringToFile(dir.File("config.json"), R"({"old": true, "layer_norm_epsilon": 1e-5})").ok());
  const std::string path = dir.File("model.safetensors");
  const Status saved = SaveCheckpoint(*original, path, OptionsFor(Target::kHuggingFace, type));
  EXPECT_TRUE(saved.ok()) << saved.message();
  EXPECT_NE(MustOpen(dir.path()), nullptr);  // the reader looks at config.json as well
  const auto config = ReadFileToString(dir.File("config.json"));
  return nlohmann::json::parse(config.ok() ? *config : "", nullptr, false);
}

TEST(CheckpointSave, HuggingFacesLoadersFindTheirConfig) {
  const RandomModel four = SmallModel(Generation::kRwkv4), seven = SmallModel(Generation::kRwkv7);
  const nlohmann::json rwkv4 = SavedConfig(Generation::kRwkv4, 2, DType::kBF16);
  EXPECT_EQ(
      rwkv4,
      nlohmann::json({{"architectures", {"RwkvForCausalLM"}},
                      {"model_type", "rwkv"},
                      {"vocab_size", four.vocab},
                      {"context_length", 1024},
                      {"hidden_size", four.width},
                      {"attention_hidden_size", four.attention_width > 0 ? four.attention_width : four.width},
                      {"intermediate_size", four.ffn},
                      {"num_hidden_layers", 2},
                      {"layer_norm_epsilon", 1e-5},
                      {"rescale_every", 6},
                      {"bos_token_id", 0},
                      {"eos_token_id", 0},
                      {"tie_word_embeddings", false},
                      {"use_cache", true},
                      {"torch_dtype", "bfloat16"}}));
  const nlohmann::json rwkv7 = SavedConfig(Generation::kRwkv7, 3, DType::kF32);
  EXPECT_EQ(rwkv7["architectures"][0], "RWKV7ForCausalLM");
  EXPECT_EQ(rwkv7["model_type"], "rwkv7");
  EXPECT_EQ(rwkv7["num_hidden_layers"], 3);
  EXPECT_EQ(rwkv7["head_dim"], seven.head_size);
  EXPECT_EQ(rwkv7["num_heads"], seven.width / seven.head_size);
  EXPECT_EQ(rwkv7["decay_low_rank_dim"], seven.decay_rank);
  EXPECT_EQ(rwkv7["a_low_rank_dim"], seven.iclr_rank);
  EXPECT_EQ(rwkv7["v_low_rank_dim"], seven.value_rank);
  EXPECT_EQ(rwkv7["gate_low_rank_dim"], seven.gate_rank);
  EXPECT_EQ(rwkv7["norm_eps"], 1e-5);
  EXPECT_EQ(rwkv7["torch_dtype"], "float32");
  EXPECT_FALSE(
      SavedConfig(Generation::kRwkv7, 1, std::nullopt).contains("v_low_rank_dim"));  // layer 0 has none
}

TEST(CheckpointSave, OnlyWeightsThatALoaderFindsGetAConfig) {
  EXPECT_EQ(SavedConfig(Generation::kRwkv6, 2, std::nullopt),
            nlohmann::json({{"old", true}, {"layer_norm_epsilon", 1e-5}}));
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv4)));
  const TempDir dir;
  ASSERT_TRUE(
      SaveCheckpoint(*original, dir.File("other.safetensors"), OptionsFor(Target::kHuggingFace, {})).ok());
  ASSERT_TRUE(SaveCheckpoint(*original, dir.File("model.safetensors"), OptionsFor(Target::kSt, {})).ok());
  EXPECT_FALSE(MappedFile::Open(dir.File("config.json")).ok());
}

TEST(CheckpointSave, GgufHasTheKeysThatLlamaCppAsksFor) {
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv7)));
  const TempDir dir;
  SaveOptions options = OptionsFor(Target::kGguf, DType::kQ8_0);
  options.vocabulary = {"", "a", "\xff"};
  ASSERT_TRUE(SaveCheckpoint(*original, dir.File("tiny.gguf"), options).ok());
  const auto saved = MustOpen(dir.File("tiny.gguf"));
  ASSERT_NE(saved, nullptr);
  const Metadata& keys = saved->source().metadata();
  const std::pair<const char*, uint64_t> numbers[] = {{"rwkv7.block_count", 2},
                                                      {"rwkv7.embedding_length", 64},
                                                      {"rwkv7.feed_forward_length", 128},
                                                      {"rwkv7.context_length", 1048576},
                                                      {"rwkv7.attention.head_count", 0},
                                                      {"rwkv7.wkv.head_size", 16},
                                                      {"rwkv7.attention.decay_lora_rank", 12},
                                                      {"rwkv7.attention.iclr_lora_rank", 20},
                                                      {"rwkv7.attention.value_residual_mix_lora_rank", 8},
                                                      {"rwkv7.attention.gate_lora_rank", 28},
                                                      {"general.file_type", 7},
                                                      {"general.quantization_version", 2}};
  for (const auto& [key, value] : numbers) {
    ASSERT_TRUE(keys.contains(key)) << key;
    EXPECT_EQ(std::get<uint64_t>(keys.at(key)), value) << key;
  }
  EXPECT_EQ(std::get<std::string>(keys.at("general.architecture")), "rwkv7");
  EXPECT_EQ(std::get<std::string>(keys.at("general.name")), "random");
  EXPECT_EQ(std::get<std::string>(keys.at("tokenizer.ggml.model")), "rwkv");
  std::vector<std::string> vocabulary = options.vocabulary;
  vocabulary.resize(50);
  EXPECT_EQ(saved->vocabulary(), vocabulary);
  EXPECT_EQ(saved->layer_norm_eps(), 1e-5f);

  // The first layer's value mix, which nothing reads, has the shapes of the learning rate's.
  const TensorSource& source = saved->source();
  for (const char* digit : {"0", "1", "2"}) {
    const TensorInfo* dummy = source.Find(std::string("blk.0.time_mix_v") + digit + ".weight");
    ASSERT_NE(dummy, nullptr);
    EXPECT_EQ(dummy->shape, source.Find(std::string("blk.0.time_mix_a") + digit + ".weight")->shape);
  }
  EXPECT_EQ(source.Find("blk.1.time_mix_lerp_fused.weight")->shape, (Shape{6, 1, 1, 64}));
  EXPECT_EQ(source.Find("blk.1.time_mix_r_k.weight")->shape, (Shape{64}));
  EXPECT_EQ(source.Find("blk.1.time_mix_w1.weight")->shape, (Shape{12, 64}));

  const auto again = saved->source().format() == FileFormat::kGguf ? saved : nullptr;
  ASSERT_TRUE(SaveCheckpoint(*again, dir.File("copy.gguf"), OptionsFor(Target::kGguf, std::nullopt)).ok());
  EXPECT_EQ(MustOpen(dir.File("copy.gguf"))->vocabulary(), vocabulary) << "a GGUF's vocabulary goes along";
}

TEST(CheckpointSave, Rwkv6GgufIsRescaledAsLlamaCppsConverterDoes) {
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv6, 8)));
  Saver saver;
  const auto gguf = saver.Save(*original, Target::kGguf, DType::kF32);
  ASSERT_NE(gguf, nullptr);
  EXPECT_EQ(std::get<uint64_t>(gguf->source().metadata().at("rwkv6.rescale_every_n_layers")), 6u);
  for (int layer : {5, 6}) {
    const std::string blk = std::to_string(layer) + ".";
    const auto expected = Canonical(*original, "blocks." + blk + "att.output.weight");
    float stored;
    std::memcpy(&stored, gguf->source().Find("blk." + blk + "time_mix_output.weight")->bytes.data(),
                sizeof(stored));
    EXPECT_EQ(stored, layer < 6 ? expected[0] : expected[0] / 2);
  }
}

TEST(CheckpointSave, BinHasTheShapesThatRwkvCppAsksFor) {
  struct Row {
    Generation generation;
    const char* name;
    Shape shape;
  };
  const Row rows[] = {{Generation::kRwkv4, "blocks.1.att.time_decay", {64}},
                      {Generation::kRwkv4, "blocks.1.att.time_mix_k", {64}},
                      {Generation::kRwkv5_0, "blocks.1.att.time_decay", {4, 1, 1}},
                      {Generation::kRwkv5_0, "blocks.1.att.time_first", {4, 1, 1}},
                      {Generation::kRwkv5_1, "blocks.1.att.time_decay", {4, 16, 1}},
                      {Generation::kRwkv5_2, "blocks.1.att.time_faaaa", {4, 16, 1}},
                      {Generation::kRwkv6, "blocks.1.att.time_decay", {4, 16, 1}},
                      {Generation::kRwkv6, "blocks.1.att.time_maa_x", {64}},
                      {Generation::kRwkv6, "blocks.1.att.time_maa_w1", {40, 64}},
                      {Generation::kRwkv6, "blocks.1.att.time_maa_w2", {5, 64, 8}},
                      {Generation::kRwkv7, "blocks.1.att.x_rwkvag", {6, 1, 64}},
                      {Generation::kRwkv7, "blocks.1.att.w0", {1, 1, 64}},
                      {Generation::kRwkv7, "blocks.1.att.r_k", {4, 16}},
                      {Generation::kRwkv7, "blocks.1.att.w1", {12, 64}}};
  for (const Row& row : rows) {
    Saver saver;
    const auto saved =
        saver.Save(*MustGather(RandomSource(SmallModel(row.generation))), Target::kBin, DType::kF16);
    ASSERT_NE(saved, nullptr);
    const TensorInfo* tensor = saved->source().Find(row.name);
    ASSERT_NE(tensor, nullptr) << row.name;
    EXPECT_EQ(tensor->shape, row.shape) << row.name;
  }
}

TEST(CheckpointSave, TensorsThatReadersOfAFormatWouldTripOverAreLeftOut) {
  RandomModel model = SmallModel(Generation::kRwkv7);
  model.block0_value_mix = true;
  const auto original = MustGather(RandomSource(model));
  Saver saver;
  const auto bin = saver.Save(*original, Target::kBin, DType::kF16);
  EXPECT_EQ(bin->source().Find("blocks.0.att.v1"), nullptr);
  const auto hf = saver.Save(*original, Target::kHuggingFace, DType::kF16);
  EXPECT_EQ(hf->source().Find("model.layers.0.attn.v_lora.lora.0.weight"), nullptr);
  const auto st = saver.Save(*original, Target::kSt, DType::kF32);
  EXPECT_EQ(Canonical(*st, "blocks.0.att.v1"), Canonical(*original, "blocks.0.att.v1"));
}

/// A model that starts from a tuned state.
std::shared_ptr<const Checkpoint> TunedCheckpoint(Generation generation) {
  auto source = RandomSource(SmallModel(generation));
  for (const char* name : {"blocks.0.att.time_state", "blocks.1.att.time_state"})
    source->PutRange(name, {4, 16, 16});
  return MustGather(source);
}

constexpr Generation kTunable[] = {Generation::kRwkv5_0, Generation::kRwkv5_1, Generation::kRwkv5_2,
                                   Generation::kRwkv6, Generation::kRwkv7};

TEST(CheckpointSave, TunedInitialStatesAreKept) {
  for (const Generation generation : kTunable) {
    const auto original = TunedCheckpoint(generation);
    ASSERT_NE(original, nullptr);
    const auto expected = Canonical(*original, "blocks.1.att.time_state");
    Saver saver;
    for (const Target target : {Target::kPth, Target::kSt, Target::kGguf}) {
      const auto saved = saver.Save(*original, target, DType::kF32);
      ASSERT_NE(saved, nullptr);
      EXPECT_EQ(Canonical(*saved, "blocks.1.att.time_state"), expected) << Name(generation);
    }
    const auto quantised = saver.Save(*original, Target::kGguf, DType::kQ8_0);
    ASSERT_NE(quantised, nullptr);
    EXPECT_EQ(Canonical(*quantised, "blocks.1.att.time_state"), expected)
        << Name(generation) << ": they stay fp32";
    EXPECT_NE(quantised->source().Find("blk.1.time_mix_state.weight"), nullptr);
  }
}

TEST(CheckpointSave, TunedInitialStatesAreLeftOutOnlyWhereThatIsAskedFor) {
  const testing::TempDir dir;
  for (const Generation generation : kTunable) {
    const auto original = TunedCheckpoint(generation);
    ASSERT_NE(original, nullptr);
    SaveOptions options;
    options.format = FileFormat::kRwkvBin;
    const Status refused = SaveCheckpoint(*original, dir.File("a.bin"), options);
    EXPECT_THAT(refused.message(), HasSubstr("'blocks.0.att.time_state'"));
    options.drop_initial_state = true;
    ASSERT_TRUE(SaveCheckpoint(*original, dir.File("a.bin"), options).ok());
    EXPECT_EQ(FindInitialState(*MustOpen(dir.File("a.bin"))), nullptr);
  }
  SaveOptions names;
  names.format = FileFormat::kSafetensors;
  names.names = SaveOptions::Names::kHuggingFace;
  for (const Generation generation : {Generation::kRwkv6, Generation::kRwkv7}) {
    const Status refused = SaveCheckpoint(*TunedCheckpoint(generation), dir.File("a.safetensors"), names);
    EXPECT_THAT(refused.message(), HasSubstr("under Hugging Face's names"));
  }
}

TEST(CheckpointSave, TunedInitialStatesLieAsTheOtherNamesOfASafetensorsSay) {
  // BlinkDL's names and orientations in a safetensors file; Ai00's own files have others.
  for (const Generation generation : {Generation::kRwkv5_2, Generation::kRwkv6, Generation::kRwkv7}) {
    auto plain = std::make_shared<MemorySource>(FileFormat::kSafetensors, "plain.safetensors");
    const auto original = TunedCheckpoint(generation);
    for (const TensorInfo& tensor : original->source().tensors()) {
      plain->Put(tensor.name, tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()});
    }
    const auto read = MustGather(plain);
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(Canonical(*read, "blocks.1.att.time_state"), Canonical(*original, "blocks.1.att.time_state"))
        << Name(generation);
  }
}

TEST(CheckpointSave, AMissingSliceOfAFusedTensorIsNamed) {
  const auto random = RandomSource(SmallModel(Generation::kRwkv7));
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "cut.pth");
  for (const TensorInfo& info : random->tensors()) {
    if (info.name == "blocks.1.att.x_a") continue;
    source->Put(info.name, info.dtype, info.shape, {info.bytes.begin(), info.bytes.end()});
  }
  const TempDir dir;
  const Status status =
      SaveCheckpoint(*MustGather(source), dir.File("out.bin"), OptionsFor(Target::kBin, DType::kF32));
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("cut.pth"), HasSubstr("blocks.1.att.x_a"), HasSubstr("x_rwkvag")));
}

TEST(CheckpointSave, StoppingLeavesNothingBehind) {
  const TempDir dir;
  SaveOptions options = OptionsFor(Target::kBin, DType::kF16);
  options.progress = [](size_t done, size_t) { return done < 5; };
  const auto original = MustGather(RandomSource(SmallModel(Generation::kRwkv4)));
  EXPECT_EQ(SaveCheckpoint(*original, dir.File("out.bin"), options).code(), StatusCode::kCancelled);
  EXPECT_FALSE(MappedFile::Open(dir.File("out.bin")).ok());
}

}  // namespace
}  // namespace tern::testing
