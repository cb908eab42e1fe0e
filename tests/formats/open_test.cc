#include <filesystem>

#include "tests/formats/container_testing.h"

namespace tern {
namespace {

using ::testing::AllOf;
using testing::FileBuilder;
using ::testing::HasSubstr;
using testing::RandomOutput;
using testing::TempDir;

Status ErrorOfFile(std::string_view content) {
  const TempDir dir;
  testing::WriteBytes(dir.File("weights.gguf"), FileBuilder().Text(content).bytes());
  const Status status = OpenTensorSource(dir.File("weights.gguf")).status();
  EXPECT_THAT(status.message(), HasSubstr(dir.File("weights.gguf")));
  return status;
}

/// Writes a safetensors file of one tensor.
void WriteShard(const std::string& path, const std::string& tensor) {
  Random random(1);
  const std::vector<OutputTensor> tensors = {RandomOutput(tensor, DType::kF32, {2}, &random)};
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"format", std::string("pt")}}).ok());
}

TEST(OpenTensorSource, GoesByTheFirstBytesNotByTheExtension) {
  Random random(1);
  const std::vector<OutputTensor> tensors = {RandomOutput("a", DType::kF32, {2}, &random)};
  const TempDir dir;
  const std::string path = dir.File("weights.pth");
  ASSERT_TRUE(WriteSafetensors(path, tensors, {}).ok());
  EXPECT_EQ((*OpenTensorSource(path))->format(), FileFormat::kSafetensors);
  ASSERT_TRUE(WriteGguf(path, tensors, {}).ok());
  EXPECT_EQ((*OpenTensorSource(path))->format(), FileFormat::kGguf);
  const RwkvBinHeader header{.n_vocab = 1, .n_embed = 1, .n_layer = 1, .data_type = DType::kF32};
  ASSERT_TRUE(WriteRwkvBin(path, tensors, header).ok());
  EXPECT_EQ((*OpenTensorSource(path))->format(), FileFormat::kRwkvBin);
  ASSERT_TRUE(WritePth(path, tensors).ok());
  EXPECT_EQ((*OpenTensorSource(path))->format(), FileFormat::kPth);
}

TEST(OpenTensorSource, SaysWhatItKnowsAndWhatItFound) {
  const Status status = ErrorOfFile("ggml\x01 is older than anything");
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("no weight file that Tern knows"), HasSubstr("ggml\\x01"), HasSubstr(".pth"),
                    HasSubstr("safetensors"), HasSubstr("GGUF"), HasSubstr("rwkv.cpp")));
  EXPECT_EQ(ErrorOfFile("a").code(), StatusCode::kUnsupported);
}

TEST(OpenTensorSource, ExplainsGitLfsPointers) {
  EXPECT_THAT(ErrorOfFile("version https://git-lfs.github.com/spec/v1\noid sha256:0\n").message(),
              HasSubstr("Git LFS pointer"));
}

TEST(OpenTensorSource, RefusesFilesCutAfterTheirFirstBytes) {
  for (std::string_view head :
       {std::string_view("GGUF"), std::string_view("fmgg"), std::string_view("PK\x03\x04"),
        std::string_view("\x80\x02"), std::string_view("\x10\0\0\0\0\0\0\0{", 9)}) {
    EXPECT_FALSE(ErrorOfFile(head).ok());
  }
}

TEST(OpenTensorSource, RefusesEmptyAndMissingFiles) {
  EXPECT_EQ(ErrorOfFile("").code(), StatusCode::kCorrupt);
  EXPECT_EQ(OpenTensorSource("/nowhere/at/all.gguf").status().code(), StatusCode::kNotFound);
}

