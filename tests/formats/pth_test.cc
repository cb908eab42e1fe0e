#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/bytes.h"
#include "base/random.h"
#include "formats/pth_dict.h"
#include "formats/tensor_source.h"
#include "formats/zip_archive.h"
#include "formats/zip_layout.h"
#include "tests/formats/container_testing.h"
#include "tests/formats/pickle_assembler.h"
#include "tests/formats/plain_objects_pickles.h"
#include "tests/testing/corruption.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using namespace pickle_op;  // NOLINT: the opcodes' own names
using testing::AsBytes;
using ::testing::HasSubstr;
using testing::PickleAssembler;
using testing::TempDir;
using Bytes = std::vector<std::byte>;

Bytes ToBytes(std::string_view text) {
  const auto bytes = AsBytes(text);
  return {bytes.begin(), bytes.end()};
}

template <typename T>
std::string Values(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), values.begin(), out.size());
  return out;
}

std::vector<float> Floats(std::span<const std::byte> bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(float));
  return out;
}

/// One entry of an archive to be written.
using Entry = std::pair<std::string, std::string>;

Bytes Zip(const std::vector<Entry>& entries, uint64_t zip64_from = ZipWriter::kZip64From) {
  const TempDir dir;
  const std::string path = dir.File("x.zip");
  auto file = AtomicFile::Create(path);
  EXPECT_TRUE(file.ok());
  ZipWriter zip(file->get(), zip64_from);
  for (const auto& [name, content] : entries) EXPECT_TRUE(zip.Add(name, AsBytes(content)).ok());
  EXPECT_TRUE(zip.Finish().ok());
  EXPECT_TRUE((*file)->Commit().ok());
  return testing::ReadBytes(path);
}

Result<std::shared_ptr<const TensorSource>> Open(const Bytes& bytes) {
  return testing::OpenBytes(bytes,
                            [](std::shared_ptr<const MappedFile> file) { return OpenPth(std::move(file)); });
}

void ExpectError(const Bytes& bytes, StatusCode code, const std::string& part) {
  const auto source = Open(bytes);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), code) << source.status().message();
  EXPECT_THAT(source.status().message(), HasSubstr(part));
  EXPECT_THAT(source.status().message(), HasSubstr("'/proc/self/fd/"));
}

/// A dict that holds what `fill` appends: keys and values in turn.
template <typename Fill>
std::string Dict(Fill fill) {
  PickleAssembler p;
  p.Proto().Op(kEmptyDict).Op(kMark);
  fill(p);
  return p.Op(kSetItems).Stop();
}

/// A file with one float tensor "w" over six floats 0…5.
Bytes OneTensor(int64_t numel, int64_t offset, std::initializer_list<int64_t> shape,
                std::initializer_list<int64_t> strides) {
  const std::string program = Dict(
      [&](PickleAssembler& p) { p.Text("w").Tensor("FloatStorage", "0", numel, offset, shape, strides); });
  return Zip({{"m/data.pkl", program}, {"m/data/0", Values<float>({0, 1, 2, 3, 4, 5})}});
}

std::vector<float> ReadOne(const Bytes& bytes) {
  const auto source = Open(bytes);
  EXPECT_TRUE(source.ok()) << source.status().message();
  if (!source.ok() || (*source)->Find("w") == nullptr) return {};
  return Floats((*source)->Find("w")->bytes);
}

struct Sample {
  DType dtype;
  Shape shape;
};

