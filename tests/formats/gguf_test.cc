#include <cmath>
#include <filesystem>
#include <limits>

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

// Numbers of the format for types of metadata.
enum : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

FileBuilder Header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
  FileBuilder file;
  file.Text("GGUF").Put(version).Put(tensors).Put(keys);
  return file;
}

FileBuilder& PutString(FileBuilder* file, std::string_view text) {
  return file->Put(uint64_t{text.size()}).Text(text);
}

FileBuilder& PutKey(FileBuilder* file, std::string_view key, uint32_t type) {
  return PutString(file, key).Put(type);
}

/// Dimensions as in the file: fastest first.
void PutTensor(FileBuilder* file, std::string_view name, const std::vector<int64_t>& dims, uint32_t type,
               uint64_t offset) {
  PutString(file, name).Put(static_cast<uint32_t>(dims.size()));
  for (int64_t dim : dims) file->Put(dim);
  file->Put(type).Put(offset);
}

/// Two tensors of 24 and 34 bytes.
FileBuilder SmallFile(uint32_t version = 3) {
  FileBuilder file = Header(2, 3, version);
  PutString(&PutKey(&file, "general.architecture", kString), "rwkv7");
  PutKey(&file, "rwkv7.block_count", kU32).Put(uint32_t{12});
  PutKey(&file, "tokens", kArray).Put(uint32_t{kString}).Put(uint64_t{2});
  PutString(&file, "a");
  PutString(&file, std::string_view("\xff\0", 2));
  PutTensor(&file, "token_embd.weight", {3, 2}, 0, 0);
  PutTensor(&file, "blk.0.time_mix_lerp_fused.weight", {32, 1, 1}, 8, 32);
  file.PadTo(32).Zeros(32 + 34);
  return file;
}

TEST(Gguf, ReadsTensorsAndMetadataOfVersions2And3) {
  for (uint32_t version : {2u, 3u}) {
    const auto opened = OpenBytes(SmallFile(version).bytes(), OpenGguf);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const TensorSource& source = **opened;
    EXPECT_EQ(source.format(), FileFormat::kGguf);
    ASSERT_EQ(source.tensors().size(), 2u);
    EXPECT_THAT(source.tensors()[0].shape, ElementsAre(2, 3));
    EXPECT_THAT(source.tensors()[1].shape, ElementsAre(1, 1, 32));
    EXPECT_EQ(source.tensors()[1].dtype, DType::kQ8_0);
    EXPECT_EQ(source.tensors()[1].bytes.data(), source.tensors()[0].bytes.data() + 32);
    EXPECT_EQ(source.metadata().at("general.architecture"), MetaValue(std::string("rwkv7")));
    EXPECT_EQ(source.metadata().at("rwkv7.block_count"), MetaValue(uint64_t{12}));
    const std::vector<std::string> tokens = {"a", std::string("\xff\0", 2)};
    EXPECT_EQ(source.metadata().at("tokens"), MetaValue(tokens));
  }
}

