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

}  // namespace
}  // namespace tern