/// Random tensors of every type that a .pth holds, with the bytes they are made of.
std::vector<OutputTensor> RandomTensors(uint64_t seed, std::vector<Bytes>* contents) {
  Random random(seed);
  const Sample samples[] = {{DType::kF32, {3, 5}},  {DType::kF16, {7}}, {DType::kBF16, {2, 1, 4}},
                            {DType::kF64, {2, 2}},  {DType::kI64, {3}}, {DType::kI32, {300}},
                            {DType::kI16, {1, 1}},  {DType::kI8, {5}},  {DType::kU8, {70000}},
                            {DType::kBool, {4, 2}}, {DType::kF32, {}},  {DType::kF16, {0, 6}}};
  std::vector<OutputTensor> tensors;
  contents->clear();
  for (const Sample& s : samples) {
    Bytes content(*NumBytes(s.dtype, s.shape));
    for (std::byte& b : content) b = static_cast<std::byte>(random.Below(s.dtype == DType::kBool ? 2 : 256));
    const auto name = fmt::format("blocks.{}.w\xc3\xa9", tensors.size());
    tensors.push_back({name, s.dtype, s.shape, [content]() -> Result<TensorBytes> {
                         return TensorBytes{{}, content};
                       }});
    contents->push_back(std::move(content));
  }
  return tensors;
}

TEST(Pth, ReadsWhatItWrites) {
  const uint64_t seed = 7;
  SCOPED_TRACE(seed);
  std::vector<Bytes> contents;
  const auto tensors = RandomTensors(seed, &contents);
  const TempDir dir;
  const std::string path = dir.File("out.pth");
  std::vector<size_t> reported;
  const Status written = WritePth(path, tensors, [&](size_t done, size_t total) {
    EXPECT_EQ(total, tensors.size());
    reported.push_back(done);
    return true;
  });
  ASSERT_TRUE(written.ok()) << written.message();
  std::vector<size_t> expected(tensors.size());
  std::iota(expected.begin(), expected.end(), size_t{1});
  EXPECT_EQ(reported, expected);

  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  const auto source = OpenPth(*file);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ((*source)->format(), FileFormat::kPth);
  EXPECT_EQ((*source)->path(), path);
  ASSERT_EQ((*source)->tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& tensor = (*source)->tensors()[i];
    SCOPED_TRACE(tensor.name);
    EXPECT_EQ(tensor.name, tensors[i].name);
    EXPECT_EQ(tensor.dtype, tensors[i].dtype);
    EXPECT_EQ(tensor.shape, tensors[i].shape);
    EXPECT_EQ(Bytes(tensor.bytes.begin(), tensor.bytes.end()), contents[i]);
    if (!tensor.bytes.empty()) {
      EXPECT_EQ((tensor.bytes.data() - (*file)->bytes().data()) % 64, 0)
          << "a view into the map, aligned as torch does";
    }
  }
}

TEST(Pth, WritesTheSameFileForTheSameTensors) {
  std::vector<Bytes> contents;
  const TempDir dir;
  ASSERT_TRUE(WritePth(dir.File("a"), RandomTensors(1, &contents)).ok());
  ASSERT_TRUE(WritePth(dir.File("b"), RandomTensors(1, &contents)).ok());
  EXPECT_EQ(testing::ReadBytes(dir.File("a")), testing::ReadBytes(dir.File("b")));
}