TEST(Gguf, ReadsEveryTypeOfMetadata) {
  FileBuilder file = Header(0, 20);
  PutKey(&file, "u8", kU8).Put(uint8_t{200});
  PutKey(&file, "i8", kI8).Put(int8_t{-5});
  PutKey(&file, "u16", kU16).Put(uint16_t{60000});
  PutKey(&file, "i16", kI16).Put(int16_t{-6});
  PutKey(&file, "u32", kU32).Put(uint32_t{4000000000});
  PutKey(&file, "i32", kI32).Put(int32_t{-7});
  PutKey(&file, "f32", kF32).Put(0.5f);
  PutKey(&file, "bool", kBool).Put(uint8_t{1});
  PutKey(&file, "u64", kU64).Put(~uint64_t{0});
  PutKey(&file, "i64", kI64).Put(int64_t{-8});
  PutKey(&file, "f64", kF64).Put(0.1);
  PutKey(&file, "au8", kArray).Put(uint32_t{kU8}).Put(uint64_t{2}).Put(uint8_t{255}).Put(uint8_t{1});
  PutKey(&file, "ai8", kArray).Put(uint32_t{kI8}).Put(uint64_t{1}).Put(int8_t{-1});
  PutKey(&file, "ai16", kArray).Put(uint32_t{kI16}).Put(uint64_t{1}).Put(int16_t{-2});
  PutKey(&file, "au32", kArray).Put(uint32_t{kU32}).Put(uint64_t{1}).Put(~uint32_t{0});
  PutKey(&file, "ai64", kArray).Put(uint32_t{kI64}).Put(uint64_t{1}).Put(int64_t{-3});
  PutKey(&file, "af32", kArray).Put(uint32_t{kF32}).Put(uint64_t{2}).Put(0.5f).Put(-1.0f);
  PutKey(&file, "af64", kArray).Put(uint32_t{kF64}).Put(uint64_t{1}).Put(0.1);
  PutKey(&file, "abool", kArray).Put(uint32_t{kBool}).Put(uint64_t{2}).Put(uint8_t{1}).Put(uint8_t{0});
  PutKey(&file, "empty", kArray).Put(uint32_t{kI32}).Put(uint64_t{0});
  const auto opened = OpenBytes(file.bytes(), OpenGguf);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  using Ints = std::vector<int64_t>;
  using Floats = std::vector<double>;
  const Metadata expected = {
      {"u8", uint64_t{200}},
      {"i8", int64_t{-5}},
      {"u16", uint64_t{60000}},
      {"i16", int64_t{-6}},
      {"u32", uint64_t{4000000000}},
      {"i32", int64_t{-7}},
      {"f32", 0.5},
      {"bool", true},
      {"u64", ~uint64_t{0}},
      {"i64", int64_t{-8}},
      {"f64", 0.1},
      {"au8", Ints{255, 1}},
      {"ai8", Ints{-1}},
      {"ai16", Ints{-2}},
      {"au32", Ints{4294967295}},
      {"ai64", Ints{-3}},
      {"af32", Floats{0.5, -1}},
      {"af64", Floats{0.1}},
      {"abool", Ints{1, 0}},
      {"empty", Ints{}},
  };
  EXPECT_EQ((*opened)->metadata(), expected);
}

