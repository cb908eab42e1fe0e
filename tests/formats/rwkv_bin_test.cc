#include <filesystem>

#include "tests/formats/container_testing.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FileBuilder;
using ::testing::HasSubstr;
using testing::OpenBytes;
using testing::RandomOutput;
using testing::TempDir;

constexpr uint32_t kMagic = 0x67676d66;

FileBuilder BinHeader(uint32_t version = 101, uint32_t type = 0) {
  FileBuilder file;
  file.Put(kMagic).Put(version).Put(uint32_t{256}).Put(uint32_t{64}).Put(uint32_t{2}).Put(type);
  return file;
}

/// A record without its data. Dimensions as in the file: fastest first.
void PutRecord(FileBuilder* file, const std::string& name, uint32_t type, const std::vector<uint32_t>& dims) {
  file->Put(static_cast<uint32_t>(dims.size())).Put(static_cast<uint32_t>(name.size())).Put(type);
  for (uint32_t dim : dims) file->Put(dim);
  file->Text(name);
}

FileBuilder SmallBin() {
  FileBuilder file = BinHeader();
  PutRecord(&file, "emb.weight", 1, {3, 2});
  file.Zeros(12);
  PutRecord(&file, "blocks.0.att.key.weight", 9, {64, 2});
  file.Zeros(4 * 34);
  PutRecord(&file, "ln_out.bias", 0, {4});
  file.Put(1.0f).Put(2.0f).Put(3.0f).Put(4.0f);
  return file;
}

TEST(RwkvBin, ReadsTensorsAndHeader) {
  const auto opened = OpenBytes(SmallBin().bytes(), OpenRwkvBin);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const TensorSource& source = **opened;
  EXPECT_EQ(source.format(), FileFormat::kRwkvBin);
  EXPECT_EQ(source.metadata().at("rwkv.n_vocab"), MetaValue(int64_t{256}));
  EXPECT_EQ(source.metadata().at("rwkv.n_embed"), MetaValue(int64_t{64}));
  EXPECT_EQ(source.metadata().at("rwkv.n_layer"), MetaValue(int64_t{2}));
  EXPECT_EQ(source.metadata().at("rwkv.data_type"), MetaValue(std::string("f32")));
  EXPECT_EQ(source.metadata().at("rwkv.version"), MetaValue(int64_t{101}));
  ASSERT_EQ(source.tensors().size(), 3u);
  EXPECT_THAT(source.Find("emb.weight")->shape, ElementsAre(2, 3));
  EXPECT_EQ(source.Find("emb.weight")->dtype, DType::kF16);
  EXPECT_EQ(source.Find("blocks.0.att.key.weight")->dtype, DType::kQ8_0);
  float last;
  std::memcpy(&last, source.Find("ln_out.bias")->bytes.data() + 12, 4);
  EXPECT_EQ(last, 4.0f);
}

TEST(RwkvBin, WrittenFileReadsBackTheSame) {
  Random random(1);
  std::vector<OutputTensor> tensors;
  for (DType type :
       {DType::kF32, DType::kF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
    tensors.push_back(RandomOutput("t." + std::string(Name(type)), type, {3, 2, 64}, &random));
  }
  tensors.push_back(RandomOutput("vector", DType::kF32, {5}, &random));
  const TempDir dir;
  const RwkvBinHeader header{.n_vocab = 10, .n_embed = 20, .n_layer = 30, .data_type = DType::kQ4_1};
  ASSERT_TRUE(WriteRwkvBin(dir.File("m.bin"), tensors, header).ok());
  const auto source = OpenTensorSource(dir.File("m.bin"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  testing::ExpectSameTensors(**source, tensors);
  EXPECT_EQ((*source)->metadata().at("rwkv.n_layer"), MetaValue(int64_t{30}));
  EXPECT_EQ((*source)->metadata().at("rwkv.data_type"), MetaValue(std::string("q4_1")));
}

TEST(RwkvBin, RealFilesAreRewrittenByteForByte) {
  TERN_REQUIRE_TEST_DATA(data);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data + "/models")) {
    const std::string path = entry.path().string();
    if (path.find("/tiny-rwkv-") == std::string::npos || !path.ends_with(".bin")) continue;
    SCOPED_TRACE(path);
    ++files;
    const auto opened = OpenTensorSource(path);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const TensorSource& source = **opened;
    const auto number = [&](const char* key) {
      return static_cast<int32_t>(std::get<int64_t>(source.metadata().at(key)));
    };
    const RwkvBinHeader header{
        .n_vocab = number("rwkv.n_vocab"),
        .n_embed = number("rwkv.n_embed"),
        .n_layer = number("rwkv.n_layer"),
        .data_type = *DTypeFromName(std::get<std::string>(source.metadata().at("rwkv.data_type")))};
    EXPECT_EQ(source.Find("emb.weight")->shape, (Shape{header.n_vocab, header.n_embed}));
    const TempDir dir;
    ASSERT_TRUE(WriteRwkvBin(dir.File("again.bin"), testing::Rewritten(source), header).ok());
    std::vector<std::byte> original = testing::ReadBytes(path);
    // Files of version 100 become 101, which differs in quantised blocks alone: these files have none.
    original[4] = std::byte{101};
    EXPECT_TRUE(original == testing::ReadBytes(dir.File("again.bin")));
  }
  EXPECT_GE(files, 14);
}

TEST(RwkvBin, RefusesTypesThatNobodyReadsAnyMore) {
  for (uint32_t type : {4u, 5u, 6u, 10u, 11u, 15u, 16u, 17u, 0xffffffffu}) {
    FileBuilder file = BinHeader();
    PutRecord(&file, "a.weight", type, {256});
    file.Zeros(1024);
    const Status status = ErrorOf(file.bytes(), OpenRwkvBin);
    EXPECT_EQ(status.code(), StatusCode::kUnsupported);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("a.weight"), HasSubstr(std::to_string(type))));
  }
}

