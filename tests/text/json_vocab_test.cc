#include "text/json_vocab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/testing/test_data.h"
#include "tests/text/small_vocabularies.h"
#include "text/tokenizer.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(JsonVocab, IsTheSameVocabularyAsTheLines) {
  const testing::TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("v.json"), testing::SmallJsonVocab().dump()).ok());
  const auto json = LoadTokenizer(dir.File("v.json"));
  ASSERT_TRUE(json.ok()) << json.status().message();
  const auto lines = ParseWorldTokenizer(testing::SmallWorldVocab(), "v.txt");
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ((*json)->name(), "world");
  EXPECT_EQ((*json)->vocab_size(), (*lines)->vocab_size());
  for (int32_t id = 0; id < (*lines)->vocab_size(); ++id)
    EXPECT_EQ((*json)->TokenBytes(id), (*lines)->TokenBytes(id)) << id;
}

TEST(JsonVocab, IsToldFromATokenizerJson) {
  EXPECT_TRUE(IsJsonVocab("\xEF\xBB\xBF { \n \"0\": \"\"}"));
  EXPECT_TRUE(IsJsonVocab(testing::SmallJsonVocab().dump()));
  EXPECT_FALSE(IsJsonVocab(testing::SmallNeoxVocab().dump()));
  for (const char* other :
       {"", "{", "{}", "{\"", "{\"\":1}", "{\"01\":1}", "{\"1x\":1}", "{\"-1\":1}", "[1]"}) {
    EXPECT_FALSE(IsJsonVocab(other)) << other;
  }
}

void ExpectJsonError(const std::string& json, const std::string& part) {
  const auto tokens = ParseJsonVocab(json, "v.json");
  ASSERT_FALSE(tokens.ok()) << json;
  EXPECT_THAT(tokens.status().message(), AllOf(HasSubstr("'v.json'"), HasSubstr(part)));
}

TEST(JsonVocab, SaysWhatIsWrong) {
  ExpectJsonError(R"({"1": "a", "2": 7})", "token 2 is neither");
  ExpectJsonError(R"({"1": "a", "2": [256]})", "token 2 is neither");
  ExpectJsonError(R"({"1": "a", "2": [-1]})", "token 2 is neither");
  ExpectJsonError(R"({"1": "a", "2": [[1]]})", "neither a text nor an array");
  ExpectJsonError(R"({"1": "a", "2": ""})", "token 2 is empty");
  ExpectJsonError(R"({"1": "a", "1": "b"})", "a second time");
  ExpectJsonError(R"({"1": "a", "x": "b"})", "'x' is not an id");
  ExpectJsonError(R"({"1": "a", "02": "b"})", "'02' is not an id");
  ExpectJsonError(R"({"1": "a", "99999999": "b"})", "'99999999' is not an id");
  ExpectJsonError(R"({"1": "a)", "not valid JSON");
  ExpectJsonError(R"({"1": "\ud800"})", "not valid JSON");
  ExpectJsonError("[1]", "not an object");
}

TEST(JsonVocab, NeedsATokenForEveryByte) {
  const testing::TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("v.json"), R"({"1": "a"})").ok());
  EXPECT_THAT(LoadTokenizer(dir.File("v.json")).status().message(),
              AllOf(HasSubstr("v.json"), HasSubstr("single byte")));
}

}  // namespace
}  // namespace tern
