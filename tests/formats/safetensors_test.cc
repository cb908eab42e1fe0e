#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "tests/formats/container_testing.h"

namespace tern {
namespace {

using ::testing::AllOf;
using testing::ErrorOf;
using testing::FileBuilder;
using ::testing::HasSubstr;
using testing::OpenBytes;
using testing::RandomOutput;
using testing::TempDir;

/// A file of this header, followed by `data_size` zero bytes.
std::vector<std::byte> File(const std::string& header, size_t data_size) {
  return FileBuilder().Put(uint64_t{header.size()}).Text(header).Zeros(data_size).bytes();
}

std::string HeaderEntry(const std::string& name, const std::string& dtype, const std::string& shape, uint64_t begin,
                  uint64_t end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype, shape, begin,
                     end);
}

Status CorruptWith(const std::string& header, size_t data_size = 64) {
  const Status status = ErrorOf(File(header, data_size), OpenSafetensors);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
  return status;
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirDataAndMetadata) {
  const std::string header = R"({"__metadata__":{"format":"pt","n":"3"},)" +
                             HeaderEntry("a", "F32", "[2,2]", 4, 20) + "," + HeaderEntry("z", "BF16", "[2]", 0, 4) +
                             "}   ";
  const auto opened = OpenBytes(File(header, 20), OpenSafetensors);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const TensorSource& source = **opened;
  EXPECT_EQ(source.format(), FileFormat::kSafetensors);
  ASSERT_EQ(source.tensors().size(), 2u);
  EXPECT_EQ(source.tensors()[0].name, "z");
  EXPECT_EQ(source.tensors()[1].name, "a");
  EXPECT_EQ(source.Find("a")->shape, (Shape{2, 2}));
  EXPECT_EQ(source.Find("a")->bytes.data(), source.Find("z")->bytes.data() + 4);
  EXPECT_EQ(source.metadata().at("format"), MetaValue(std::string("pt")));
  EXPECT_EQ(source.metadata().size(), 2u);
}

std::vector<OutputTensor> OneOfEachType(Random* random) {
  std::vector<OutputTensor> tensors;
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI64, DType::kI32,
                     DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    tensors.push_back(RandomOutput("blocks.0." + std::string(Name(type)), type, {2, 3}, random));
  }
  tensors.push_back(RandomOutput("scalar", DType::kF32, {}, random));
  tensors.push_back(RandomOutput("nothing", DType::kF32, {3, 0}, random));
  tensors.push_back(RandomOutput("\"quoted\" \\ ü", DType::kF16, {1, 1, 4}, random));
  return tensors;
}