TEST(RwkvBin, RefusesQuantisedBlocksOfVersion100) {
  EXPECT_EQ(ErrorOf(BinHeader(100, 7).bytes(), OpenRwkvBin).code(), StatusCode::kUnsupported);
  FileBuilder file = BinHeader(100, 1);
  PutRecord(&file, "a.weight", 9, {32});
  file.Zeros(34);
  const Status status = ErrorOf(file.bytes(), OpenRwkvBin);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("a.weight"), HasSubstr("100")));
}

TEST(RwkvBin, RefusesOtherVersions) {
  EXPECT_EQ(ErrorOf(BinHeader(99).bytes(), OpenRwkvBin).code(), StatusCode::kUnsupported);
  EXPECT_EQ(ErrorOf(BinHeader(102).bytes(), OpenRwkvBin).code(), StatusCode::kUnsupported);
}

TEST(RwkvBin, RefusesBrokenRecords) {
  const auto error_with = [](const std::string& name, uint32_t type, const std::vector<uint32_t>& dims) {
    FileBuilder file = BinHeader();
    PutRecord(&file, name, type, dims);
    file.Zeros(256);
    const Status status = ErrorOf(file.bytes(), OpenRwkvBin);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
    return status.message();
  };
  EXPECT_THAT(error_with("a", 0, {}), HasSubstr("0 dimensions"));
  EXPECT_THAT(error_with("a", 0, {1, 1, 1, 1}), HasSubstr("4 dimensions"));
  EXPECT_THAT(error_with("a", 0, {1u << 20, 1u << 20, 1u << 20}), HasSubstr("cut short"));
  EXPECT_THAT(error_with("a", 0, {0xffffffff, 0xffffffff, 0xffffffff}), HasSubstr("[4294967295"));
  EXPECT_THAT(error_with("a", 2, {33}), HasSubstr("q4_0 of shape [33]"));
  EXPECT_THAT(error_with(std::string("a\0b", 3), 0, {1}), HasSubstr("control characters"));
  EXPECT_THAT(error_with("", 0, {1}), HasSubstr("empty"));
}

TEST(RwkvBin, RefusesTwoTensorsOfOneName) {
  FileBuilder file = BinHeader();
  for (int i = 0; i < 2; ++i) {
    PutRecord(&file, "same", 0, {1});
    file.Zeros(4);
  }
  const Status status = ErrorOf(file.bytes(), OpenRwkvBin);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), HasSubstr("'same'"));
}

TEST(RwkvBin, AFileWithoutTensorsIsEmpty) {
  const auto source = OpenBytes(BinHeader().bytes(), OpenRwkvBin);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_TRUE((*source)->tensors().empty());
}

TEST(RwkvBin, RefusesSizesThatAreNotPositive) {
  FileBuilder file;
  file.Put(kMagic).Put(uint32_t{101}).Put(int32_t{-1}).Put(uint32_t{64}).Put(uint32_t{2}).Put(uint32_t{0});
  const Status status = ErrorOf(file.bytes(), OpenRwkvBin);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("n_vocab"), HasSubstr("-1")));
}

TEST(RwkvBin, SurvivesAttacks) {
  const FileBuilder file = SmallBin();
  testing::AttackReader(file.bytes(), file.bytes().size(), OpenRwkvBin);
}

TEST(RwkvBin, WriterRefusesWhatTheFormatCannotHold) {
  Random random(1);
  const TempDir dir;
  const RwkvBinHeader header{.n_vocab = 1, .n_embed = 1, .n_layer = 1, .data_type = DType::kF32};
  const auto write = [&](DType type, Shape shape) {
    const std::vector<OutputTensor> tensors = {RandomOutput("the.weight", type, std::move(shape), &random)};
    const Status status = WriteRwkvBin(dir.File("m.bin"), tensors, header);
    EXPECT_THAT(status.message(), HasSubstr("the.weight"));
    return status.code();
  };
  EXPECT_EQ(write(DType::kBF16, {2}), StatusCode::kUnsupported);
  EXPECT_EQ(write(DType::kQ4_K, {256}), StatusCode::kUnsupported);
  EXPECT_EQ(write(DType::kI64, {2}), StatusCode::kUnsupported);
  EXPECT_EQ(write(DType::kF32, {}), StatusCode::kUnsupported);
  EXPECT_EQ(write(DType::kF32, {1, 1, 1, 1}), StatusCode::kUnsupported);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace tern
