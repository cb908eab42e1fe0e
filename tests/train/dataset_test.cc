// Text, JSON lines and tokenised corpora as tokens.
#include "train/dataset.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "base/random.h"
#include "formats/binidx.h"
#include "tests/text/small_vocabularies.h"
#include "tests/train/dataset_testing.h"
#include "text/world_vocab.h"

namespace tern::train {
namespace {

using testing::AllTokens;
using testing::Documents;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::WriteFile;

class Dataset : public ::testing::Test {
 protected:
  Dataset() : world_(*ParseWorldTokenizer(testing::SmallWorldVocab(), "vocabulary")) {}

  std::string File(const std::string& name, const std::string& text) const {
    WriteFile(dir_.File(name), text);
    return dir_.File(name);
  }
  std::shared_ptr<const TokenData> Open(const std::string& path, const Tokenizer* tokenizer,
                                        DataOptions options = {}) const {
    auto data = OpenData(path, tokenizer, options);
    EXPECT_TRUE(data.ok()) << data.status().message();
    return data.ok() ? *data : testing::Counting(0);
  }
  std::string Error(const std::string& path, const Tokenizer* tokenizer, DataOptions options = {}) const {
    const auto data = OpenData(path, tokenizer, options);
    EXPECT_FALSE(data.ok());
    return data.status().message();
  }