TEST(OpenTensorSource, OpensTheModelOfAFolder) {
  const TempDir dir;
  EXPECT_EQ(OpenTensorSource(dir.path()).status().code(), StatusCode::kNotFound);
  WriteShard(dir.File("other.st"), "other");
  ASSERT_TRUE(WriteStringToFile(dir.File("README.md"), "text").ok());
  const auto only = OpenTensorSource(dir.path());
  ASSERT_TRUE(only.ok()) << only.status().message();
  EXPECT_NE((*only)->Find("other"), nullptr);

  WriteShard(dir.File("third.safetensors"), "third");
  const Status ambiguous = OpenTensorSource(dir.path()).status();
  EXPECT_EQ(ambiguous.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(ambiguous.message(), HasSubstr("other.st, third.safetensors"));

  WriteShard(dir.File("model.safetensors"), "plain");
  const auto plain = OpenTensorSource(dir.path());
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  EXPECT_NE((*plain)->Find("plain"), nullptr);
}

class Shards : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteShard(dir_.File("model-1.safetensors"), "model.a");
    WriteShard(dir_.File("model-2.safetensors"), "model.b");
  }
  testing::SourceResult OpenWithIndex(const std::string& index) {
    EXPECT_TRUE(WriteStringToFile(dir_.File("model.safetensors.index.json"), index).ok());
    return OpenTensorSource(dir_.path());
  }
  TempDir dir_;
};

TEST_F(Shards, AreOneSource) {
  ASSERT_TRUE(WriteStringToFile(dir_.File("config.json"), R"({"hidden_size":64})").ok());
  const auto opened = OpenWithIndex(R"({"metadata":{"total_size":16},
      "weight_map":{"model.a":"model-1.safetensors","model.b":"model-2.safetensors"}})");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const TensorSource& source = **opened;
  EXPECT_EQ(source.path(), dir_.path());
  EXPECT_EQ(source.format(), FileFormat::kSafetensors);
  EXPECT_EQ(source.tensors().size(), 2u);
  EXPECT_NE(source.Find("model.a"), nullptr);
  EXPECT_NE(source.Find("model.b"), nullptr);
  EXPECT_EQ(source.metadata().at("format"), MetaValue(std::string("pt")));
  EXPECT_EQ(source.metadata().at("config.hidden_size"), MetaValue(int64_t{64}));
}

TEST_F(Shards, MustHoldWhatTheIndexSays) {
  const Status missing = OpenWithIndex(R"({"weight_map":{"model.a":"model-1.safetensors",
                                                         "model.c":"model-2.safetensors"}})")
                             .status();
  EXPECT_EQ(missing.code(), StatusCode::kCorrupt);
  EXPECT_THAT(missing.message(), AllOf(HasSubstr("'model.c'"), HasSubstr("model-2.safetensors")));
  const Status no_file = OpenWithIndex(R"({"weight_map":{"model.a":"model-9.safetensors"}})").status();
  EXPECT_EQ(no_file.code(), StatusCode::kNotFound);
  EXPECT_THAT(no_file.message(), HasSubstr("model-9.safetensors"));
}

TEST_F(Shards, MustNotHoldATensorTwice) {
  WriteShard(dir_.File("model-2.safetensors"), "model.a");
  const Status status = OpenWithIndex(R"({"weight_map":{"model.a":"model-1.safetensors",
                                                        "model.b":"model-2.safetensors"}})")
                            .status();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), HasSubstr("'model.a'"));
}

TEST_F(Shards, AreOnlyFilesOfTheFolder) {
  for (const char* file : {"../secret", "/etc/passwd", "", "a\\u0000b"}) {
    const Status status =
        OpenWithIndex(std::string(R"({"weight_map":{"model.a":")") + file + "\"}}").status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << file;
    EXPECT_THAT(status.message(), HasSubstr("no name of a file")) << file;
  }
  EXPECT_FALSE(OpenWithIndex(R"({"weight_map":{"model.a":".."}})").ok());
}

TEST_F(Shards, NeedAnIndexThatIsOne) {
  for (const char* index :
       {"", "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{}}", "{\"weight_map\":{\"a\":1}}"}) {
    const Status status = OpenWithIndex(index).status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << index;
    EXPECT_THAT(status.message(), HasSubstr("index.json")) << index;
  }
}

TEST_F(Shards, MayBeGitLfsPointers) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 381012345\n";
  const auto error = [&](const std::string& file) {
    EXPECT_TRUE(WriteStringToFile(dir_.File(file), pointer).ok());
    const Status status =
        file.ends_with(".index.json")
            ? OpenTensorSource(dir_.path()).status()
            : OpenWithIndex(
                  R"({"weight_map":{"model.a":"model-1.safetensors","model.b":"model-2.safetensors"}})")
                  .status();
    EXPECT_THAT(status.message(), AllOf(HasSubstr(file), HasSubstr("Git LFS pointer"),
                                        HasSubstr("git lfs pull"), HasSubstr("381012345 bytes")));
  };
  error("config.json");  // beside good weights
  error("model-2.safetensors");
  error("model.safetensors.index.json");
}

