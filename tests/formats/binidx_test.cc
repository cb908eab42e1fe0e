// RWKV-LM's tokenised corpora: read, written, damaged.
#include "formats/binidx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "tests/testing/corruption.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ReadBytes;
using testing::WriteBytes;

template <typename T>
void Put(std::vector<std::byte>* bytes, std::initializer_list<T> values) {
  for (const T value : values) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes->insert(bytes->end(), from, from + sizeof(T));
  }
}

/// An index by hand, number by number as the format says.
std::vector<std::byte> Index(uint8_t type, std::initializer_list<int32_t> sizes,
                             std::initializer_list<int64_t> offsets,
                             std::initializer_list<int64_t> documents) {
  std::vector<std::byte> bytes;
  Put<char>(&bytes, {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0});
  Put<uint64_t>(&bytes, {1});
  Put<uint8_t>(&bytes, {type});
  Put<uint64_t>(&bytes, {sizes.size(), documents.size()});
  Put(&bytes, sizes);
  Put(&bytes, offsets);
  Put(&bytes, documents);
  return bytes;
}

class Binidx : public ::testing::Test {
 protected:
  std::string File(const std::string& name) const { return dir_.File(name); }
  void Write(const std::string& path, BinidxType type,
             const std::vector<std::vector<int32_t>>& documents) const {
    auto writer = BinidxWriter::Create(path, type);
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    for (const auto& document : documents) ASSERT_TRUE((*writer)->Append(document).ok());
    const Status done = (*writer)->Commit();
    ASSERT_TRUE(done.ok()) << done.message();
  }
  static std::vector<int32_t> Tokens(const BinidxReader& reader) {
    std::vector<int32_t> tokens(static_cast<size_t>(reader.tokens()));
    reader.Read(0, tokens);
    return tokens;
  }
  std::string Error(const std::string& path) const {
    const auto reader = BinidxReader::Open(path);
    EXPECT_FALSE(reader.ok());
    return reader.status().message();
  }
  testing::TempDir dir_;
};

TEST_F(Binidx, WritesWhatTheFormatSays) {
  Write(File("a.bin"), BinidxType::kU16, {{1, 65535, 0}, {}, {7, 0}});
  std::vector<std::byte> tokens;
  Put<uint16_t>(&tokens, {1, 65535, 0, 7, 0});
  EXPECT_EQ(ReadBytes(File("a.bin")), tokens);
  EXPECT_EQ(ReadBytes(File("a.idx")), Index(8, {3, 2}, {0, 6}, {0, 1, 2}));
}

TEST_F(Binidx, ReadsEveryType) {
  for (const auto& [type, size] :
       {std::pair(BinidxType::kU8, 255), {BinidxType::kU16, 65535}, {BinidxType::kI32, 1 << 30}, {BinidxType::kI64, INT32_MAX}}) {
    Write(File("a.bin"), type, {{3, size}, {4}, {size, size, 0}});
    for (const char* name : {"a.bin", "a.idx", "a"}) {
      const auto reader = BinidxReader::Open(File(name));
      ASSERT_TRUE(reader.ok()) << reader.status().message();
      EXPECT_THAT(Tokens(**reader), ElementsAre(3, size, 4, size, size, 0));
      EXPECT_THAT((*reader)->documents(), ElementsAre(0, 2, 3));
      EXPECT_EQ((*reader)->largest_token(), size);
      std::vector<int32_t> middle(2);
      (*reader)->Read(2, middle);
      EXPECT_THAT(middle, ElementsAre(4, size));
    }
  }
}

TEST_F(Binidx, DocumentsMayBeSeveralSequencesOrNone) {
  const auto joined = ParseBinidxIndex(Index(8, {2, 3, 0, 1}, {0, 4, 10, 10}, {0, 2, 3, 4}), 12, "x");
  ASSERT_TRUE(joined.ok()) << joined.status().message();
  EXPECT_THAT(joined->documents, ElementsAre(0, 5)) << "one of two sequences, an empty one, one of one";
  const auto plain = ParseBinidxIndex(Index(8, {2, 3}, {0, 4}, {}), 10, "x");
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  EXPECT_THAT(plain->documents, ElementsAre(0, 2)) << "without a table of documents each sequence is one";
}