TEST(Safetensors, WrittenFileReadsBackTheSame) {
  Random random(2);
  const auto tensors = OneOfEachType(&random);
  const Metadata metadata = {
      {"format", std::string("pt")},        {"count", int64_t{-3}}, {"flag", true},
      {"list", std::vector<int64_t>{1, 2}}, {"half", 0.5},          {"text", std::string("a \"b\"\n")}};
  const TempDir dir;
  ASSERT_TRUE(WriteSafetensors(dir.File("m.st"), tensors, metadata).ok());
  const auto source = OpenTensorSource(dir.File("m.st"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  testing::ExpectSameTensors(**source, tensors);
  const Metadata expected = {{"format", std::string("pt")}, {"count", std::string("-3")},
                             {"flag", std::string("true")}, {"list", std::string("[1,2]")},
                             {"half", std::string("0.5")},  {"text", std::string("a \"b\"\n")}};
  EXPECT_EQ((*source)->metadata(), expected);
}

TEST(Safetensors, WriterPadsTheHeaderWithSpacesToEightBytes) {
  Random random(3);
  const TempDir dir;
  for (const char* name : {"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"}) {
    const std::vector<OutputTensor> tensors = {RandomOutput(name, DType::kF32, {1}, &random)};
    ASSERT_TRUE(WriteSafetensors(dir.File("m.st"), tensors, {}).ok());
    const auto bytes = testing::ReadBytes(dir.File("m.st"));
    uint64_t length;
    std::memcpy(&length, bytes.data(), 8);
    EXPECT_EQ(length % 8, 0u);
    ASSERT_EQ(bytes.size(), 8 + length + 4);
    const std::string header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
    const std::string json = "{" + HeaderEntry(name, "F32", "[1]", 0, 4) + "}";
    EXPECT_EQ(header, json + std::string(header.size() - json.size(), ' '));
    EXPECT_LT(header.size() - json.size(), 8u);
  }
}

TEST(Safetensors, RewritingAWrittenFileGivesTheSameBytes) {
  Random random(4);
  const auto tensors = OneOfEachType(&random);
  const TempDir dir;
  ASSERT_TRUE(WriteSafetensors(dir.File("a.st"), tensors, {{"format", std::string("pt")}}).ok());
  const auto source = OpenTensorSource(dir.File("a.st"));
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE(WriteSafetensors(dir.File("b.st"), testing::Rewritten(**source), (*source)->metadata()).ok());
  EXPECT_TRUE(testing::ReadBytes(dir.File("a.st")) == testing::ReadBytes(dir.File("b.st")));
}

TEST(Safetensors, RefusesBrokenHeaders) {
  EXPECT_THAT(CorruptWith("[]").message(), HasSubstr("no JSON object"));
  EXPECT_THAT(CorruptWith("{\"a\":").message(), HasSubstr("bad JSON"));
  EXPECT_THAT(CorruptWith("{\"a\":1}").message(), HasSubstr("tensor 'a'"));
  EXPECT_THAT(CorruptWith("{\"a\xff\":{}}").message(), HasSubstr("bad JSON"));
  EXPECT_THAT(CorruptWith(std::string(100000, '[')).message(), HasSubstr("JSON"));
  EXPECT_THAT(CorruptWith("{\"a\":{\"b\":{\"c\":{\"d\":1}}}}").message(), HasSubstr("nested deeper"));
  EXPECT_THAT(CorruptWith("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}").message(),
              HasSubstr("[0, 4, 8]"));
  EXPECT_THAT(CorruptWith("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}").message(),
              HasSubstr("'shape'"));
  EXPECT_THAT(CorruptWith("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}").message(), HasSubstr("'dtype'"));
  EXPECT_THAT(CorruptWith("{\"__metadata__\":{\"a\":1}}").message(), HasSubstr("no string"));
  EXPECT_THAT(CorruptWith("{\"__metadata__\":7}").message(), HasSubstr("__metadata__"));
}

TEST(Safetensors, RefusesSizesThatContradictEachOther) {
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[2]", 0, 4) + "}").message(),
              AllOf(HasSubstr("tensor 'a'"), HasSubstr("4 bytes"), HasSubstr("needs 8")));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[1]", 8, 4) + "}").message(), HasSubstr("[8, 4]"));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[32]", 0, 128) + "}").message(), HasSubstr("cut short"));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[-1]", 0, 4) + "}").message(), HasSubstr("'shape'"));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[1.0]", 0, 4) + "}").message(), HasSubstr("'shape'"));
  const std::string huge = "[1152921504606846976]";  // 2^60 elements: 2^62 bytes
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", huge, 0, 4) + "}").message(),
              HasSubstr("needs 4611686018427387904"));
  const std::string overflow = "[4294967296,4294967296]";
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "U8", overflow, 0, 0) + "}").message(), HasSubstr("2^63"));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "U8", "[1]", 0, 18446744073709551615u) + "}").message(),
              HasSubstr("'data_offsets'"));
}

TEST(Safetensors, RefusesOverlapsAndDuplicates) {
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[2]", 0, 8) + "," + HeaderEntry("b", "F32", "[2]", 4, 12) + "}")
                  .message(),
              AllOf(HasSubstr("'a'"), HasSubstr("'b'"), HasSubstr("share bytes")));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a", "F32", "[1]", 0, 4) + "," + HeaderEntry("a", "F32", "[1]", 4, 8) + "}")
                  .message(),
              AllOf(HasSubstr("'a'"), HasSubstr("twice")));
  EXPECT_THAT(
      CorruptWith(R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})").message(),
      AllOf(HasSubstr("'dtype'"), HasSubstr("twice")));
  EXPECT_THAT(CorruptWith("{" + HeaderEntry("a\\u0000b", "F32", "[1]", 0, 4) + "}").message(),
              HasSubstr("control characters"));
}

