// What Checkpoint::FromSource makes of the names that files use. Saving is in checkpoint_save_test.cc.
#include "formats/checkpoint.h"

#include <cmath>

#include "tests/formats/checkpoint_testing.h"

namespace tern::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Status ErrorOf(std::shared_ptr<const TensorSource> source) {
  return Checkpoint::FromSource(std::move(source)).status();
}

/// Four channels, vocabulary of three, one layer norm per layer: the least that is a model of RWKV-4.
std::shared_ptr<MemorySource> Skeleton(FileFormat format = FileFormat::kPth, int layers = 1) {
  auto source = std::make_shared<MemorySource>(format, "skeleton");
  source->PutRange("emb.weight", {3, 4});
  for (int i = 0; i < layers; ++i) source->PutRange("blocks." + std::to_string(i) + ".ln1.weight", {4});
  source->PutRange("head.weight", {3, 4});
  return source;
}

TEST(Checkpoint, GenerationFollowsFromTheTensors) {
  for (Generation generation : kGenerations) {
    const auto checkpoint = MustGather(RandomSource(SmallModel(generation)));
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_EQ(checkpoint->generation(), generation) << Name(generation);
  }
}

TEST(Checkpoint, NamesShapesAndOrderAreThoseOfAPth) {
  for (Generation generation : kGenerations) {
    const auto source = RandomSource(SmallModel(generation));
    const auto checkpoint = MustGather(source);
    ASSERT_NE(checkpoint, nullptr);
    ASSERT_EQ(checkpoint->tensors().size(), source->tensors().size()) << Name(generation);
    for (const TensorInfo& info : source->tensors()) {
      const CheckpointTensor* tensor = checkpoint->Find(info.name);
      ASSERT_NE(tensor, nullptr) << info.name;
      Shape shape;
      for (int64_t dim : info.shape) {
        if (info.shape.size() < 3 || dim != 1) shape.push_back(dim);
      }
      EXPECT_EQ(tensor->shape, shape) << info.name;
      EXPECT_EQ(tensor->bytes.data(), info.bytes.data()) << info.name << " was copied";
    }
    EXPECT_EQ(checkpoint->tensors().front().name, "emb.weight");
    EXPECT_EQ(checkpoint->tensors()[1].name, "blocks.0.ln1.weight");
    EXPECT_EQ(checkpoint->tensors().back().name, "head.weight");
  }
}

TEST(Checkpoint, LayersAreOrderedByNumberNotByText) {
  const auto checkpoint = MustGather(Skeleton(FileFormat::kPth, 11));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->tensors()[3].name, "blocks.2.ln1.weight");
  EXPECT_EQ(checkpoint->tensors()[11].name, "blocks.10.ln1.weight");
}

TEST(Checkpoint, PerHeadVectorsLoseTheirTrailingOnesOnly) {
  auto source = Skeleton();
  source->PutRange("blocks.0.att.ln_x.weight", {4});
  source->PutRange("blocks.0.att.gate.weight", {4, 4});
  source->PutRange("blocks.0.att.time_decay", {2, 1, 1});
  source->PutRange("blocks.0.att.time_faaaa", {2, 1});
  auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->generation(), Generation::kRwkv5_1);
  EXPECT_THAT(checkpoint->Find("blocks.0.att.time_decay")->shape, ElementsAre(2));
  EXPECT_THAT(checkpoint->Find("blocks.0.att.time_faaaa")->shape, ElementsAre(2));

  source = Skeleton();  // a single head of four channels
  source->PutRange("blocks.0.att.ln_x.weight", {4});
  source->PutRange("blocks.0.att.gate.weight", {4, 4});
  source->PutRange("blocks.0.att.time_decay", {1, 4, 1});
  checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->generation(), Generation::kRwkv5_2);
  EXPECT_THAT(checkpoint->Find("blocks.0.att.time_decay")->shape, ElementsAre(1, 4));
}