TEST(Gguf, WrittenFileReadsBackTheSame) {
  Random random(3);
  std::vector<OutputTensor> tensors;
  for (DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
        DType::kQ5_1, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    tensors.push_back(RandomOutput("blk.0." + std::string(Name(type)), type, {3, 256}, &random));
  }
  tensors.push_back(RandomOutput("blk.0.time_mix_lerp_fused.weight", DType::kF32, {6, 1, 1, 7}, &random));
  tensors.push_back(RandomOutput(std::string(63, 'n'), DType::kF32, {5}, &random));
  const Metadata metadata = {{"general.architecture", std::string("rwkv7")},
                             {"a.first.by.name", true},
                             {"big", ~uint64_t{0}},
                             {"small", uint64_t{7}},
                             {"negative", int64_t{-7}},
                             {"wide", int64_t{1} << 40},
                             {"eps", static_cast<double>(1e-5f)},
                             {"large", 1e300},
                             {"bytes", std::string("\0\xff", 2)},
                             {"ints", std::vector<int64_t>{1, -2}},
                             {"wide ints", std::vector<int64_t>{1, int64_t{1} << 40}},
                             {"floats", std::vector<double>{0.5, -std::numeric_limits<double>::infinity()}},
                             {"strings", std::vector<std::string>{"", "x"}}};
  const TempDir dir;
  ASSERT_TRUE(WriteGguf(dir.File("m.gguf"), tensors, metadata).ok());
  const auto source = OpenTensorSource(dir.File("m.gguf"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  testing::ExpectSameTensors(**source, tensors);
  EXPECT_EQ((*source)->metadata(), metadata);
}

/// The type number that the writer gave to the value of `key`.
uint32_t WrittenType(const std::vector<std::byte>& bytes, const std::string& key) {
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  uint32_t type = 0xffffffff;
  const size_t at = text.find(key);
  if (at != std::string::npos) std::memcpy(&type, bytes.data() + at + key.size(), 4);
  return type;
}

TEST(Gguf, WriterUsesTheTypesThatReadersExpect) {
  const Metadata metadata = {{"general.architecture", std::string("rwkv6")},
                             {"a.bool", true},
                             {"a.u32", uint64_t{7}},
                             {"a.u64", uint64_t{1} << 32},
                             {"a.i32", int64_t{-7}},
                             {"a.i64", int64_t{1} << 31},
                             {"a.f32", 0.1},
                             {"a.f64", -1e39}};
  const TempDir dir;
  ASSERT_TRUE(WriteGguf(dir.File("m.gguf"), {}, metadata).ok());
  const auto bytes = testing::ReadBytes(dir.File("m.gguf"));
  EXPECT_EQ(WrittenType(bytes, "a.bool"), kBool);
  EXPECT_EQ(WrittenType(bytes, "a.u32"), kU32);
  EXPECT_EQ(WrittenType(bytes, "a.u64"), kU64);
  EXPECT_EQ(WrittenType(bytes, "a.i32"), kI32);
  EXPECT_EQ(WrittenType(bytes, "a.i64"), kI64);
  EXPECT_EQ(WrittenType(bytes, "a.f32"), kF32);
  EXPECT_EQ(WrittenType(bytes, "a.f64"), kF64);
  // The architecture stands first, though other keys sort before it.
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(text.find("general.architecture"), 32u);
}

TEST(Gguf, WriterAlignsTo32WhateverTheMetadataSays) {
  Random random(4);
  const std::vector<OutputTensor> tensors = {RandomOutput("a", DType::kF32, {1}, &random),
                                             RandomOutput("b", DType::kF32, {1}, &random)};
  const TempDir dir;
  ASSERT_TRUE(WriteGguf(dir.File("m.gguf"), tensors, {{"general.alignment", uint64_t{4096}}}).ok());
  const auto source = OpenTensorSource(dir.File("m.gguf"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  testing::ExpectSameTensors(**source, tensors);
  EXPECT_TRUE((*source)->metadata().empty());
  EXPECT_EQ((*source)->tensors()[1].bytes.data(), (*source)->tensors()[0].bytes.data() + 32);
  EXPECT_EQ(testing::ReadBytes(dir.File("m.gguf")).size() % 32, 0u);
}

TEST(Gguf, ObeysTheAlignmentKey) {
  FileBuilder file = Header(1, 1);
  PutKey(&file, "general.alignment", kU32).Put(uint32_t{256});
  PutTensor(&file, "a", {1}, 0, 0);
  ASSERT_LT(file.bytes().size(), 256u - 32u);
  file.PadTo(256).Put(1.5f);
  const auto source = OpenBytes(file.bytes(), OpenGguf);
  ASSERT_TRUE(source.ok()) << source.status().message();
  float value;
  std::memcpy(&value, (*source)->tensors()[0].bytes.data(), 4);
  EXPECT_EQ(value, 1.5f);
}

TEST(Gguf, RefusesAlignmentsThatAreNoPowersOfTwo) {
  for (uint64_t alignment : {uint64_t{0}, uint64_t{24}, ~uint64_t{0}}) {
    FileBuilder file = Header(0, 1);
    PutKey(&file, "general.alignment", kU64).Put(alignment);
    const Status status = ErrorOf(file.bytes(), OpenGguf);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("power of two"));
  }
  FileBuilder text = Header(0, 1);
  PutString(&PutKey(&text, "general.alignment", kString), "32");
  EXPECT_EQ(ErrorOf(text.bytes(), OpenGguf).code(), StatusCode::kCorrupt);
  FileBuilder huge = Header(1, 1);
  PutKey(&huge, "general.alignment", kU64).Put(uint64_t{1} << 63);
  PutTensor(&huge, "a", {1}, 0, 0);
  huge.Zeros(64);
  EXPECT_EQ(ErrorOf(huge.bytes(), OpenGguf).code(), StatusCode::kCorrupt);
}

TEST(Gguf, RefusesBigEndianAndOtherVersions) {
  const Status big_endian = ErrorOf(Header(0, 0, 0x03000000).bytes(), OpenGguf);
  EXPECT_EQ(big_endian.code(), StatusCode::kUnsupported);
  EXPECT_THAT(big_endian.message(), HasSubstr("big-endian"));
  for (uint32_t version : {0u, 1u, 4u}) {
    EXPECT_EQ(ErrorOf(Header(0, 0, version).bytes(), OpenGguf).code(), StatusCode::kUnsupported) << version;
  }
}

TEST(Gguf, NamesTheTensorOfAnUnknownType) {
  for (uint32_t type : {4u, 9u, 15u, 16u, 24u, 31u, 1000u}) {
    FileBuilder file = Header(1, 0);
    PutTensor(&file, "odd.weight", {256}, type, 0);
    file.PadTo(32).Zeros(4096);
    const Status status = ErrorOf(file.bytes(), OpenGguf);
    EXPECT_EQ(status.code(), StatusCode::kUnsupported);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("odd.weight"), HasSubstr(std::to_string(type))));
  }
}

/// The error of a file with tensors at (dims, type, offset), followed by 256 bytes of data.
struct Placed {
  std::string name;
  std::vector<int64_t> dims;
  uint32_t type;
  uint64_t offset;
};
std::string CorruptPlacement(const std::vector<Placed>& tensors) {
  FileBuilder file = Header(tensors.size(), 0);
  for (const Placed& t : tensors) PutTensor(&file, t.name, t.dims, t.type, t.offset);
  file.PadTo(32).Zeros(256);
  const Status status = ErrorOf(file.bytes(), OpenGguf);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
  return status.message();
}

TEST(Gguf, RefusesTensorsThatAreNotWhereTheyShouldBe) {
  EXPECT_THAT(CorruptPlacement({{"a", {1}, 0, 4}}), AllOf(HasSubstr("'a'"), HasSubstr("multiple of 32")));
  EXPECT_THAT(CorruptPlacement({{"a", {65}, 0, 0}}), HasSubstr("cut short"));
  EXPECT_THAT(CorruptPlacement({{"a", {1}, 0, 256}}), HasSubstr("cut short"));
  EXPECT_THAT(CorruptPlacement({{"a", {1}, 0, ~uint64_t{31}}}), HasSubstr("cut short"));
  EXPECT_THAT(CorruptPlacement({{"a", {16}, 0, 0}, {"b", {8}, 0, 32}}),
              AllOf(HasSubstr("'a'"), HasSubstr("'b'"), HasSubstr("share bytes")));
  EXPECT_THAT(CorruptPlacement({{"a", {8}, 0, 0}, {"a", {8}, 0, 32}}), HasSubstr("'a'"));
}

TEST(Gguf, RefusesImpossibleShapes) {
  const int64_t huge = int64_t{1} << 60;
  EXPECT_THAT(CorruptPlacement({{"a", {huge}, 0, 0}}), HasSubstr("'a'"));
  EXPECT_THAT(CorruptPlacement({{"a", {huge, huge}, 0, 0}}), HasSubstr("'a'"));
  EXPECT_THAT(CorruptPlacement({{"a", {-1}, 0, 0}}), HasSubstr("[-1]"));
  EXPECT_THAT(CorruptPlacement({{"a", {33}, 8, 0}}), HasSubstr("q8_0 of shape [33]"));
  EXPECT_THAT(CorruptPlacement({{"a", {}, 8, 0}}), HasSubstr("q8_0 of shape []"));
  EXPECT_THAT(CorruptPlacement({{"a", {1, 1, 1, 1, 1}, 0, 0}}), HasSubstr("5 dimensions"));
  EXPECT_THAT(CorruptPlacement({{std::string("a\0b", 3), {1}, 0, 0}}), HasSubstr("control characters"));
  EXPECT_THAT(CorruptPlacement({{"", {1}, 0, 0}}), HasSubstr("empty"));
}

TEST(Gguf, RefusesCountsThatTheFileCannotHold) {
  const uint64_t huge = uint64_t{1} << 60;
  EXPECT_EQ(ErrorOf(Header(huge, 0).bytes(), OpenGguf).code(), StatusCode::kCorrupt);
  EXPECT_EQ(ErrorOf(Header(0, huge).bytes(), OpenGguf).code(), StatusCode::kCorrupt);
  for (uint32_t type : {kU8, kI32, kBool, kString, kF64}) {
    FileBuilder file = Header(0, 1);
    PutKey(&file, "list", kArray).Put(type).Put(huge).Zeros(64);
    const Status status = ErrorOf(file.bytes(), OpenGguf);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("'list'"));
  }
}

