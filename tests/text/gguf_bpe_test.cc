#include "text/gguf_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/text/small_vocabularies.h"
#include "text/neox_tokenizer.h"

namespace tern {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The lists of the vocabulary that SmallNeoxVocab has; id 1 is unused.
GgufBpe SmallLists() {
  GgufBpe lists;
  lists.tokens = {"<|endoftext|>", "[PAD1]"};
  for (int byte = 0; byte < 256; ++byte) lists.tokens.push_back(testing::ByteChar(byte));
  for (const char* token : {"ab", "abc",
                            "\xC4\xA0"
                            "a",
                            "  "})
    lists.tokens.emplace_back(token);
  lists.types.assign(lists.tokens.size(), 1);
  lists.types[0] = 3;
  lists.types[1] = 5;
  lists.types.back() = 4;
  lists.merges = {"a b", "ab c", "\xC4\xA0 a"};
  lists.pre = "gpt-2";
  return lists;
}

TEST(GgufBpe, EncodesAsTheTokenizerJsonOfTheSameVocabulary) {
  const auto gguf = MakeGgufBpeTokenizer(SmallLists(), "m.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  const auto json = MakeNeoxTokenizer(testing::SmallNeoxVocab().dump(), "t.json");
  ASSERT_TRUE(json.ok());
  for (const char* text : {"", "abcab a", "x  y", "one<|endoftext|>\n\ntwo", "h\xC3\xA9\xFF"}) {
    EXPECT_EQ((*gguf)->Encode(text), (*json)->Encode(text)) << text;
  }
  EXPECT_EQ((*gguf)->TokenBytes(1), "") << "an unused token has no text";
  EXPECT_EQ((*gguf)->vocab_size(), 262);
}

TEST(GgufBpe, NeedsNeitherTypesNorTheNameOfItsWords) {
  GgufBpe lists = SmallLists();
  lists.pre.clear();
  lists.types.clear();
  lists.tokens[1] = "unused";
  const auto tokenizer = MakeGgufBpeTokenizer(lists, "m.gguf");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_EQ((*tokenizer)->Encode("abc"), std::vector<int32_t>{259});
}

template <typename Change>
void ExpectListsError(const std::string& part, const Change& change) {
  GgufBpe lists = SmallLists();
  change(lists);
  const auto tokenizer = MakeGgufBpeTokenizer(lists, "m.gguf");
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_THAT(tokenizer.status().message(), AllOf(HasSubstr("m.gguf"), HasSubstr(part)));
}

TEST(GgufBpe, SaysWhatIsWrong) {
  ExpectListsError("'llama-bpe'", [](GgufBpe& lists) { lists.pre = "llama-bpe"; });
  ExpectListsError("token_type has 261 entries for 262", [](GgufBpe& lists) { lists.types.pop_back(); });
  ExpectListsError("tokenizer.ggml.merges", [](GgufBpe& lists) { lists.merges.clear(); });
  ExpectListsError("token 258 is of type 6", [](GgufBpe& lists) { lists.types[258] = 6; });
  ExpectListsError("token 259 appears a second time", [](GgufBpe& lists) { lists.tokens[259] = "ab"; });
  ExpectListsError("not UTF-8", [](GgufBpe& lists) { lists.tokens[258] = "\xff"; });
  ExpectListsError("'abx'", [](GgufBpe& lists) { lists.merges.push_back("ab x"); });
  ExpectListsError("single byte", [](GgufBpe& lists) { lists.types[70] = 5; });
}

}  // namespace
}  // namespace tern