TEST(Checkpoint, StFilesHaveOtherNamesAndTransposedLowRankMatrices) {
  auto source = Skeleton(FileFormat::kSafetensors);
  source->PutRange("blocks.0.att.time_mix_x", {1, 1, 4});
  source->PutRange("blocks.0.att.time_mix_w1", {10, 4});
  source->PutRange("blocks.0.att.time_mix_w2", {5, 4, 2});
  source->PutRange("blocks.0.att.time_first", {2, 2});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->generation(), Generation::kRwkv6);
  EXPECT_NE(checkpoint->Find("blocks.0.att.time_faaaa"), nullptr);
  EXPECT_THAT(checkpoint->Find("blocks.0.att.time_maa_w1")->shape, ElementsAre(4, 10));
  EXPECT_THAT(checkpoint->Find("blocks.0.att.time_maa_w2")->shape, ElementsAre(5, 2, 4));
  EXPECT_EQ(Canonical(*checkpoint, "blocks.0.att.time_maa_w1")[1], 4.0f);   // [0][1] lies at [1][0]
  EXPECT_EQ(Canonical(*checkpoint, "blocks.0.att.time_maa_w2")[9], 10.0f);  // [1][0][1] lies at [1][1][0]
}

TEST(Checkpoint, SafetensorsInBlinkDlsOrientationAreToldByTheirShape) {
  for (bool transposed : {false, true}) {
    auto source = Skeleton(FileFormat::kSafetensors);
    source->PutRange("blocks.0.att.r_k", {2, 2});
    source->PutRange("blocks.0.att.w1", transposed ? Shape{3, 4} : Shape{4, 3});
    source->PutRange("blocks.0.att.w2", transposed ? Shape{4, 3} : Shape{3, 4});
    const auto checkpoint = MustGather(source);
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_EQ(checkpoint->Find("blocks.0.att.w1")->transposed, transposed);
    EXPECT_EQ(checkpoint->Find("blocks.0.att.w2")->transposed, transposed);
    EXPECT_THAT(checkpoint->Find("blocks.0.att.w1")->shape, ElementsAre(4, 3));
    EXPECT_THAT(checkpoint->Find("blocks.0.att.w2")->shape, ElementsAre(3, 4));
  }
}

TEST(Checkpoint, FusedVectorsAreViewsOfTheirSlices) {
  auto source = Skeleton(FileFormat::kRwkvBin);
  source->PutRange("blocks.0.att.r_k", {2, 2});
  source->PutRange("blocks.0.att.x_rwkvag", {6, 1, 4});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  const std::byte* whole = source->Find("blocks.0.att.x_rwkvag")->bytes.data();
  int slice = 0;
  for (const char* letter : {"r", "w", "k", "v", "a", "g"}) {
    const CheckpointTensor* x = checkpoint->Find(std::string("blocks.0.att.x_") + letter);
    ASSERT_NE(x, nullptr) << letter;
    EXPECT_EQ(x->bytes.data(), whole + 16 * slice);
    EXPECT_THAT(x->shape, ElementsAre(4));
    EXPECT_EQ(Canonical(*x)[1], static_cast<float>(4 * slice + 1));
    ++slice;
  }
}

TEST(Checkpoint, FusedVectorsOfTheWrongSizeAreRefused) {
  for (const Shape& shape : {Shape{5, 1, 4}, Shape{6, 1, 3}, Shape{}, Shape{0, 1, 4}}) {
    auto source = Skeleton(FileFormat::kRwkvBin);
    source->PutRange("blocks.0.att.r_k", {2, 2});
    source->PutRange("blocks.0.att.x_rwkvag", shape);
    EXPECT_THAT(ErrorOf(source).message(), AllOf(HasSubstr("'skeleton'"), HasSubstr("x_rwkvag"),
                                                 HasSubstr(ToString(shape)), HasSubstr("6 vectors of 4")));
  }
}

TEST(Checkpoint, AnUngatedTimeFirstThatIsNoExponentialIsAFaaaa) {
  auto source = Skeleton(FileFormat::kRwkvBin, 2);
  for (const char* layer : {"0", "1"}) {
    source->PutRange(std::string("blocks.") + layer + ".att.ln_x.weight", {4});
  }
  source->Put("blocks.0.att.time_first", {2, 1, 1}, {0.5f, -0.25f});
  source->Put("blocks.1.att.time_first", {2, 1, 1}, {0.5f, 1.0f});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(Canonical(*checkpoint, "blocks.0.att.time_faaaa"), ElementsAre(0.5f, -0.25f));
  const auto logs = Canonical(*checkpoint, "blocks.1.att.time_first");
  EXPECT_FLOAT_EQ(logs[0], std::log(0.5f));
  EXPECT_EQ(logs[1], 0.0f);
}