  testing::TempDir dir_;
  std::shared_ptr<const Tokenizer> world_, bytes_ = MakeByteTokenizer();
};

TEST_F(Dataset, PlainTextIsOneDocumentToTheLastByte) {
  const auto data = Open(File("a.txt", "ab\n"), bytes_.get(), {.document_end = -1, .separator = ""});
  EXPECT_THAT(AllTokens(*data), ElementsAre('a', 'b', '\n'));
  EXPECT_THAT(Documents(*data), ElementsAre(0));
  EXPECT_EQ(data->bytes(), 3);
  EXPECT_EQ(data->largest_token(), 'b');
  EXPECT_EQ(data->document_end(), -1);
}

TEST_F(Dataset, SeparatorLinesCutDocuments) {
  // A separator at the start, doubled, within a line (which is text), with \r\n, and none at the end.
  const std::string text = "<|end|>\nab\n<|end|>\n<|end|>\r\n \n<|end|>\na <|end|>\nb\r\n<|end|>\nc\n";
  const auto data = Open(File("a.txt", text), bytes_.get(), {.document_end = 0, .separator = "<|end|>"});
  EXPECT_THAT(Documents(*data), ElementsAre(0, 3, 3 + 12));
  std::string joined;
  for (const int32_t token : AllTokens(*data)) joined += token == 0 ? '#' : static_cast<char>(token);
  EXPECT_EQ(joined, "ab#a <|end|>\nb#c#");
  EXPECT_EQ(data->bytes(), 2 + 11 + 1 + 3) << "a byte tokenizer's document end is a byte too";
  const auto ended =
      Open(File("b.txt", text + "<|end|>"), bytes_.get(), {.document_end = 0, .separator = "<|end|>"});
  EXPECT_EQ(AllTokens(*ended), AllTokens(*data)) << "a last document needs no separator";
}

TEST_F(Dataset, JsonLines) {
  const std::string text =
      "{\"text\": \"ab\"}\n\n{\"meta\": {\"text\": \"no\"}, \"text\": \"\\u00e9abc\\n\"}\r\n{\"text\": "
      "\"\"}\n";
  const auto data = Open(File("a.jsonl", text), world_.get());
  // 257 ab, 258 abc, 259 é, bytes from 1.
  EXPECT_THAT(AllTokens(*data), ElementsAre(257, 0, 259, 258, '\n' + 1, 0));
  EXPECT_THAT(Documents(*data), ElementsAre(0, 2));
  EXPECT_EQ(data->bytes(), 2 + 6);
  EXPECT_EQ(data->largest_token(), 259);
}

TEST_F(Dataset, ReadsTheSameTextInEveryEncodingAndForm) {
  const auto expected =
      AllTokens(*Open(File("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"abc\"}"), world_.get()));
  const std::string array =
      "[{\"text\": \"ab\", \"score\": 1e400},\n {\"id\": \"\\udc00\", \"text\": \"abc\"}]";
  EXPECT_EQ(AllTokens(*Open(File("b.JSONL", array), world_.get())), expected);
  EXPECT_EQ(AllTokens(*Open(File("c.json", array), world_.get())), expected);
  EXPECT_EQ(
      AllTokens(*Open(File("d.jsonl", "\xEF\xBB\xBF{\"text\": \"ab\"}\n{\"text\": \"abc\"}"), world_.get())),
      expected);
  std::string wide = "\xFF\xFE";
  for (const char c : std::string("ab\n---\nabc\n")) wide += {c, '\0'};
  EXPECT_EQ(AllTokens(*Open(File("e.txt", wide), world_.get(), {.document_end = 0, .separator = "---"})),
            expected);
}

TEST_F(Dataset, NamesThePlaceOfWhatIsNotText) {
  const train::DataOptions options = {.document_end = 0, .separator = "---"};
  EXPECT_THAT(Error(File("a.txt", "ab\n---\nab\nc\xE9\n"), bytes_.get(), options),
              HasSubstr("a.txt' line 4, column 2"));
  EXPECT_THAT(Error(File("a.txt", std::string("ab\0", 3)), bytes_.get(), options), HasSubstr("binary data"));
  EXPECT_THAT(Error(File("a.jsonl", "\n{\"text\": \"\xE9\"}"), bytes_.get(), options),
              HasSubstr("line 2, column 11"));
  EXPECT_THAT(Error(File("a.json", "[{\"text\": \"a\"}\n"), bytes_.get(), options),
              HasSubstr("a.json' line 2, column 1"));
}

TEST_F(Dataset, ErrorsNameFileAndLine) {
  const std::string good = "{\"text\": \"a\"}\n";
  for (const char* bad :
       {"{\"text\": \"a\"", "[1]", "{\"text\": 3}", "{\"txt\": \"a\"}", "{\"text\": \"\xff\"}", "text"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(Error(File("a.jsonl", good + "\n" + good + bad + "\n" + good), world_.get()),
                ::testing::AllOf(HasSubstr("a.jsonl"), HasSubstr("line 4")));
  }
  EXPECT_THAT(Error(File("empty.txt", ""), world_.get()), HasSubstr("empty.txt"));
  EXPECT_THAT(Error(File("blank.txt", " \n\n"), world_.get()), HasSubstr("blank.txt' holds no text"));
  EXPECT_THAT(Error(File("blank.jsonl", "{\"text\": \" \"}\n\n"), world_.get()), HasSubstr("holds no text"));
  EXPECT_THAT(Error(dir_.File("absent.txt"), world_.get()), HasSubstr("absent.txt"));
  EXPECT_THAT(Error(File("a.txt", "a"), nullptr), HasSubstr("tokenizer"));
  EXPECT_THAT(Error(File("a.txt", "a"), bytes_.get(), {.document_end = 256, .separator = ""}),
              HasSubstr("256"));
}

TEST_F(Dataset, IsTheSameAtEveryNumberOfThreads) {
  constexpr uint64_t kSeed = 4;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  std::string text;
  std::vector<int32_t> expected;
  for (int document = 0; document < 3000; ++document) {
    std::string body;
    for (uint64_t n = 1 + random.Below(60); n > 0; --n) body += "abc"[random.Below(3)];
    const auto ids = world_->Encode(body);
    expected.insert(expected.end(), ids.begin(), ids.end());
    expected.push_back(0);
    text += body + "\n--\n";
  }
  const std::string path = File("a.txt", text);
  for (const int threads : {1, 2, 5}) {
    SetNumThreads(threads);
    const auto data = Open(path, world_.get(), {.document_end = 0, .separator = "--"});
    EXPECT_EQ(AllTokens(*data), expected) << threads;
    EXPECT_EQ(data->documents().size(), 3000u);
  }
  SetNumThreads(0);
}

TEST_F(Dataset, VocabulariesBeyondTwoBytesKeepTheirTokens) {
  std::string more;
  for (int id = 257; id < 257 + 66'000; ++id) {
    const std::string token = fmt::format("q{}q", id);
    more += fmt::format("{} '{}' {}\n", id, token, token.size());
  }
  const auto large = ParseWorldTokenizer(testing::SmallWorldVocab(more), "large");
  ASSERT_TRUE(large.ok()) << large.status().message();
  EXPECT_THAT(AllTokens(*Open(File("a.txt", "q66000qq257q"), large->get())), ElementsAre(66000, 257, 0));
}

TEST_F(Dataset, BinidxByEitherName) {
  for (const BinidxType type : {BinidxType::kU16, BinidxType::kI32}) {
    auto writer = BinidxWriter::Create(dir_.File("c.bin"), type);
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    for (const std::vector<int32_t>& document : {std::vector<int32_t>{257, 0}, {259, 3, 0}}) {
      ASSERT_TRUE((*writer)->Append(document).ok());
    }
    ASSERT_TRUE((*writer)->Commit().ok());
    for (const char* name : {"c.bin", "c.idx", "c"}) {
      const auto data = Open(dir_.File(name), world_.get());
      EXPECT_THAT(AllTokens(*data), ElementsAre(257, 0, 259, 3, 0));
      EXPECT_THAT(Documents(*data), ElementsAre(0, 2));
      EXPECT_EQ(data->bytes(), 2 + 2 + 1);
      EXPECT_EQ(data->largest_token(), 259);
      EXPECT_EQ(Open(dir_.File(name), nullptr)->bytes(), 0) << "unknown without a tokenizer";
    }
    EXPECT_THAT(Error(dir_.File("c.bin"), bytes_.get()), HasSubstr("259"));
  }
  EXPECT_THAT(Error(File("alone.bin", "tokens"), world_.get()), HasSubstr("alone.idx"));
}

TEST_F(Dataset, SlicesCutDocuments) {
  const auto data =
      Open(File("a.txt", "ab\n-\nabc\n-\nb"), world_.get(), {.document_end = 0, .separator = "-"});
  ASSERT_THAT(AllTokens(*data), ElementsAre(257, 0, 258, 0, 'b' + 1, 0));
  const auto slice = Slice(data, 1, 5);
  EXPECT_THAT(AllTokens(*slice), ElementsAre(0, 258, 0, 'b' + 1));
  EXPECT_THAT(Documents(*slice), ElementsAre(0, 1, 3));
  EXPECT_EQ(slice->bytes(), 3 + 1);
  EXPECT_EQ(slice->document_end(), 0);
  const auto inner = Slice(slice, 1, 100);
  EXPECT_THAT(AllTokens(*inner), ElementsAre(258, 0, 'b' + 1));
  EXPECT_THAT(Documents(*inner), ElementsAre(0, 2));
  EXPECT_EQ(Slice(data, 4, 4)->tokens(), 0);
  EXPECT_EQ(Slice(data, 50, 60)->tokens(), 0);
}

TEST_F(Dataset, SplitOfCharactersIsTheSplitOfTheText) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto text =
      Open(data + "/text/tinyshakespeare.txt", bytes_.get(), {.document_end = -1, .separator = ""});
  ASSERT_EQ(text->tokens(), 1115394);
  const auto validation = Slice(text, text->tokens() * 9 / 10, text->tokens());
  EXPECT_EQ(validation->tokens(), 111540);
  EXPECT_EQ(validation->bytes(), 111540);
}

TEST_F(Dataset, StoriesAreAsManyAsTheirSeparatorsSay) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto world = LoadTokenizer(data + "/tokenizer/rwkv_vocab_v20230424.txt");
  ASSERT_TRUE(world.ok());
  const auto stories =
      Open(data + "/text/stories.txt", world->get(), {.document_end = 0, .separator = "<|endoftext|>"});
  EXPECT_EQ(stories->documents().size(), 23135u);
  EXPECT_LT(stories->largest_token(), (*world)->vocab_size());
  EXPECT_GT(stories->bytes(), 23'000'000);
}

}  // namespace
}  // namespace tern::train
