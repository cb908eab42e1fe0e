#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/random.h"
#include "tests/testing/test_data.h"
#include "tests/text/small_vocabularies.h"
#include "text/tokenizer.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SmallWorldVocab;

std::shared_ptr<const Tokenizer> Small(const std::string& content) {
  auto tokenizer = ParseWorldTokenizer(content, "v.txt");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::string WorldError(const std::string& content) {
  const auto tokenizer = ParseWorldTokenizer(content, "v.txt");
  return tokenizer.ok() ? "no error" : tokenizer.status().message();
}

TEST(WorldTokenizer, TakesTheLongestToken) {
  const auto small = Small(SmallWorldVocab());
  EXPECT_THAT(small->Encode("abcabxa"), ElementsAre(258, 257, 'x' + 1, 'a' + 1));
  EXPECT_THAT(small->Encode("\xC3\xA9\xC3"), ElementsAre(259, 0xC3 + 1));
  EXPECT_THAT(small->Encode(""), ElementsAre());
  EXPECT_EQ(small->Decode({258, 259, 0, 1}), std::string("abc\xC3\xA9\0", 6));
  EXPECT_EQ(small->vocab_size(), 260);
  EXPECT_EQ(small->name(), "world");
  EXPECT_EQ(small->end_of_document(), 0);
}

TEST(WorldTokenizer, FallsBackToTheLongestPrefixThatIsAToken) {
  const auto small = Small(SmallWorldVocab("257 'abcdef' 6\n258 'ab' 2\n"));
  EXPECT_THAT(small->Encode("abcdex"), ElementsAre(258, 'c' + 1, 'd' + 1, 'e' + 1, 'x' + 1));
}

TEST(WorldTokenizer, LeavesGapsWithoutText) {
  const auto small = Small(SmallWorldVocab("300 'ab' 2\n"));
  EXPECT_EQ(small->vocab_size(), 301);
  EXPECT_THAT(small->Encode("ab"), ElementsAre(300));
  for (int32_t id : {0, 257, 299, 301, -1, INT32_MAX, INT32_MIN}) EXPECT_EQ(small->TokenBytes(id), "") << id;
}

TEST(WorldTokenizer, ReadsFilesThatEditorsHaveTouched) {
  std::string windows = "\xEF\xBB\xBF";
  for (const char c : SmallWorldVocab("257 'ab' 2")) windows += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_THAT(Small(windows)->Encode("ab"), ElementsAre(257));
  EXPECT_THAT(Small(SmallWorldVocab("257 'a b' 3"))->Encode("a b"), ElementsAre(257))
      << "spaces inside the literal";
}

TEST(WorldTokenizer, NamesTheLineOfAMistake) {
  EXPECT_EQ(WorldError(SmallWorldVocab("257 'ab' 3\n")),
            "'v.txt' line 257: the literal has 2 bytes, but the line says 3");
  EXPECT_EQ(WorldError(SmallWorldVocab("257 'ab' 2\n257 'ac' 2\n")),
            "'v.txt' line 258: id 257 appears a second time");
  EXPECT_EQ(WorldError(SmallWorldVocab("257 'ab' 2\n258 \"ab\" 2\n")),
            "'v.txt': line 258: id 258 has the same bytes as id 257 on line 257");
  EXPECT_EQ(WorldError(SmallWorldVocab("0 'ab' 2\n")),
            "'v.txt' line 257: id 0 ends a document and cannot have text");
  EXPECT_THAT(WorldError(SmallWorldVocab("69665 'ab' 2\n")), HasSubstr("line 257: id 69665 is too large"));
  EXPECT_THAT(WorldError(SmallWorldVocab("18446744073709551617 'ab' 2\n")), HasSubstr("line 257: the id"));
  EXPECT_THAT(WorldError(SmallWorldVocab("-1 'ab' 2\n")), HasSubstr("line 257: the id '-1' is not a number"));
  EXPECT_THAT(WorldError(SmallWorldVocab("257 '' 0\n")), HasSubstr("line 257: a token without bytes"));
  EXPECT_THAT(WorldError(SmallWorldVocab("257 ab 2\n")), HasSubstr("line 257: not a Python literal"));
  EXPECT_THAT(WorldError(SmallWorldVocab("257 'ab'\n")), HasSubstr("line 257: expected `id literal length`"));
  EXPECT_THAT(WorldError(SmallWorldVocab("\n257 'ab' 2\n")), HasSubstr("line 257: expected"));
}

TEST(WorldTokenizer, RefusesAVocabularyThatCannotEncodeSomeByte) {
  std::string content = SmallWorldVocab();
  content.erase(content.find("67 b"), content.find("68 b") - content.find("67 b"));
  EXPECT_THAT(WorldError(content), HasSubstr("no token for the single byte 0x42"));
  EXPECT_EQ(WorldError(""), "'v.txt' has no tokens");
}

TEST(WorldTokenizer, IsMadeFromTokensToo) {
  std::vector<std::string> tokens{"<s>"};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.insert(tokens.end(), {"", "ab"});
  const auto made = MakeWorldTokenizer(tokens);
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_THAT((*made)->Encode("ab"), ElementsAre(258));
  EXPECT_EQ((*made)->TokenBytes(0), "") << "the end of a document has no text";
  tokens.push_back("ab");
  EXPECT_EQ(MakeWorldTokenizer(tokens).status().message(), "tokens 258 and 259 are the same bytes");
  EXPECT_FALSE(MakeWorldTokenizer({}).ok());
}

TEST(WorldTokenizer, EncodesAsTheReferenceDoes) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto world = LoadTokenizer(data + "/tokenizer/rwkv_vocab_v20230424.txt");
  ASSERT_TRUE(world.ok()) << world.status().message();
  EXPECT_EQ((*world)->name(), "world");
  EXPECT_EQ((*world)->vocab_size(), 65530);
  // From the reference tokenizer.
  EXPECT_THAT((*world)->Encode("\n\n"), ElementsAre(261));
  EXPECT_THAT((*world)->Encode("\n"), ElementsAre(11));
  EXPECT_THAT((*world)->Encode(std::string(129, ' ')), ElementsAre(65529, 33));
  EXPECT_THAT((*world)->Encode("User: What is a tern?\012\012Assistant:"),
              ElementsAre(24281, 59, 30031, 4600, 332, 32220, 64, 261, 5585, 41693, 59));
  EXPECT_THAT((*world)->Encode("  hello   world\012\012  x"),
              ElementsAre(267, 34550, 3340, 36017, 19241, 121));
  EXPECT_THAT((*world)->Encode("\340\244\250\340\244\256\340\244\270\340\245\215\340\244\244\340\245\207 "
                               "\344\270\226\347\225\214 \360\237\231\202"),
              ElementsAre(9473, 9477, 9484, 9495, 9469, 9492, 33, 10267, 14610, 32845));
  EXPECT_THAT((*world)->Encode("    def f(x):\012\011\011return  x   \012"),
              ElementsAre(19250, 7334, 337, 41, 121, 501, 3324, 42178, 267, 121, 19249));
  EXPECT_THAT((*world)->Encode("e\314\201\015\012\015\012"), ElementsAre(102, 2672, 19244));
  // Every token is the longest match of its own bytes.
  for (int32_t id = 1; id < (*world)->vocab_size(); ++id) {
    ASSERT_THAT((*world)->Encode((*world)->TokenBytes(id)), ElementsAre(id));
  }
}

TEST(WorldTokenizer, BringsEveryByteBack) {
  const auto small = Small(SmallWorldVocab());
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (uint64_t i = random.Below(64); i > 0; --i) {
      text.push_back(random.Below(2) ? static_cast<char>(random.Below(256)) : "abc\xC3\xA9"[random.Below(5)]);
    }
    EXPECT_EQ(small->Decode(small->Encode(text)), text);
  }
}

}  // namespace
}  // namespace tern