std::shared_ptr<MemorySource> GgufSkeleton(const std::string& architecture, int layers = 1) {
  auto source = std::make_shared<MemorySource>(FileFormat::kGguf, "skeleton.gguf");
  source->Set("general.architecture", architecture);
  source->Set(architecture + ".attention.layer_norm_epsilon", 1e-5);
  if (architecture == "rwkv6") source->Set("rwkv6.rescale_every_n_layers", uint64_t{6});
  if (architecture != "rwkv4") source->Set(architecture + ".wkv.head_size", uint64_t{2});
  source->PutRange("token_embd.weight", {3, 4});
  source->PutRange("token_embd_norm.weight", {4});
  for (int i = 0; i < layers; ++i) source->PutRange("blk." + std::to_string(i) + ".attn_norm.weight", {4});
  return source;
}

TEST(Checkpoint, GgufValueMixOfTheFirstLayerIsADummy) {
  auto source = GgufSkeleton("rwkv7", 2);
  for (const char* layer : {"0", "1"}) {
    const std::string blk = std::string("blk.") + layer + ".time_mix_";
    source->PutRange(blk + "v0.weight", {4});
    source->PutRange(blk + "v1.weight", {3, 4});
    source->PutRange(blk + "r_k.weight", {4});
  }
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->Find("blocks.0.att.v0"), nullptr);
  EXPECT_EQ(checkpoint->Find("blocks.0.att.v1"), nullptr);
  EXPECT_THAT(checkpoint->Find("blocks.1.att.v1")->shape, ElementsAre(4, 3));
  EXPECT_THAT(checkpoint->Find("blocks.1.att.r_k")->shape, ElementsAre(2, 2));
  EXPECT_NE(checkpoint->Find("blocks.0.ln0.weight"), nullptr);
}

TEST(Checkpoint, GgufRescalingIsDescribedNotDone) {
  auto source = GgufSkeleton("rwkv6", 5);
  source->Set("rwkv6.rescale_every_n_layers", uint64_t{2});
  source->PutRange("blk.4.time_mix_output.weight", {4, 4});
  source->PutRange("blk.3.channel_mix_value.weight", {4, 4});
  source->PutRange("blk.4.channel_mix_key.weight", {4, 4});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->Find("blocks.4.att.output.weight")->scale, 4.0f);
  EXPECT_EQ(checkpoint->Find("blocks.3.ffn.value.weight")->scale, 2.0f);
  EXPECT_EQ(checkpoint->Find("blocks.4.ffn.key.weight")->scale, 1.0f);
  EXPECT_EQ(Canonical(*checkpoint, "blocks.4.att.output.weight")[3], 12.0f);
}

TEST(Checkpoint, NonsenseInGgufKeysIsRefused) {
  for (MetaValue value :
       {MetaValue(uint64_t{3}), MetaValue(uint64_t{0}), MetaValue(int64_t{-2}), MetaValue(1e300)}) {
    auto source = GgufSkeleton("rwkv7");
    source->Set("rwkv7.wkv.head_size", value);
    EXPECT_THAT(ErrorOf(source).message(), HasSubstr("rwkv7.wkv.head_size"));
  }
  for (MetaValue value : {MetaValue(int64_t{-1}), MetaValue(0.5), MetaValue(std::nan(""))}) {
    auto source = GgufSkeleton("rwkv6", 3);
    source->Set("rwkv6.rescale_every_n_layers", value);
    EXPECT_THAT(ErrorOf(source).message(), HasSubstr("rescale_every_n_layers"));
  }
  auto deep = GgufSkeleton("rwkv6", 70);  // 2^69 would still be a float, but no converter's doing
  deep->Set("rwkv6.rescale_every_n_layers", uint64_t{1});
  EXPECT_FALSE(ErrorOf(deep).ok());
  auto eps = GgufSkeleton("rwkv7");
  eps->Set("rwkv7.attention.layer_norm_epsilon", -1.0);
  EXPECT_THAT(ErrorOf(eps).message(), HasSubstr("layer_norm_epsilon"));
}

TEST(Checkpoint, OtherArchitecturesAreNamedAndRefused) {
  EXPECT_THAT(ErrorOf(GgufSkeleton("llama")).message(), HasSubstr("'llama'"));
  EXPECT_THAT(ErrorOf(GgufSkeleton("rwkv6qwen2")).message(), HasSubstr("'rwkv6qwen2'"));
  auto llama = std::make_shared<MemorySource>(FileFormat::kSafetensors);
  llama->PutRange("model.embed_tokens.weight", {3, 4});
  llama->PutRange("model.layers.0.self_attn.q_proj.weight", {4, 4});
  EXPECT_THAT(ErrorOf(llama).message(), HasSubstr("model.embed_tokens.weight"));
}