TEST(Safetensors, NamesTheTensorOfAnUnknownType) {
  const Status status =
      ErrorOf(File("{" + HeaderEntry("odd.weight", "F8_E4M3", "[4]", 0, 4) + "}", 4), OpenSafetensors);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("odd.weight"), HasSubstr("F8_E4M3")));
}

TEST(Safetensors, RefusesHeaderLengthsThatDoNotFit) {
  for (uint64_t length : {uint64_t{3}, uint64_t{1} << 20, uint64_t{1} << 60, ~uint64_t{0}}) {
    const auto bytes = FileBuilder().Put(length).Text("{}").bytes();
    EXPECT_EQ(ErrorOf(bytes, OpenSafetensors).code(), StatusCode::kCorrupt) << length;
  }
  EXPECT_EQ(ErrorOf(FileBuilder().Text("1234567").bytes(), OpenSafetensors).code(), StatusCode::kCorrupt);
}

TEST(Safetensors, AFileWithoutTensorsIsEmpty) {
  const auto source = OpenBytes(File("{}", 0), OpenSafetensors);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_TRUE((*source)->tensors().empty());
}

TEST(Safetensors, SurvivesAttacks) {
  const std::string header = R"({"__metadata__":{"format":"pt"},)" + HeaderEntry("a", "F32", "[2,2]", 4, 20) + "," +
                             HeaderEntry("z", "BF16", "[2]", 0, 4) + "}";
  testing::AttackReader(File(header, 20), 8 + header.size(), OpenSafetensors);
}