/// Writes a .pth of one tensor.
void WritePthOf(const std::string& path, const std::string& tensor) {
  Random random(1);
  ASSERT_TRUE(
      WritePth(path, std::vector<OutputTensor>{RandomOutput(tensor, DType::kF32, {2}, &random)}).ok());
}

TEST(OpenTensorSource, OpensPytorchModelWithAndWithoutIndex) {
  const TempDir dir;
  WritePthOf(dir.File("pytorch_model.bin"), "rwkv.embeddings.weight");
  ASSERT_TRUE(WriteStringToFile(dir.File("config.json"), R"({"hidden_size":2})").ok());
  WritePthOf(dir.File("training_args.bin"), "x");  // what trainers leave there
  const auto plain = OpenTensorSource(dir.path());
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  EXPECT_EQ((*plain)->metadata().at("config.hidden_size"), MetaValue(int64_t{2}));

  WritePthOf(dir.File("pytorch_model-00001-of-00002.bin"), "rwkv.a");
  WritePthOf(dir.File("pytorch_model-00002-of-00002.bin"), "rwkv.b");
  ASSERT_TRUE(WriteStringToFile(dir.File("pytorch_model.bin.index.json"),
                                R"({"weight_map":{"rwkv.a":"pytorch_model-00001-of-00002.bin",
                                                  "rwkv.b":"pytorch_model-00002-of-00002.bin"}})")
                  .ok());
  const auto indexed = OpenTensorSource(dir.path());
  ASSERT_TRUE(indexed.ok()) << indexed.status().message();
  EXPECT_EQ((*indexed)->tensors().size(), 2u);
  EXPECT_EQ((*indexed)->format(), FileFormat::kPth);
}

TEST(OpenTensorSource, OpensTheOnlyBinOrPtOfAFolder) {
  for (const char* name : {"rwkv.bin", "epoch-3.pt", "mp_rank_00_model_states.pt"}) {
    const TempDir dir;
    WritePthOf(dir.File(name), "emb.weight");
    WritePthOf(dir.File("optimizer.pt"), "x");
    WritePthOf(dir.File("zero_pp_rank_0_mp_rank_00_optim_states.pt"), "x");
    ASSERT_TRUE(WriteStringToFile(dir.File("corpus.bin"), "tokens").ok());  // with its index no weights
    ASSERT_TRUE(WriteStringToFile(dir.File("corpus.idx"), "index").ok());
    const auto source = OpenTensorSource(dir.path());
    ASSERT_TRUE(source.ok()) << source.status().message();
    EXPECT_NE((*source)->Find("emb.weight"), nullptr) << name;
  }
}

TEST(OpenTensorSource, TakesOffPrefixesThatAllNamesShare) {
  for (const char* prefix : {"module.", "_forward_module.", "_orig_mod.", "model.", "module._orig_mod.",
                             "_orig_mod.module.", "_forward_module.model._orig_mod.", "a.b.c."}) {
    for (const std::string name :
         {"blocks.0.ln1.weight", "rwkv.embeddings.weight", "model.layers.0.norm.weight"}) {
      const TempDir dir;
      WritePthOf(dir.File("x.pth"), prefix + name);
      const auto source = OpenTensorSource(dir.File("x.pth"));
      ASSERT_TRUE(source.ok()) << source.status().message();
      EXPECT_EQ((*source)->tensors()[0].name, name) << prefix;
      WriteShard(dir.File("x.st"), prefix + name);
      EXPECT_EQ((*OpenTensorSource(dir.File("x.st")))->tensors()[0].name, name) << prefix;
    }
  }
}

TEST(OpenTensorSource, LeavesNamesThatDoNotShareAPrefix) {
  Random random(1);
  const TempDir dir;
  const std::vector<OutputTensor> tensors = {RandomOutput("module.emb.weight", DType::kF32, {2}, &random),
                                             RandomOutput("step", DType::kF32, {2}, &random)};
  ASSERT_TRUE(WritePth(dir.File("x.pth"), tensors).ok());
  const auto source = OpenTensorSource(dir.File("x.pth"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_NE((*source)->Find("module.emb.weight"), nullptr);
}

}  // namespace
}  // namespace tern