TEST(Gguf, RefusesBadMetadata) {
  FileBuilder nested = Header(0, 1);
  PutKey(&nested, "nested", kArray).Put(uint32_t{kArray}).Put(uint64_t{1}).Zeros(64);
  EXPECT_EQ(ErrorOf(nested.bytes(), OpenGguf).code(), StatusCode::kUnsupported);
  FileBuilder unknown = Header(0, 1);
  PutKey(&unknown, "unknown", 13).Zeros(64);
  EXPECT_THAT(ErrorOf(unknown.bytes(), OpenGguf).message(), AllOf(HasSubstr("'unknown'"), HasSubstr("13")));
  FileBuilder twice = Header(0, 2);
  for (int i = 0; i < 2; ++i) PutKey(&twice, "twice", kU32).Put(uint32_t{1});
  EXPECT_THAT(ErrorOf(twice.bytes(), OpenGguf).message(), HasSubstr("'twice'"));
  FileBuilder too_wide = Header(0, 1);
  PutKey(&too_wide, "wide", kArray).Put(uint32_t{kU64}).Put(uint64_t{1}).Put(~uint64_t{0});
  EXPECT_EQ(ErrorOf(too_wide.bytes(), OpenGguf).code(), StatusCode::kUnsupported);
}

TEST(Gguf, AFileWithoutTensorsIsEmpty) {
  const auto source = OpenBytes(Header(0, 0).bytes(), OpenGguf);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_TRUE((*source)->tensors().empty());
  EXPECT_TRUE((*source)->metadata().empty());
}

TEST(Gguf, SurvivesAttacks) {
  const FileBuilder file = SmallFile();
  testing::AttackReader(file.bytes(), file.bytes().size() - 66, OpenGguf);
}

TEST(Gguf, WriterRefusesWhatTheFormatCannotHold) {
  Random random(5);
  const TempDir dir;
  const auto write = [&](const std::string& name, DType type, Shape shape) {
    const std::vector<OutputTensor> tensors = {RandomOutput(name, type, std::move(shape), &random)};
    const Status status = WriteGguf(dir.File("m.gguf"), tensors, {});
    EXPECT_THAT(status.message(), HasSubstr(name));
    return status.code();
  };
  EXPECT_EQ(write("the.weight", DType::kI64, {2}), StatusCode::kUnsupported);
  EXPECT_EQ(write("the.weight", DType::kBool, {2}), StatusCode::kUnsupported);
  EXPECT_EQ(write("the.weight", DType::kF32, {1, 1, 1, 1, 1}), StatusCode::kUnsupported);
  EXPECT_EQ(write(std::string(64, 'n'), DType::kF32, {1}), StatusCode::kUnsupported);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace tern
