#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "tests/testing/test_data.h"
#include "tests/text/small_vocabularies.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

/// Sets $TERN_TOKENIZERS for one test.
class Environment {
 public:
  explicit Environment(const std::string& value) { ::setenv("TERN_TOKENIZERS", value.c_str(), 1); }
  ~Environment() { ::unsetenv("TERN_TOKENIZERS"); }
};

void Write(const std::string& path, const std::string& content) {
  ASSERT_TRUE(WriteStringToFile(path, content).ok());
}

std::string NameOf(const Result<std::shared_ptr<const Tokenizer>>& found) {
  return found.ok() ? std::string((*found)->name()) : found.status().message();
}

TEST(LoadTokenizer, TellsTheKindsApartByContent) {
  TempDir dir;
  Write(dir.File("a"), testing::SmallWorldVocab());
  Write(dir.File("b"), "\xEF\xBB\xBF\n " + testing::SmallNeoxVocab().dump());
  Write(dir.File("c"), "hello");
  Write(dir.File("d"), "");
  EXPECT_EQ(NameOf(LoadTokenizer(dir.File("a"))), "world");
  EXPECT_EQ(NameOf(LoadTokenizer(dir.File("b"))), "neox");
  EXPECT_EQ(NameOf(LoadTokenizer("bytes")), "bytes");
  EXPECT_THAT(NameOf(LoadTokenizer(dir.File("c"))), HasSubstr("neither JSON nor lines"));
  EXPECT_THAT(NameOf(LoadTokenizer(dir.File("d"))), HasSubstr("is empty"));
  EXPECT_THAT(NameOf(LoadTokenizer(dir.path())), HasSubstr("irectory"));
  EXPECT_EQ(LoadTokenizer(dir.File("none")).status().code(), StatusCode::kNotFound);
}

TEST(ByteTokenizer, TakesATokenForAByte) {
  const auto bytes = MakeByteTokenizer();
  EXPECT_EQ(bytes->Encode(std::string("a\0\xFF", 3)), (std::vector<int32_t>{'a', 0, 255}));
  EXPECT_EQ(bytes->Decode({'a', 0, 255, 256, -1}), std::string("a\0\xFF", 3));
  EXPECT_EQ(bytes->vocab_size(), 256);
  EXPECT_EQ(bytes->end_of_document(), -1);
}

TEST(FindTokenizer, TakesBytesFor256Symbols) {
  EXPECT_EQ(NameOf(FindTokenizer("nowhere/model.bin", 256)), "bytes");
}

TEST(FindTokenizer, LooksBesideTheModelAndInIt) {
  TempDir dir;
  Write(dir.File("tokenizer.json"), testing::SmallNeoxVocab().dump());
  EXPECT_EQ(NameOf(FindTokenizer(dir.File("model.pth"), 262)), "neox");
  EXPECT_EQ(NameOf(FindTokenizer(dir.path(), 262)), "neox");
  Write(dir.File("model.vocab.txt"), testing::SmallWorldVocab());
  EXPECT_EQ(NameOf(FindTokenizer(dir.File("model.pth"), 262)), "world") << "the model's own comes first";
  EXPECT_EQ(NameOf(FindTokenizer(dir.File("other.pth"), 262)), "neox");
}

TEST(FindTokenizer, LooksInTheFolderOfTokenizers) {
  TempDir models, tokenizers;
  Write(tokenizers.File("rwkv_vocab_v20230424.txt"), testing::SmallWorldVocab());
  EXPECT_FALSE(FindTokenizer(models.File("model.pth"), 260).ok());
  const Environment environment(tokenizers.path());
  EXPECT_EQ(NameOf(FindTokenizer(models.File("model.pth"), 260)), "world");
}

TEST(FindTokenizer, PassesOverWhatDoesNotFit) {
  TempDir dir;
  Write(dir.File("rwkv_vocab_v20230424.txt"), testing::SmallWorldVocab());
  EXPECT_EQ(NameOf(FindTokenizer(dir.File("model.pth"), 300)), "world") << "padded";
  for (int64_t symbols : {259, 65536, 0, -1}) {
    const auto found = FindTokenizer(dir.File("model.pth"), symbols);
    ASSERT_FALSE(found.ok()) << symbols;
    EXPECT_THAT(found.status().message(), HasSubstr("has 260 tokens"));
    EXPECT_THAT(found.status().message(), HasSubstr("--tokenizer"));
  }
  Write(dir.File("tokenizer.json"), "{");
  EXPECT_THAT(NameOf(FindTokenizer(dir.File("model.pth"), 65536)), HasSubstr("not valid JSON"));
}

TEST(CheckVocabulary, NamesBothSizes) {
  const auto bytes = MakeByteTokenizer();
  EXPECT_TRUE(CheckVocabulary(*bytes, "v", 256, "m").ok());
  EXPECT_TRUE(CheckVocabulary(*bytes, "v", 512, "m").ok()) << "padded";
  for (const int64_t symbols : {255, 1024, 65536}) {
    const Status status = CheckVocabulary(*bytes, "v.txt", symbols, "m.pth");
    EXPECT_THAT(status.message(),
                ::testing::AllOf(HasSubstr("'v.txt' has 256 tokens"),
                                 HasSubstr("'m.pth' has " + std::to_string(symbols) + " symbols")));
  }
}

TEST(FindTokenizer, FitsThePublishedVocabularies) {
  TERN_REQUIRE_TEST_DATA(data);
  for (const auto& [symbols, name] :
       {std::pair(65536, "world"), {50277, "neox"}, {50304, "neox"}, {50432, "neox"}}) {
    EXPECT_EQ(NameOf(FindTokenizer(data + "/tokenizer/model.pth", symbols)), name) << symbols;
  }
}

}  // namespace
}  // namespace tern