TEST(Pth, WriterRefusesWhatItCannotWriteAndLeavesNothing) {
  const TempDir dir;
  const std::string path = dir.File("out.pth");
  const auto four = []() -> Result<TensorBytes> { return TensorBytes{{}, Bytes(4)}; };
  const auto fails = []() -> Result<TensorBytes> { return IoError("gone"); };
  const OutputTensor good{"good", DType::kF32, {1}, four};
  const auto write = [&path](std::vector<OutputTensor> tensors, const WriteProgress& progress = {}) {
    return WritePth(path, tensors, progress);
  };
  const Status quantised = write({good, {"q", DType::kQ8_0, {32}, four}});
  EXPECT_EQ(quantised.code(), StatusCode::kUnsupported);
  EXPECT_THAT(quantised.message(), HasSubstr("'q' is q8_0"));
  EXPECT_EQ(write({good, good}).code(), StatusCode::kInvalidArgument);
  const Status wrong_size = write({good, {"w", DType::kF32, {2}, four}});
  EXPECT_EQ(wrong_size.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(wrong_size.message(), HasSubstr("'w'"));
  EXPECT_EQ(write({{"w", DType::kF32, {-1}, four}}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(write({good, {"w", DType::kF32, {1}, fails}}).code(), StatusCode::kIo);
  EXPECT_EQ(write({good}, [](size_t, size_t) { return false; }).code(), StatusCode::kCancelled);
  EXPECT_EQ(MappedFile::Open(path).status().code(), StatusCode::kNotFound);
}

TEST(Pth, ReadsAndWritesTheFieldsOfZip64) {
  const std::string program = Dict([](PickleAssembler& p) {
    p.Text("w").Tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1});
  });
  // From 1 on: every size and offset but the first entry's stands in zip64's fields.
  for (const uint64_t threshold : {uint64_t{1}, uint64_t{20}, uint64_t{100}, uint64_t{300}}) {
    SCOPED_TRACE(threshold);
    const Bytes bytes = Zip({{"archive/data.pkl", program},
                             {"archive/data/0", Values<float>({0, 1, 2, 3, 4, 5})},
                             {"archive/byteorder", "little"}},
                            threshold);
    EXPECT_EQ(ReadOne(bytes), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  }
}

TEST(Pth, MakesStridedViewsContiguous) {
  EXPECT_EQ(ReadOne(OneTensor(6, 0, {3, 2}, {1, 3})), (std::vector<float>{0, 3, 1, 4, 2, 5})) << "transposed";
  EXPECT_EQ(ReadOne(OneTensor(6, 1, {2, 2}, {3, 1})), (std::vector<float>{1, 2, 4, 5})) << "columns cut off";
  EXPECT_EQ(ReadOne(OneTensor(6, 4, {3}, {0})), (std::vector<float>{4, 4, 4})) << "expanded";
  EXPECT_EQ(ReadOne(OneTensor(6, 2, {1, 3}, {INT64_MAX, 1})), (std::vector<float>{2, 3, 4}))
      << "a stride never used";
  EXPECT_EQ(ReadOne(OneTensor(6, 0, {2, 1}, {3, INT64_MAX})), (std::vector<float>{0, 3}))
      << "the same, copied";
  EXPECT_EQ(ReadOne(OneTensor(6, 5, {}, {})), (std::vector<float>{5})) << "a scalar";
  EXPECT_EQ(ReadOne(OneTensor(6, 6, {0, 4}, {4, 1})), (std::vector<float>{})) << "nothing, at the end";
}

TEST(Pth, RefusesViewsBeyondTheirStorage) {
  for (const Bytes& bytes :
       {OneTensor(6, 0, {7}, {1}), OneTensor(6, 1, {2, 3}, {3, 1}), OneTensor(6, -1, {1}, {1}),
        OneTensor(6, 7, {0}, {1}), OneTensor(6, 0, {2}, {-1}), OneTensor(6, 0, {2}, {INT64_MAX}),
        OneTensor(6, INT64_MAX, {2}, {1}), OneTensor(6, 0, {INT64_MAX}, {INT64_MAX})}) {
    ExpectError(bytes, StatusCode::kCorrupt, "tensor 'w'");
  }
  ExpectError(OneTensor(6, 0, {-2, -3}, {3, 1}), StatusCode::kCorrupt, "not possible");
  ExpectError(OneTensor(6, 0, {INT64_MAX, 4}, {0, 0}), StatusCode::kCorrupt, "not possible");
  ExpectError(OneTensor(6, 0, {2, 3}, {3}), StatusCode::kCorrupt, "2 dimensions and 1 strides");
  ExpectError(OneTensor(6, 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}), StatusCode::kCorrupt,
              "at most 8 integers");
  ExpectError(OneTensor(7, 0, {2, 3}, {3, 1}), StatusCode::kCorrupt, "7 elements of f32");
  ExpectError(OneTensor(int64_t{1} << 62, 0, {2, 3}, {3, 1}), StatusCode::kCorrupt, "storage '0'");
}

TEST(Pth, CopiesNoMoreThanTheFileHolds) {
  ExpectError(OneTensor(6, 0, {int64_t{1} << 40}, {0}), StatusCode::kUnsupported, "larger than the file");
  // Each copy alone would do; all of them together are too much.
  const std::string program = Dict([](PickleAssembler& p) {
    for (int i = 0; i < 40; ++i) p.Text(fmt::format("w{}", i)).Tensor("FloatStorage", "0", 6, 0, {1000}, {0});
  });
  ExpectError(Zip({{"m/data.pkl", program}, {"m/data/0", Values<float>({0, 1, 2, 3, 4, 5})}}),
              StatusCode::kUnsupported, "larger than the file");
}

TEST(Pth, SharesStoragesAndPassesOverWhatIsNoTensor) {
  const std::string program = Dict([](PickleAssembler& p) {
    p.Text("step")
        .Int(3)
        .Text("emb")
        .Tensor("HalfStorage", "k", 3, 0, {3}, {1})
        .Text("name")
        .Text("x")
        .Int(5)
        .Op(kNone);
    p.Text("head").Tensor("HalfStorage", "k", 3, 1, {2}, {1}).Text("sizes").Ints({1, 2});
  });
  const auto source = Open(Zip({{"any name/data.pkl", program}, {"any name/data/k", "aabbcc"}}));
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_EQ((*source)->tensors().size(), 2u);
  EXPECT_EQ((*source)->tensors()[0].name, "emb");
  EXPECT_EQ((*source)->tensors()[1].name, "head");
  EXPECT_EQ((*source)->tensors()[1].bytes.data(), (*source)->tensors()[0].bytes.data() + 2);
}

TEST(Pth, LooksIntoNestedDicts) {
  const Entry data{"m/data/0", Values<float>({1})};
  const auto inner = [](PickleAssembler& p, std::string_view key) {
    p.Text(key).Op(kEmptyDict).Text("w").Tensor("FloatStorage", "0", 1, 0, {1}, {1}).Op(kSetItem);
  };
  const auto named = Dict([&](PickleAssembler& p) {
    p.Text("optimizer").Op(kEmptyDict);
    inner(p, "model");
  });
  EXPECT_EQ(ReadOne(Zip({{"m/data.pkl", named}, data})), std::vector<float>{1});
  const auto only = Dict([&](PickleAssembler& p) { inner(p, "weights"); });
  EXPECT_EQ(ReadOne(Zip({{"m/data.pkl", only}, data})), std::vector<float>{1});
  const auto both = Dict([&](PickleAssembler& p) {
    inner(p, "model");
    p.Text("top").Tensor("FloatStorage", "0", 1, 0, {1}, {1});
  });
  const auto source = Open(Zip({{"m/data.pkl", both}, data}));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->tensors().size(), 1u)
      << "a tensor beside a dict called model is a step count or the like";
  EXPECT_NE((*source)->Find("w"), nullptr);
  const auto unclear = Dict([&](PickleAssembler& p) {
    inner(p, "a");
    inner(p, "b");
  });
  ExpectError(Zip({{"m/data.pkl", unclear}, data}), StatusCode::kUnsupported, "several dicts");
  // A dict that holds itself: {"model": <the same dict>}.
  PickleAssembler self = PickleAssembler().Proto().Op(kEmptyDict).Op(kBinPut, uint8_t{0}).Text("model");
  ExpectError(Zip({{"m/data.pkl", self.Op(kBinGet, uint8_t{0}).Op(kSetItem).Stop()}}),
              StatusCode::kUnsupported, "no tensors by name");
}

