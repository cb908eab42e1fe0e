#include "formats/checkpoint_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern {
namespace {

using ::testing::HasSubstr;

TEST(CheckpointVocabulary, EveryByteSurvivesEscaping) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string escaped = EscapeToken(all);
  for (char c : escaped) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  EXPECT_EQ(UnescapeToken(escaped), all);
}

TEST(CheckpointVocabulary, EscapesAreWrittenAsPythonWritesThem) {
  EXPECT_EQ(EscapeToken("a\n\t\r\\\x01\xff~"), "a\\n\\t\\r\\\\\\x01\\xff~");
  // Python escapes a quote where a token has both kinds; readers take the letter after the backslash.
  EXPECT_EQ(UnescapeToken("it\\'s \\x41"), "it's A");
}

TEST(CheckpointVocabulary, CutOffEscapesDoNoHarm) {
  EXPECT_EQ(UnescapeToken("a\\"), "a");
  EXPECT_EQ(UnescapeToken("a\\x"), "a");
  EXPECT_EQ(UnescapeToken("a\\x4"), "a");
  EXPECT_EQ(UnescapeToken("a\\xzz").size(), 2u);
}

TEST(CheckpointVocabulary, KeysHoldTheTokensAndComeBack) {
  Metadata keys;
  std::vector<std::string> vocabulary = {"", std::string(1, '\0'), "\xc3", "a b", "\n\n"};
  ASSERT_TRUE(AddVocabularyToGguf(vocabulary, 7, "rwkv7", &keys).ok());
  const auto& tokens = std::get<std::vector<std::string>>(keys["tokenizer.ggml.tokens"]);
  EXPECT_EQ(tokens, (std::vector<std::string>{"<s>", "\\x00", "\\xc3", "a b", "\\n\\n", "[PAD5]", "[PAD6]"}));
  EXPECT_EQ(std::get<std::vector<int64_t>>(keys["tokenizer.ggml.token_type"]),
            (std::vector<int64_t>{3, 1, 1, 1, 1, 5, 5}));
  vocabulary.resize(7);
  EXPECT_EQ(VocabularyFromGguf(keys), vocabulary);
}

TEST(CheckpointVocabulary, WithoutOneTheKeysSaySo) {
  Metadata keys;
  ASSERT_TRUE(AddVocabularyToGguf({}, 256, "rwkv7", &keys).ok());
  EXPECT_EQ(std::get<std::string>(keys["tokenizer.ggml.model"]), "none");
  EXPECT_EQ(std::get<uint64_t>(keys["rwkv7.vocab_size"]), 256u);
  EXPECT_TRUE(VocabularyFromGguf(keys).empty());
}

TEST(CheckpointVocabulary, MoreTokensThanRowsAreRefused) {
  Metadata keys;
  const Status status = AddVocabularyToGguf({"a", "b", "c"}, 2, "rwkv7", &keys);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("3 tokens"));
}

TEST(CheckpointVocabulary, OtherTokenizersAreNotTakenForIt) {
  Metadata keys;
  keys["tokenizer.ggml.model"] = std::string("gpt2");
  keys["tokenizer.ggml.tokens"] = std::vector<std::string>{"a"};
  EXPECT_TRUE(VocabularyFromGguf(keys).empty());
}

}  // namespace
}  // namespace tern
