// Keys that are missing or that contradict the tensors; files that belong to a model and are none.
#include <utility>

#include "tests/formats/checkpoint_testing.h"

namespace tern::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A whole model of a generation under GGUF's names and keys, or Hugging Face's, as the writer makes them.
class WrittenModel {
 public:
  WrittenModel(Generation generation, bool gguf) {
    const auto checkpoint = MustGather(RandomSource(SmallModel(generation)));
    SaveOptions options;
    options.format = gguf ? FileFormat::kGguf : FileFormat::kSafetensors;
    if (!gguf) options.names = SaveOptions::Names::kHuggingFace;
    const std::string path = dir_.File(gguf ? "m.gguf" : "model.safetensors");
    const Status saved = SaveCheckpoint(*checkpoint, path, options);
    EXPECT_TRUE(saved.ok()) << saved.message();
    source_ = *OpenTensorSource(gguf ? path : dir_.path());
  }

  /// With the change made to its keys.
  template <typename Change>
  Status Gather(const Change& change) const {
    auto copy = std::make_shared<MemorySource>(source_->format(), "changed");
    for (const TensorInfo& tensor : source_->tensors()) {
      copy->Put(tensor.name, tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()});
    }
    Metadata keys = source_->metadata();
    change(&keys);
    for (const auto& [key, value] : keys) copy->Set(key, value);
    return Checkpoint::FromSource(copy).status();
  }
  Status Without(const std::string& key) const {
    EXPECT_EQ(source_->metadata().count(key), 1u) << key;
    return Gather([&](Metadata* keys) { keys->erase(key); });
  }
  Status With(const std::string& key, const MetaValue& value) const {
    return Gather([&](Metadata* keys) { (*keys)[key] = value; });
  }

 private:
  TempDir dir_;
  std::shared_ptr<const TensorSource> source_;
};

TEST(GgufKeys, OnesThatNoTensorTellsMustBeThere) {
  const WrittenModel four(Generation::kRwkv4, true), six(Generation::kRwkv6, true),
      seven(Generation::kRwkv7, true);
  EXPECT_TRUE(seven.Gather([](Metadata*) {}).ok());
  for (const auto& [model, key] : {std::pair(&four, "rwkv4.attention.layer_norm_epsilon"),
                                   {&six, "rwkv6.attention.layer_norm_epsilon"},
                                   {&six, "rwkv6.rescale_every_n_layers"},
                                   {&seven, "rwkv7.attention.layer_norm_epsilon"},
                                   {&seven, "rwkv7.wkv.head_size"}}) {
    const Status status = model->Without(key);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << key;
    EXPECT_THAT(status.message(), HasSubstr(std::string("has no key ") + key));
  }
}