TEST(Safetensors, ReadsTheConfigBesideHuggingFaceNames) {
  const TempDir dir;
  Random random(5);
  const std::string config = R"({"vocab_size":65536,"eps":1e-5,"model_type":"rwkv7","tie":false,
      "negative":-2,"list":[1,2],"nothing":null,"nested":{"a":1}})";
  ASSERT_TRUE(WriteStringToFile(dir.File("config.json"), config).ok());
  const std::vector<OutputTensor> named = {RandomOutput("model.norm.weight", DType::kF32, {4}, &random)};
  ASSERT_TRUE(WriteSafetensors(dir.File("m.safetensors"), named, {}).ok());
  const auto source = OpenTensorSource(dir.File("m.safetensors"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const Metadata expected = {{"config.vocab_size", int64_t{65536}},
                             {"config.eps", 1e-5},
                             {"config.model_type", std::string("rwkv7")},
                             {"config.tie", false},
                             {"config.negative", int64_t{-2}}};
  EXPECT_EQ((*source)->metadata(), expected);

  const std::vector<OutputTensor> other = {RandomOutput("emb.weight", DType::kF32, {4}, &random)};
  ASSERT_TRUE(WriteSafetensors(dir.File("m.st"), other, {}).ok());
  const auto unrelated = OpenTensorSource(dir.File("m.st"));
  ASSERT_TRUE(unrelated.ok());
  EXPECT_TRUE((*unrelated)->metadata().empty()) << "another family's file took a config that is not its own";
}

TEST(Safetensors, ABrokenConfigIsNamed) {
  const TempDir dir;
  Random random(6);
  const std::vector<OutputTensor> named = {RandomOutput("rwkv.ln_out.weight", DType::kF32, {4}, &random)};
  ASSERT_TRUE(WriteSafetensors(dir.File("model.safetensors"), named, {}).ok());
  for (const char* config : {"{", "[]", "{\"a\":1,\"a\":2}"}) {
    ASSERT_TRUE(WriteStringToFile(dir.File("config.json"), config).ok());
    const Status status = OpenTensorSource(dir.path()).status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << config;
    EXPECT_THAT(status.message(), HasSubstr("config.json"));
  }
}

TEST(Safetensors, WriterRefusesWhatTheFormatCannotHold) {
  Random random(7);
  const TempDir dir;
  const auto write = [&](const std::vector<OutputTensor>& tensors, const Metadata& metadata) {
    return WriteSafetensors(dir.File("m.st"), tensors, metadata);
  };
  const Status quantised = write({RandomOutput("the.weight", DType::kQ8_0, {32}, &random)}, {});
  EXPECT_EQ(quantised.code(), StatusCode::kUnsupported);
  EXPECT_THAT(quantised.message(), AllOf(HasSubstr("the.weight"), HasSubstr("q8_0")));
  const OutputTensor a = RandomOutput("a", DType::kF32, {1}, &random);
  EXPECT_EQ(write({a, a}, {}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(write({RandomOutput("__metadata__", DType::kF32, {1}, &random)}, {}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(write({RandomOutput("a\xff", DType::kF32, {1}, &random)}, {}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(write({a}, {{"key", std::string("\xff")}}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Safetensors, WritesTensorsThatComeInPieces) {
  const TempDir dir;
  std::vector<std::byte> whole(100);
  for (size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<std::byte>(i);
  const auto tensor = [&](std::vector<size_t> sizes) {
    OutputTensor pieces{"a", DType::kU8, {100}, {}};
    pieces.produce_pieces = [&whole, sizes](const TensorSink& sink) -> Status {
      size_t at = 0;
      for (const size_t size : sizes) {
        TERN_RETURN_IF_ERROR(sink(std::span<const std::byte>(whole).subspan(at % whole.size(), size)));
        at += size;
      }
      return OkStatus();
    };
    return std::vector<OutputTensor>{pieces};
  };
  ASSERT_TRUE(WriteSafetensors(dir.File("m.st"), tensor({1, 0, 98, 1}), {}).ok());
  const auto source = OpenTensorSource(dir.File("m.st"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const auto bytes = (*source)->Find("a")->bytes;
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), whole.begin(), whole.end()));
  EXPECT_THAT(WriteSafetensors(dir.File("n.st"), tensor({50, 49}), {}).message(), HasSubstr("99 were produced"));
  EXPECT_THAT(WriteSafetensors(dir.File("n.st"), tensor({50, 50, 1}), {}).message(), HasSubstr("101 were produced"));
  EXPECT_FALSE(std::filesystem::exists(dir.File("n.st")));
}

TEST(Safetensors, AStoppedOrFailedWriteLeavesTheOldFile) {
  Random random(8);
  const TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("m.st"), "old").ok());
  std::vector<OutputTensor> tensors = {RandomOutput("a", DType::kF32, {1}, &random),
                                       RandomOutput("b", DType::kF32, {1}, &random)};
  std::vector<size_t> seen;
  const Status stopped = WriteSafetensors(dir.File("m.st"), tensors, {}, [&](size_t done, size_t total) {
    EXPECT_EQ(total, 2u);
    seen.push_back(done);
    return done < 2;
  });
  EXPECT_EQ(stopped.code(), StatusCode::kCancelled);
  EXPECT_EQ(seen, (std::vector<size_t>{1, 2}));

  tensors[1].produce = []() -> Result<TensorBytes> { return IoError("the disk is gone"); };
  const Status failed = WriteSafetensors(dir.File("m.st"), tensors, {});
  EXPECT_EQ(failed.code(), StatusCode::kIo);
  EXPECT_THAT(failed.message(), AllOf(HasSubstr("'b'"), HasSubstr("the disk is gone")));

  tensors[1].produce = []() -> Result<TensorBytes> {
    return TensorBytes{.view = {}, .owned = {std::byte{1}}};
  };
  const Status wrong_size = WriteSafetensors(dir.File("m.st"), tensors, {});
  EXPECT_EQ(wrong_size.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(wrong_size.message(), AllOf(HasSubstr("'b'"), HasSubstr("4 bytes")));

  EXPECT_EQ(*ReadFileToString(dir.File("m.st")), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1)
      << "a temporary file was left";
}

}  // namespace
}  // namespace tern