TEST(Checkpoint, LayerNormEpsilonComesFromTheFile) {
  auto gguf = GgufSkeleton("rwkv7");
  gguf->Set("rwkv7.attention.layer_norm_epsilon", 2e-5);
  EXPECT_EQ(MustGather(gguf)->layer_norm_eps(), 2e-5f);
  for (MetaValue value : {MetaValue(3e-5), MetaValue(std::string("3e-5"))}) {
    auto source = Skeleton();
    source->Set("config.layer_norm_epsilon", value);
    EXPECT_EQ(MustGather(source)->layer_norm_eps(), 3e-5f);
  }
  EXPECT_EQ(MustGather(Skeleton())->layer_norm_eps(), 1e-5f);
}

TEST(Checkpoint, ATiedHeadIsTheEmbeddingsBytes) {
  auto source = std::make_shared<MemorySource>(FileFormat::kSafetensors);
  source->PutRange("rwkv.embeddings.weight", {3, 4});
  source->PutRange("rwkv.blocks.0.attention.time_mix_receptance", {1, 1, 4});
  source->Set("config.tie_word_embeddings", true);
  source->Set("config.layer_norm_epsilon", 1e-5);
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  ASSERT_NE(checkpoint->Find("head.weight"), nullptr);
  EXPECT_EQ(checkpoint->Find("head.weight")->bytes.data(), checkpoint->Find("emb.weight")->bytes.data());
  EXPECT_NE(checkpoint->Find("blocks.0.att.time_mix_r"), nullptr);
}

TEST(Checkpoint, FusedCoefficientsOfFlashLinearAttentionAreSplit) {
  auto source = std::make_shared<MemorySource>(FileFormat::kSafetensors);
  source->PutRange("model.embeddings.weight", {3, 4});
  source->PutRange("model.layers.0.attn.r_k", {2, 2});
  source->PutRange("model.layers.0.attn.x_x", {6, 4});
  source->PutRange("model.layers.0.attn.w_lora.lora.0.weight", {3, 4});
  source->PutRange("model.layers.0.attn.w_lora.lora.2.bias", {4});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(Canonical(*checkpoint, "blocks.0.att.x_w")[0], 4.0f);
  EXPECT_THAT(checkpoint->Find("blocks.0.att.w1")->shape, ElementsAre(4, 3));
  EXPECT_NE(checkpoint->Find("blocks.0.att.w0"), nullptr);
}

TEST(Checkpoint, TensorsOfNoKnownFamilyAreNamed) {
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "resnet.pth");
  source->PutRange("conv1.weight", {2});
  source->PutRange("bn1.bias", {2});
  EXPECT_THAT(ErrorOf(source).message(),
              AllOf(HasSubstr("resnet.pth"), HasSubstr("conv1.weight"), HasSubstr("bn1.bias")));
  EXPECT_FALSE(ErrorOf(std::make_shared<MemorySource>(FileFormat::kPth)).ok());
}

TEST(Checkpoint, UnknownTensorsOfABlockAreRefusedOthersPassedOver) {
  auto source = Skeleton();
  source->PutRange("optimizer.step", {1});
  source->PutRange("blocks.0.ffn.s_emb.weight", {4});
  EXPECT_THAT(ErrorOf(source).message(), HasSubstr("blocks.0.ffn.s_emb.weight"));
  source = Skeleton();
  source->PutRange("optimizer.step", {1});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->Find("optimizer.step"), nullptr);
}

TEST(Checkpoint, TunedStatesAndUnusedValueMixesAreKept) {
  RandomModel model = SmallModel(Generation::kRwkv7);
  model.block0_value_mix = true;
  auto source = RandomSource(model);
  source->PutRange("blocks.0.att.time_state", {4, 16, 16});
  const auto checkpoint = MustGather(source);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_NE(checkpoint->Find("blocks.0.att.v1"), nullptr);
  EXPECT_NE(checkpoint->Find("blocks.0.att.time_state"), nullptr);
}