TEST(GgufKeys, HeadSizesComeFromShapesThatTellThem) {
  for (const auto& [generation, key] : {std::pair(Generation::kRwkv5_1, "rwkv5.wkv.head_size"),
                                        {Generation::kRwkv5_2, "rwkv5.wkv.head_size"},
                                        {Generation::kRwkv6, "rwkv6.wkv.head_size"}}) {
    const Status status = WrittenModel(generation, true).Without(key);
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

TEST(GgufKeys, MustAgreeWithTheTensors) {
  const WrittenModel six(Generation::kRwkv6, true), seven(Generation::kRwkv7, true);
  for (const auto& [model, key] : {std::pair(&six, "rwkv6.block_count"),
                                   {&six, "rwkv6.time_mix_extra_dim"},
                                   {&six, "rwkv6.time_decay_extra_dim"},
                                   {&six, "rwkv6.token_shift_count"},
                                   {&six, "rwkv6.wkv.head_size"},
                                   {&seven, "rwkv7.block_count"},
                                   {&seven, "rwkv7.embedding_length"},
                                   {&seven, "rwkv7.vocab_size"},
                                   {&seven, "rwkv7.feed_forward_length"},
                                   {&seven, "rwkv7.attention.decay_lora_rank"},
                                   {&seven, "rwkv7.attention.iclr_lora_rank"},
                                   {&seven, "rwkv7.attention.value_residual_mix_lora_rank"},
                                   {&seven, "rwkv7.attention.gate_lora_rank"}}) {
    const Status status = model->With(key, uint64_t{1});
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << key;
    EXPECT_THAT(status.message(), AllOf(HasSubstr(key), HasSubstr("by its tensors")));
  }
}

TEST(HubConfig, KeysMustBeThereAndAgreeWithTheTensors) {
  const WrittenModel four(Generation::kRwkv4, false), seven(Generation::kRwkv7, false);
  EXPECT_TRUE(four.Gather([](Metadata*) {}).ok());
  EXPECT_THAT(four.Without("config.layer_norm_epsilon").message(),
              HasSubstr("no key config.layer_norm_epsilon"));
  EXPECT_THAT(seven.Without("config.norm_eps").message(), HasSubstr("no key config.norm_eps"));
  for (const auto& [model, key] : {std::pair(&four, "config.num_hidden_layers"),
                                   {&four, "config.hidden_size"},
                                   {&four, "config.vocab_size"},
                                   {&four, "config.intermediate_size"},
                                   {&four, "config.attention_hidden_size"},
                                   {&seven, "config.head_dim"},
                                   {&seven, "config.decay_low_rank_dim"},
                                   {&seven, "config.a_low_rank_dim"},
                                   {&seven, "config.gate_low_rank_dim"},
                                   {&seven, "config.v_low_rank_dim"}}) {
    EXPECT_THAT(model->With(key, int64_t{1}).message(), AllOf(HasSubstr(key), HasSubstr("by its tensors")));
  }
  EXPECT_EQ(seven.With("config.hidden_act", std::string("relu")).code(), StatusCode::kUnsupported);
  EXPECT_EQ(seven.With("config.norm_first", false).code(), StatusCode::kUnsupported);
}

TEST(HubConfig, IsNotNeeded) {
  const WrittenModel seven(Generation::kRwkv7, false);
  EXPECT_TRUE(seven.Gather([](Metadata* keys) { keys->clear(); }).ok());
}

Status ErrorOfTensors(std::initializer_list<const char*> names) {
  auto source = std::make_shared<MemorySource>(FileFormat::kPth, "part.pth");
  for (const char* name : names) source->PutRange(name, {2, 2});
  return Checkpoint::FromSource(source).status();
}

TEST(PartialModel, IsCalledWhatItIs) {
  EXPECT_THAT(ErrorOfTensors({"blocks.0.att.time_state", "blocks.1.att.time_state"}).message(),
              AllOf(HasSubstr("only tuned initial states"), HasSubstr("--state-in")));
  for (const char* name :
       {"blocks.0.att.key.lora_A", "blocks.0.att.key.lora_B.weight",
        "base_model.model.model.layers.0.attn.r_proj.lora_A.default.weight", "blocks.0.att.key.lora.0"}) {
    EXPECT_THAT(ErrorOfTensors({name, "blocks.0.att.time_decay"}).message(),
                AllOf(HasSubstr("only a LoRA"), HasSubstr(name), HasSubstr("merge it")));
  }
  EXPECT_THAT(ErrorOfTensors({"emb.weight", "blocks.0.att.key.lora_A"}).message(),
              HasSubstr("a LoRA beside its weights"));
}

TEST(BinHeader, MustAgreeWithTheTensors) {
  for (const char* key : {"rwkv.n_layer", "rwkv.n_embed", "rwkv.n_vocab"}) {
    auto source = std::make_shared<MemorySource>(FileFormat::kRwkvBin, "m.bin");
    source->PutRange("emb.weight", {3, 4});
    source->PutRange("blocks.0.ln1.weight", {4});
    source->Set(key, int64_t{2});
    EXPECT_THAT(Checkpoint::FromSource(source).status().message(),
                AllOf(HasSubstr(key), HasSubstr("by its tensors")));
  }
}

/// A weight that is an object of a class.
class WithOpaqueWeight : public MemorySource {
 public:
  explicit WithOpaqueWeight(const std::string& name) : MemorySource(FileFormat::kPth, "m.pth") {
    PutRange("emb.weight", {3, 4});
    PutRange("blocks.0.ln1.weight", {4});
    opaque_.emplace(name, "numpy.core.multiarray._reconstruct");
  }
};

TEST(Checkpoint, NamesWeightsThatAreObjects) {
  const Status status =
      Checkpoint::FromSource(std::make_shared<WithOpaqueWeight>("blocks.0.att.key.weight")).status();
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("'blocks.0.att.key.weight'"), HasSubstr("numpy.core.multiarray")));
  EXPECT_TRUE(Checkpoint::FromSource(std::make_shared<WithOpaqueWeight>("args")).ok());
}

}  // namespace
}  // namespace tern::testing