TEST(Pth, ReadsTensorsBesidePlainObjectsOfEveryProtocol) {
  const Entry data{"m/data/0", Values<float>({0, 1, 2, 3, 4, 5})};
  for (const std::string_view program :
       {testing::kPlainObjects0, testing::kPlainObjects2, testing::kPlainObjects3, testing::kPlainObjects5}) {
    EXPECT_EQ(ReadOne(Zip({{"m/data.pkl", std::string(program)}, data})),
              (std::vector<float>{0, 1, 2, 3, 4, 5}));
  }
}

TEST(Pth, SurvivesDamageToPlainObjects) {
  const uint64_t seed = 20240817;
  SCOPED_TRACE(seed);
  for (const std::string_view program : {testing::kPlainObjects0, testing::kPlainObjects5}) {
    const Bytes good = ToBytes(program);
    const auto parse = [](const Bytes& bad) {
      if (const auto pickle = Pickle::Load(bad); pickle.ok()) (void)FindTensorDict(*pickle);
    };
    testing::AttackByTruncation(good, parse);
    testing::AttackByFlips(good, good.size(), 2000, seed, parse);
  }
}

TEST(Pth, NamesObjectsThatStandForTheModel) {
  const auto object = [](PickleAssembler& p) { p.Global("my.model", "RWKV").Op(kEmptyTuple).Op(kReduce); };
  const auto whole = Dict([&](PickleAssembler& p) { object(p.Text("model")); });
  ExpectError(Zip({{"m/data.pkl", whole}}), StatusCode::kUnsupported,
              "its 'model' is an object of 'my.model.RWKV'");
  PickleAssembler root = PickleAssembler().Proto();
  object(root);
  ExpectError(Zip({{"m/data.pkl", root.Stop()}}), StatusCode::kUnsupported, "an object of 'my.model.RWKV'");
}