TEST(Checkpoint, LayersMustBeContiguous) {
  auto source = Skeleton();
  source->PutRange("blocks.2.ln1.weight", {4});
  EXPECT_THAT(ErrorOf(source).message(), AllOf(HasSubstr("blocks.2.ln1.weight"), HasSubstr("no layer 1")));
  source = Skeleton();
  source->PutRange("blocks.999999.ln1.weight", {4});
  EXPECT_THAT(ErrorOf(source).message(), HasSubstr("no layer 1"));
  for (const char* name :
       {"blocks.99999999999999999999.ln1.weight", "blocks.01.ln1.weight", "blocks.-1.ln1.weight"}) {
    source = Skeleton();
    source->PutRange(name, {4});
    EXPECT_THAT(ErrorOf(source).message(), HasSubstr(name));
  }
}

TEST(Checkpoint, AModelWithoutLayersOrEmbeddingIsRefused) {
  EXPECT_THAT(ErrorOf(Skeleton(FileFormat::kPth, 0)).message(), HasSubstr("no layers"));
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "state.pth");
  source->PutRange("blocks.0.ln1.weight", {4});
  EXPECT_THAT(ErrorOf(source).message(), HasSubstr("no embedding"));
  source->PutRange("emb.weight", {12});
  EXPECT_THAT(ErrorOf(source).message(), AllOf(HasSubstr("emb.weight"), HasSubstr("[12]")));
}

TEST(Checkpoint, IntegersAndDoublesAreNoWeights) {
  for (DType type : {DType::kF64, DType::kI64, DType::kBool}) {
    auto source = Skeleton();
    source->Put("blocks.0.ln1.bias", type, {4}, std::vector<std::byte>(*NumBytes(type, {4})));
    EXPECT_THAT(ErrorOf(source).message(),
                AllOf(HasSubstr("blocks.0.ln1.bias"), HasSubstr(std::string(Name(type)))));
  }
}

TEST(Checkpoint, OneParameterUnderTwoNamesIsRefused) {
  auto source = Skeleton(FileFormat::kSafetensors);
  source->PutRange("blocks.0.att.time_mix_x", {4});
  source->PutRange("blocks.0.att.time_maa_x", {4});
  EXPECT_THAT(ErrorOf(source).message(), AllOf(HasSubstr("time_mix_x"), HasSubstr("time_maa_x")));
}

TEST(Checkpoint, ShapesOfAnyKindDoNotCrash) {
  const Shape shapes[] = {{},        {0},    {1},    {1, 1, 1, 1}, {0, 4}, {4, 0},
                          {2, 3, 5}, {1, 4}, {4, 1}, {64},         {7, 64}};
  for (Generation generation : kGenerations) {
    const auto names = RandomSource(SmallModel(generation));
    for (FileFormat format : {FileFormat::kPth, FileFormat::kSafetensors, FileFormat::kRwkvBin}) {
      for (const Shape& shape : shapes) {
        auto source = std::make_shared<MemorySource>(format);
        for (const TensorInfo& info : names->tensors()) {
          source->PutRange(info.name, info.name == "emb.weight" ? Shape{3, 4} : shape);
        }
        const auto checkpoint = Checkpoint::FromSource(source);
        if (!checkpoint.ok()) continue;
        for (const CheckpointTensor& tensor : (*checkpoint)->tensors()) Canonical(tensor);
        const TempDir dir;
        for (FileFormat to : {FileFormat::kGguf, FileFormat::kRwkvBin, FileFormat::kSafetensors}) {
          SaveOptions options;
          options.format = to;
          const Status saved = SaveCheckpoint(**checkpoint, dir.File("out"), options);
          EXPECT_TRUE(saved.ok() || !saved.message().empty());
        }
      }
    }
  }
}

TEST(Checkpoint, ExtensionsTellFormats) {
  EXPECT_EQ(*FormatFromExtension("a.pth"), FileFormat::kPth);
  EXPECT_EQ(*FormatFromExtension("/x.y/A.PT"), FileFormat::kPth);
  EXPECT_EQ(*FormatFromExtension("a.st"), FileFormat::kSafetensors);
  EXPECT_EQ(*FormatFromExtension("a.safetensors"), FileFormat::kSafetensors);
  EXPECT_EQ(*FormatFromExtension("a.gguf"), FileFormat::kGguf);
  EXPECT_EQ(*FormatFromExtension("a.bin"), FileFormat::kRwkvBin);
  EXPECT_THAT(FormatFromExtension("model.onnx").status().message(), HasSubstr("model.onnx"));
  EXPECT_FALSE(FormatFromExtension("pth").ok());
}

}  // namespace
}  // namespace tern::testing