TEST_F(Binidx, SaysWhatIsWrong) {
  const auto error = [](const std::vector<std::byte>& idx, uint64_t bytes) {
    const auto index = ParseBinidxIndex(idx, bytes, "c.idx");
    EXPECT_FALSE(index.ok());
    EXPECT_THAT(index.status().message(), HasSubstr("c.idx"));
    return index.status().message();
  };
  EXPECT_THAT(error(Index(8, {2}, {0}, {0, 1}), 6), HasSubstr("counts 2 tokens"));
  EXPECT_THAT(error(Index(8, {2}, {0}, {0, 1}), 3), HasSubstr("does not fit"));
  EXPECT_THAT(error(Index(8, {2}, {0}, {0, 1}), 5), HasSubstr("has 5 bytes"));
  EXPECT_THAT(error(Index(8, {-1, 3}, {0, 2}, {0, 1}), 4), HasSubstr("-1 tokens"));
  EXPECT_THAT(error(Index(8, {1, 1}, {0, 4}, {0, 1}), 4), HasSubstr("byte 4, expected 2"));
  EXPECT_THAT(error(Index(8, {1, 1}, {0, 2}, {0, 3}), 4), HasSubstr("sequence 3"));
  EXPECT_THAT(error(Index(8, {1, 1}, {0, 2}, {1, 0}), 4), HasSubstr("sequence 0"));
  EXPECT_THAT(error(Index(6, {1}, {0}, {0, 1}), 4), HasSubstr("type 6"));
  auto longer = Index(8, {1}, {0}, {0, 1});
  longer.emplace_back();
  EXPECT_THAT(error(longer, 2), HasSubstr("do not make"));
  EXPECT_THAT(error({}, 2), HasSubstr("MMIDIDX"));
}

TEST_F(Binidx, RefusesTokensBeyond32Bits) {
  for (const int64_t token : {int64_t{-1}, int64_t{INT32_MAX} + 1, int64_t{1} << 32}) {
    std::vector<std::byte> tokens;
    Put<int64_t>(&tokens, {5, token});
    WriteBytes(File("a.bin"), tokens);
    WriteBytes(File("a.idx"), Index(5, {2}, {0}, {0, 1}));
    EXPECT_THAT(Error(File("a.bin")), HasSubstr("token " + std::to_string(token)));
  }
}

TEST_F(Binidx, RefusesNegativeTokensAndMissingFiles) {
  std::vector<std::byte> tokens;
  Put<int32_t>(&tokens, {5, -3});
  WriteBytes(File("a.bin"), tokens);
  EXPECT_THAT(Error(File("a.bin")), HasSubstr("a.idx"));
  WriteBytes(File("a.idx"), Index(4, {2}, {0}, {0, 1}));
  EXPECT_THAT(Error(File("a.idx")), HasSubstr("token -3"));
  EXPECT_THAT(Error(File("b")), HasSubstr("b.bin"));
}

TEST_F(Binidx, DamageIsRefusedOrReadNeverACrash) {
  Write(File("a.bin"), BinidxType::kU16, {{1, 2, 3}, {4, 5}, {6}});
  const auto good = ReadBytes(File("a.idx"));
  const auto parse = [](const std::vector<std::byte>& bytes) {
    const auto index = ParseBinidxIndex(bytes, 12, "damaged");
    if (!index.ok()) return;
    ASSERT_EQ(index->tokens * BinidxTypeSize(index->type), 12);
    ASSERT_EQ(index->documents.at(0), 0);
    for (size_t i = 1; i < index->documents.size(); ++i)
      ASSERT_GT(index->documents[i], index->documents[i - 1]);
    ASSERT_LT(index->documents.back(), index->tokens);
  };
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  testing::AttackByTruncation(good, parse);
  testing::AttackByFlips(good, 34, 20'000, kSeed, parse);
  testing::AttackByHugeNumbers(good, good.size(), 1, parse);
}

TEST_F(Binidx, NothingIsSeenBeforeTheCommitAndNothingLeftWithoutIt) {
  Write(File("a.bin"), BinidxType::kU16, {{1, 0}});
  {
    auto writer = BinidxWriter::Create(File("a.bin"), BinidxType::kU16);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append(std::vector<int32_t>{2, 3, 0}).ok());
    EXPECT_EQ((*BinidxReader::Open(File("a.bin")))->tokens(), 2);
  }
  EXPECT_EQ((*BinidxReader::Open(File("a.bin")))->tokens(), 2);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 2)
      << "temporary files are left";
  Write(File("a.bin"), BinidxType::kI32, {{2, 3, 0}});
  EXPECT_EQ((*BinidxReader::Open(File("a.bin")))->tokens(), 3);
}

TEST_F(Binidx, TokensThatDoNotFitAreRefused) {
  auto writer = BinidxWriter::Create(File("a.bin"), BinidxType::kU16);
  ASSERT_TRUE(writer.ok());
  for (const int32_t token : {65536, -1}) {
    const Status status = (*writer)->Append(std::vector<int32_t>{1, token});
    EXPECT_THAT(status.message(), HasSubstr(std::to_string(token)));
  }
}

}  // namespace
}  // namespace tern