TEST(Pth, TellsOpaqueValuesByName) {
  const auto program = Dict([](PickleAssembler& p) {
    p.Text("w").Tensor("FloatStorage", "0", 1, 0, {1}, {1});
    p.Text("array").Global("numpy", "array").Op(kEmptyTuple).Op(kReduce);
  });
  const auto source = Open(Zip({{"m/data.pkl", program}, {"m/data/0", Values<float>({1})}}));
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ((*source)->opaque(), (std::map<std::string, std::string>{{"array", "numpy.array"}}));
}

TEST(Pth, RefusesPicklesThatRunCode) {
  const std::string evil =
      PickleAssembler().Proto().Global("os", "system").Text("true").Op(kTuple1).Op(kReduce).Stop();
  ExpectError(Zip({{"m/data.pkl", evil}}), StatusCode::kUnsupported, "'os.system'");
}

TEST(Pth, RefusesDamagedDictsOfTensors) {
  const auto tensor = [](PickleAssembler& p) { p.Tensor("FloatStorage", "0", 1, 0, {1}, {1}); };
  const Entry data{"m/data/0", Values<float>({1})};
  const auto twice = Dict([&](PickleAssembler& p) {
    tensor(p.Text("w"));
    tensor(p.Text("w"));
  });
  ExpectError(Zip({{"m/data.pkl", twice}, data}), StatusCode::kCorrupt, "two tensors are named 'w'");
  const auto numbered = Dict([&](PickleAssembler& p) { tensor(p.Int(1)); });
  ExpectError(Zip({{"m/data.pkl", numbered}, data}), StatusCode::kUnsupported, "no tensors by name");
  const auto lost = Dict([&](PickleAssembler& p) { tensor(p.Text("w")); });
  ExpectError(Zip({{"m/data.pkl", lost}}), StatusCode::kCorrupt, "no entry 'm/data/0'");
  ExpectError(Zip({{"m/data.pkl", PickleAssembler().Proto().Op(kEmptyList).Stop()}}),
              StatusCode::kUnsupported, "no tensors by name");
  ExpectError(Zip({{"m/data.pkl", PickleAssembler().Proto().Op(kEmptyDict).Stop()}}),
              StatusCode::kUnsupported, "no tensors");
}

