#include "text/neox_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/testing/test_data.h"
#include "tests/text/small_vocabularies.h"
#include "text/unicode.h"

namespace tern {
namespace {

using namespace std::string_literals;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SmallNeoxVocab;

std::shared_ptr<const Tokenizer> Make(const json& vocabulary) {
  auto tokenizer = MakeNeoxTokenizer(vocabulary.dump(), "t.json");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::string VocabularyError(const std::string& content) {
  const auto tokenizer = MakeNeoxTokenizer(content, "t.json");
  return tokenizer.ok() ? "no error" : tokenizer.status().message();
}
std::string VocabularyError(const json& vocabulary) { return VocabularyError(vocabulary.dump()); }

std::shared_ptr<const Tokenizer> Real(const std::string& data) {
  auto tokenizer = LoadTokenizer(data + "/tokenizer/20B_tokenizer.json");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

TEST(NeoxTokenizer, JoinsPairsAndFindsAddedTokens) {
  const auto small = Make(SmallNeoxVocab());
  EXPECT_THAT(small->Encode("abc a"), ElementsAre(259, 260));
  EXPECT_THAT(small->Encode("a<|endoftext|>   b"), ElementsAre('a' + 2, 0, 261, ' ' + 2, 'b' + 2));
  EXPECT_THAT(small->Encode(""), ElementsAre());
  EXPECT_EQ(small->Decode({259, 260, 261, 0}), "abc a  <|endoftext|>");
  EXPECT_EQ(small->vocab_size(), 262);
  EXPECT_EQ(small->name(), "neox");
  EXPECT_EQ(small->end_of_document(), 0);
  for (int32_t id : {1, 262, -1, INT32_MAX}) EXPECT_EQ(small->TokenBytes(id), "") << id;
}

TEST(NeoxTokenizer, TakesMergesAsPairs) {
  json vocabulary = SmallNeoxVocab();
  vocabulary["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "c"})});
  EXPECT_THAT(Make(vocabulary)->Encode("abc a"), ElementsAre(259, ' ' + 2, 'a' + 2));
}

TEST(NeoxTokenizer, FollowsTheFlagsOfAddedTokens) {
  json vocabulary = SmallNeoxVocab();
  vocabulary["added_tokens"] = json::array({{{"id", 300}, {"content", "<l>"}, {"lstrip", true}},
                                            {{"id", 301}, {"content", "<r>"}, {"rstrip", true}},
                                            {{"id", 302}, {"content", "word"}, {"single_word", true}},
                                            {{"id", 303}, {"content", "\xC3\xA9x"}, {"normalized", true}},
                                            {{"id", 304}, {"content", "wordy"}}});
  const auto tokenizer = Make(vocabulary);
  EXPECT_THAT(tokenizer->Encode("a \xE3\x80\x80<l> b"), ElementsAre('a' + 2, 300, ' ' + 2, 'b' + 2));
  EXPECT_THAT(tokenizer->Encode("<r>\n b"), ElementsAre(301, 'b' + 2));
  EXPECT_THAT(tokenizer->Encode("<r> <l>"), ElementsAre(301, 300));
  EXPECT_THAT(tokenizer->Encode("-word-"), ElementsAre('-' + 2, 302, '-' + 2));
  EXPECT_EQ(tokenizer->Encode("swords").size(), 6u) << "a letter beside it";
  EXPECT_THAT(tokenizer->Encode("wordy"), ElementsAre(304)) << "the longest";
  EXPECT_THAT(tokenizer->Encode("e\xCC\x81x"), ElementsAre(303)) << "found after NFC";
}

TEST(NeoxTokenizer, EncodesInvalidUtf8ByteByByte) {
  const auto small = Make(SmallNeoxVocab());
  EXPECT_THAT(small->Encode("ab\xFF\xC3"
                            "ab"),
              ElementsAre(258, 0xFF + 2, 0xC3 + 2, 258));
  json vocabulary = SmallNeoxVocab();
  vocabulary["model"]["vocab"].erase(testing::ByteChar(0xFF));
  EXPECT_THAT(Make(vocabulary)->Encode("a\xFF"), ElementsAre('a' + 2, 0xEF + 2, 0xBF + 2, 0xBD + 2))
      << "a byte without a token becomes U+FFFD";
}

TEST(NeoxTokenizer, RefusesWhatItWouldEncodeOtherwise) {
  const auto with = [](const char* pointer, const json& value) {
    json vocabulary = SmallNeoxVocab();
    vocabulary[json::json_pointer(pointer)] = value;
    return VocabularyError(vocabulary);
  };
  EXPECT_EQ(with("/model/type", "WordPiece"), "'t.json': model.type is WordPiece, expected BPE");
  EXPECT_EQ(with("/decoder/type", "Metaspace"), "'t.json': decoder.type is Metaspace, expected ByteLevel");
  EXPECT_EQ(with("/decoder", nullptr), "'t.json': decoder.type is none, expected ByteLevel");
  EXPECT_EQ(with("/pre_tokenizer/type", "Split"),
            "'t.json': pre_tokenizer.type is Split, expected ByteLevel");
  EXPECT_EQ(with("/normalizer/type", "NFKC"), "'t.json': normalizer.type is NFKC, expected NFC or null");
  EXPECT_EQ(with("/model/dropout", 0.1), "'t.json': model.dropout is set");
  EXPECT_EQ(with("/pre_tokenizer/add_prefix_space", true), "'t.json': pre_tokenizer.add_prefix_space is set");
  EXPECT_EQ(with("/pre_tokenizer/use_regex", false), "'t.json': pre_tokenizer.use_regex is false");
  EXPECT_EQ(with("/normalizer", nullptr), "no error");
}

TEST(NeoxTokenizer, NamesTheMistake) {
  const auto with = [](const char* pointer, const json& value) {
    json vocabulary = SmallNeoxVocab();
    vocabulary[json::json_pointer(pointer)] = value;
    return VocabularyError(vocabulary);
  };
  EXPECT_EQ(with("/model/merges/1", "ab x y"),
            "'t.json': model.merges[1]: 'ab x y' is not two tokens with a space between");
  EXPECT_EQ(with("/model/merges/1", "ab xx"), "'t.json': model.merges[1]: 'xx' is not in model.vocab");
  EXPECT_EQ(with("/model/merges/1", "c b"), "'t.json': model.merges[1]: 'cb' is not in model.vocab");
  EXPECT_EQ(with("/model/merges/1", "a b"), "'t.json': model.merges[1]: 'a b' appears a second time");
  EXPECT_EQ(with("/model/merges/1", 7), "'t.json': model.merges[1]: neither \"a b\" nor [\"a\", \"b\"]");
  EXPECT_EQ(with("/model/merges", "a b"), "'t.json': model.merges is not an array");
  EXPECT_EQ(with("/model/vocab", json::array()), "'t.json': model.vocab is not an object");
  EXPECT_THAT(with("/model/vocab/ab", 7), HasSubstr("appears a second time"));
  EXPECT_THAT(with("/model/vocab/ab", -7), HasSubstr("model.vocab['ab']: the id is not a whole number"));
  EXPECT_THAT(with("/model/vocab/ab", 1e9), HasSubstr("not a whole number"));
  EXPECT_THAT(with("/model/vocab/ab", 1000000000), HasSubstr("id 1000000000 is too large"));
  EXPECT_THAT(with("/added_tokens/0/id", 258), HasSubstr("added_tokens[0]: id 258"));
  EXPECT_THAT(with("/added_tokens/0/content", ""), HasSubstr("added_tokens[0]: 'content'"));
  EXPECT_THAT(with("/added_tokens/0/lstrip", 1), HasSubstr("added_tokens[0]: 'lstrip' is not true or false"));
  EXPECT_THAT(with("/added_tokens/1/content", "ab"), HasSubstr("'ab' has id 261, but elsewhere id 258"));
  json vocabulary = SmallNeoxVocab();
  vocabulary["model"]["vocab"].erase("B");
  EXPECT_EQ(VocabularyError(vocabulary), "'t.json': model.vocab has no token for the single byte 0x42 ('B')");
}

TEST(NeoxTokenizer, RefusesTextThatIsNoJson) {
  EXPECT_THAT(VocabularyError(""s), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabularyError("[]"s), HasSubstr("the JSON is not an object"));
  EXPECT_THAT(VocabularyError("{}"s), HasSubstr("model.type is none"));
  EXPECT_THAT(VocabularyError("{\"a\": \0}"s), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabularyError("{\"a\": \"\xFF\"}"s), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabularyError("{\"a\": " + std::string(100000, '[') + std::string(100000, ']') + "}"),
              HasSubstr("nested"));
  EXPECT_FALSE(MakeNeoxTokenizer("{\"a\":" + std::string(1000000, '['), "t").ok());
}

TEST(NeoxTokenizer, GivesTheIdsOfTheReference) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto neox = Real(data);
  ASSERT_NE(neox, nullptr);
  EXPECT_EQ(neox->vocab_size(), 50277);
  const std::string text = *ReadFileToString(data + "/tokenizer/neox_test-string.txt");
  const json whole = json::parse(*ReadFileToString(data + "/tokenizer/neox_test-string.json"));
  EXPECT_EQ(neox->Encode(text), whole.get<std::vector<int32_t>>());
  const json lines = json::parse(*ReadFileToString(data + "/tokenizer/neox_test-string-lines.json"));
  size_t begin = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    ASSERT_EQ(neox->Encode(text.substr(begin, end - begin)), lines[i].get<std::vector<int32_t>>())
        << "line " << i + 1;
    begin = std::min(end + 1, text.size());
  }
}

TEST(NeoxTokenizer, GivesTheLibrarysIdsOfHardStrings) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto neox = Real(data);
  ASSERT_NE(neox, nullptr);
  // Computed with the Hugging Face tokenizers library 0.23.2.
  const std::pair<std::string, std::vector<int32_t>> golden[] = {
      {"  hello   world\012\012  x"s, {50276, 25521, 50275, 10186, 535, 50276, 89}},
      {"a  <|padding|>  b<|endoftext|>"s, {66, 50276, 1, 50276, 67, 0}},
      {"It's we'll I'VE they're 'tis 'd"s,
       {1147, 434, 359, 1833, 309, 8, 12695, 597, 1472, 686, 35879, 686, 69}},
      {"e\314\201 \341\204\200\341\205\241\341\206\250 \342\204\253 \340\245\230"s,
       {860, 42984, 212, 17732, 21433, 2483, 122}},
      {"a\314\226\314\201 a\314\201\314\226"s, {1757, 136, 233, 21079, 136, 233}},
      {"                         x"s, {50254, 1269}},
      {" \302\240\343\200\200 x\342\200\250\012 y"s, {17345, 19409, 1269, 40702, 187, 340}},
      {"x\302\262 \342\205\247 123\302\2754"s, {89, 15818, 3384, 216, 102, 15567, 8313, 21}},
      {"\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247 \360\237\231\202"s,
       {14931, 228, 103, 325, 224, 14931, 228, 104, 325, 224, 14931, 228, 102, 42908}},
      {"\000\001\034 \177\302\205\342\200\213\357\273\277"s, {177, 178, 205, 209, 210, 16643, 12882, 41497}},
      {"    def f(x):\012\011\011return  x   \012"s,
       {50274, 1545, 269, 9, 89, 2262, 996, 186, 2309, 50276, 89, 50275, 187}},
      {" \314\201"s, {209, 136, 212}},
      {"\340\244\270\340\245\215\340\244\244\340\245\207 \340\270\252\340\270\247\340\270\261\340\270\252\340\270\224\340\270\265"s,
       {28733, 17665, 23936, 15472, 209, 41387, 31081, 25160, 41387, 35071, 26863}},
  };
  for (const auto& [text, ids] : golden) EXPECT_EQ(neox->Encode(text), ids) << text;
}

TEST(NeoxTokenizer, BringsValidTextBackInNfc) {
  constexpr uint64_t kSeed = 17;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  const auto small = Make(SmallNeoxVocab());
  const int32_t starts[] = {0x20,  0x61,   0xC0,   0x300,  0x300,  0x5D0,
                            0x930, 0x1100, 0x1160, 0xAC00, 0x3040, 0x1F600};
  for (int round = 0; round < 1000; ++round) {
    std::string text;
    for (uint64_t i = random.Below(20); i > 0; --i) {
      AppendUtf8(starts[random.Below(std::size(starts))] + static_cast<int32_t>(random.Below(90)), &text);
    }
    std::string buffer, again;
    const std::string normal(NormalizeNfc(text, &buffer));
    EXPECT_EQ(small->Decode(small->Encode(text)), normal);
    EXPECT_EQ(NormalizeNfc(normal, &again), normal) << "normalising twice changes nothing";
  }
}

TEST(NeoxTokenizer, BringsAnyBytesBackWithoutNormalisation) {
  constexpr uint64_t kSeed = 18;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  json vocabulary = SmallNeoxVocab();
  vocabulary["normalizer"] = nullptr;
  const auto small = Make(vocabulary);
  for (int round = 0; round < 1000; ++round) {
    std::string text;
    for (uint64_t i = random.Below(40); i > 0; --i) {
      text.push_back(random.Below(2) ? static_cast<char>(random.Below(256))
                                     : " ab\xE2\x82\xAC"[random.Below(6)]);
    }
    EXPECT_EQ(small->Decode(small->Encode(text)), text);
  }
}

TEST(NeoxTokenizer, EncodesMonotonousTexts) {
  const auto small = Make(SmallNeoxVocab());
  for (const char* pattern : {"a", " ", "\n", "abc", "\xF0\x9F\x99\x82", "\xCC\x81\xCC\x96", "\xFF"}) {
    std::string text;
    while (text.size() < 200'000) text += pattern;
    std::string buffer;
    const std::string normal(pattern[0] == '\xFF' ? text : NormalizeNfc(text, &buffer));
    EXPECT_EQ(small->Decode(small->Encode(text)), normal);
  }
}

}  // namespace
}  // namespace tern