TEST(Pth, SaysWhatAForeignFileIs) {
  ExpectError(
      ToBytes(std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02", 17)),
      StatusCode::kCorrupt, "version");
  ExpectError(ToBytes(PickleAssembler().Proto(4).Op(kEmptyDict).Stop()), StatusCode::kUnsupported,
              "bare Python pickle");
  ExpectError(ToBytes("hello"), StatusCode::kCorrupt, "not a zip archive");
  ExpectError(ToBytes("P"), StatusCode::kCorrupt, "not a zip archive");
  ExpectError(Zip({}), StatusCode::kCorrupt, "no NAME/data.pkl");
  ExpectError(Zip({{"readme.txt", "x"}}), StatusCode::kCorrupt, "no NAME/data.pkl");
  ExpectError(Zip({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}), StatusCode::kCorrupt, "more than one");
  ExpectError(Zip({{"m/data.pkl", "x"}, {"m/constants.pkl", "x"}}), StatusCode::kUnsupported, "TorchScript");
  ExpectError(Zip({{"m/data.pkl", "x"}, {"m/byteorder", "big"}}), StatusCode::kUnsupported, "big-endian");
  ExpectError(Zip({{"m/data.pkl", "x"}, {"m/byteorder", "odd"}}), StatusCode::kCorrupt, "byteorder");
}

// --- the archive itself
// ---------------------------------------------------------------------------------------------

/// Offset of the nth place where `signature` stands.
size_t FindSignature(const Bytes& bytes, uint32_t signature, int nth = 0) {
  for (size_t i = 0; i + 4 <= bytes.size(); ++i) {
    if (LoadUnaligned<uint32_t>(&bytes[i]) == signature && nth-- == 0) return i;
  }
  ADD_FAILURE() << "no such signature";
  return 0;
}

template <typename T>
void Overwrite(Bytes* bytes, size_t at, T value) {
  ASSERT_LE(at + sizeof(T), bytes->size());
  std::memcpy(bytes->data() + at, &value, sizeof(T));
}

void ExpectZipError(const Bytes& bytes, StatusCode code, const std::string& part) {
  const auto zip = ZipArchive::Open(bytes);
  ASSERT_FALSE(zip.ok());
  EXPECT_EQ(zip.status().code(), code) << zip.status().message();
  EXPECT_THAT(zip.status().message(), HasSubstr(part));
}

class ZipDamage : public ::testing::Test {
 protected:
  Bytes bytes_ = Zip({{"m/a", "first"}, {"m/b", "second"}});
  size_t directory_ = FindSignature(bytes_, zip::kDirectorySignature);
  size_t second_ = FindSignature(bytes_, zip::kDirectorySignature, 1);
  size_t end_ = FindSignature(bytes_, zip::kEndRecordSignature);
};

TEST_F(ZipDamage, NoneIsRead) {
  const auto zip = ZipArchive::Open(bytes_);
  ASSERT_TRUE(zip.ok()) << zip.status().message();
  EXPECT_EQ(zip->entries().size(), 2u);
  EXPECT_EQ(zip->Find("m/c"), nullptr);
  const auto second = zip->Read("m/b");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(Bytes(second->begin(), second->end()), ToBytes("second"));
}

/// Where a text stands in an archive.
size_t FindText(const Bytes& bytes, std::string_view text) {
  const auto wanted = AsBytes(text);
  const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
  EXPECT_NE(at, bytes.end());
  return static_cast<size_t>(at - bytes.begin());
}

void ExpectDamaged(const Bytes& bytes, const std::string& entry) {
  const auto zip = ZipArchive::Open(bytes);  // which does not look at contents
  ASSERT_TRUE(zip.ok()) << zip.status().message();
  const Status checked = CheckContents(zip->entries());
  EXPECT_EQ(checked.code(), StatusCode::kCorrupt);
  EXPECT_THAT(checked.message(), HasSubstr("'" + entry + "' has the checksum"));
}

TEST_F(ZipDamage, OfContentsShowsInTheirChecksums) {
  const auto zip = ZipArchive::Open(bytes_);
  ASSERT_TRUE(zip.ok());
  EXPECT_TRUE(CheckContents(zip->entries()).ok()) << CheckContents(zip->entries()).message();
  bytes_[FindText(bytes_, "second")] ^= std::byte{1};
  ExpectDamaged(bytes_, "m/b");
}

TEST(ZipChecksum, OfLargeEntriesIsThatOfTheirPieces) {
  // A little more than two pieces, nothing at all, and one byte.
  Bytes bytes =
      Zip({{"m/large", std::string((size_t{32} << 20) + 5, 'x') + "END"}, {"m/empty", ""}, {"m/small", "s"}});
  const auto zip = ZipArchive::Open(bytes);
  ASSERT_TRUE(zip.ok());
  EXPECT_TRUE(CheckContents(zip->entries()).ok()) << CheckContents(zip->entries()).message();
  bytes[FindText(bytes, "END")] ^= std::byte{0x80};
  ExpectDamaged(bytes, "m/large");
}

TEST(ZipChecksum, IsThatOfZip) {
  EXPECT_EQ(Crc32(AsBytes("123456789")), 0xcbf43926u);  // the published check value
  EXPECT_EQ(Crc32({}), 0u);
}

TEST_F(ZipDamage, DuplicateNames) {
  ExpectZipError(Zip({{"m/a", "x"}, {"m/a", "y"}}), StatusCode::kCorrupt, "two entries named 'm/a'");
}

TEST_F(ZipDamage, OverlappingEntries) {
  // The second directory record points at the first entry, whose header carries another name.
  Overwrite(&bytes_, second_ + 42, uint32_t{0});
  ExpectZipError(bytes_, StatusCode::kCorrupt, "'m/b' contradicts its own header");
  // The first entry grows, in both places, over the second.
  Bytes grown = Zip({{"m/a", "first"}, {"m/b", "second"}});
  for (const size_t at : {size_t{18}, size_t{22}, directory_ + 20, directory_ + 24})
    Overwrite(&grown, at, uint32_t{60});
  ExpectZipError(grown, StatusCode::kCorrupt, "'m/a' and 'm/b' overlap");
}

TEST_F(ZipDamage, EntriesBeyondTheFile) {
  for (const size_t at : {size_t{18}, size_t{22}, directory_ + 20, directory_ + 24}) {
    Overwrite(&bytes_, at, uint32_t{0x7fffffff});
  }
  ExpectZipError(bytes_, StatusCode::kCorrupt, "'m/a' claims 2147483647 bytes");
}

TEST_F(ZipDamage, EntriesThatClaimAnExbibyte) {
  Bytes bytes = Zip({{"m/a", "first"}}, /*zip64_from=*/1);
  const uint64_t huge = uint64_t{1} << 60;
  const size_t local_extra = zip::kLocalHeaderBytes + 3 + 4;
  const size_t extra = FindSignature(bytes, zip::kDirectorySignature) + zip::kDirectoryEntryBytes + 3 + 4;
  for (const size_t at : {local_extra, local_extra + 8, extra, extra + 8}) {
    ASSERT_EQ(LoadUnaligned<uint64_t>(&bytes[at]), 5u);
    Overwrite(&bytes, at, huge);
  }
  ExpectZipError(bytes, StatusCode::kCorrupt, "claims 1152921504606846976 bytes");
}

TEST_F(ZipDamage, HeadersThatDisagree) {
  Bytes size = bytes_, method = bytes_, name = bytes_, crc = bytes_;
  Overwrite(&size, 22, uint32_t{4});
  ExpectZipError(size, StatusCode::kCorrupt, "contradicts");
  Overwrite(&method, 8, uint16_t{8});
  ExpectZipError(method, StatusCode::kCorrupt, "contradicts");
  Overwrite(&name, 30, uint8_t{'x'});
  ExpectZipError(name, StatusCode::kCorrupt, "contradicts");
  Overwrite(&crc, 14, uint32_t{1});
  ExpectZipError(crc, StatusCode::kCorrupt, "contradicts");
}

TEST_F(ZipDamage, OffsetsOutOfRange) {
  Bytes entry = bytes_, directory = bytes_, count = bytes_;
  Overwrite(&entry, directory_ + 42, uint32_t{0x7fffffff});
  ExpectZipError(entry, StatusCode::kCorrupt, "no header at offset 2147483647");
  Overwrite(&directory, end_ + 16, uint32_t{0x7fffffff});
  ExpectZipError(directory, StatusCode::kCorrupt, "outside the file");
  Overwrite(&count, end_ + 8, uint16_t{60000});
  Overwrite(&count, end_ + 10, uint16_t{60000});
  ExpectZipError(count, StatusCode::kCorrupt, "60000 entries");
}

TEST_F(ZipDamage, WrongZip64Locator) {
  Bytes bytes = Zip({{"m/a", "first"}}, /*zip64_from=*/1);
  Overwrite(&bytes, FindSignature(bytes, zip::kZip64LocatorSignature) + 8, ~uint64_t{0});
  ExpectZipError(bytes, StatusCode::kCorrupt, "zip64 end record");
}

TEST_F(ZipDamage, CompressedAndEncryptedEntries) {
  Bytes deflated = bytes_, encrypted = bytes_;
  Overwrite(&deflated, 8, uint16_t{8});
  Overwrite(&deflated, directory_ + 10, uint16_t{8});
  const auto zip = ZipArchive::Open(deflated);
  ASSERT_TRUE(zip.ok()) << "an entry that nobody asks for may be compressed";
  const auto content = zip->Read("m/a");
  ASSERT_FALSE(content.ok());
  EXPECT_EQ(content.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(content.status().message(), HasSubstr("'m/a' is compressed"));
  Overwrite(&encrypted, directory_ + 8, uint16_t{1});
  ExpectZipError(encrypted, StatusCode::kUnsupported, "encrypted");
}

TEST_F(ZipDamage, ACommentAfterTheEndIsNone) {
  Overwrite(&bytes_, end_ + 20, uint16_t{3});
  for (char c : {'h', 'e', 'j'}) bytes_.push_back(static_cast<std::byte>(c));
  EXPECT_TRUE(ZipArchive::Open(bytes_).ok());
}

TEST(Pth, SurvivesDamage) {
  std::vector<Entry> entries;
  entries.push_back({"m/data.pkl", Dict([](PickleAssembler& p) {
                       p.Text("w").Tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1});
                       p.Text("t").Tensor("FloatStorage", "0", 6, 0, {3, 2}, {1, 3});
                     })});
  entries.push_back({"m/byteorder", "little"});
  entries.push_back({"m/data/0", Values<float>({0, 1, 2, 3, 4, 5})});
  const uint64_t seed = 20240817;
  SCOPED_TRACE(seed);
  size_t read = 0;
  const auto parse = [&](const Bytes& bad) {
    if (bad.empty()) return;  // MappedFile refuses it
    const auto source = Open(bad);
    if (!source.ok()) return;
    ++read;
    // Every byte of every tensor is there to be read.
    unsigned sum = 0;
    for (const TensorInfo& tensor : (*source)->tensors()) {
      ASSERT_EQ(NumBytes(tensor.dtype, tensor.shape), tensor.bytes.size());
      for (std::byte b : tensor.bytes) sum += static_cast<unsigned>(b);
    }
    EXPECT_LE(sum, 255u * 4096) << "more bytes than the file has";
  };
  for (const uint64_t zip64_from : {ZipWriter::kZip64From, uint64_t{1}}) {
    const Bytes good = Zip(entries, zip64_from);
    read = 0;
    parse(good);
    ASSERT_EQ(read, 1u);
    testing::AttackByTruncation(good, parse);
    EXPECT_EQ(read, 1u) << "an archive cut short has lost its end record";
    testing::AttackByFlips(good, 700, 1500, seed, parse);
    testing::AttackByHugeNumbers(good, good.size(), 3, parse);
  }
}

}  // namespace
}  // namespace tern
