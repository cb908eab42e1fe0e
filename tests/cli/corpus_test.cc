// tern tokenize --out and tern tokenizer train, end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "formats/binidx.h"
#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Json;
using testing::Outcome;
using testing::Output;
using testing::RunTern;

class Corpus : public testing::CliTest {
 protected:
  /// Stories of a few words, separated.
  static std::string Stories(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += "The tern " + std::string(i % 2 ? "flew north" : "slept again") + " on day " +
              std::to_string(i) + ".\n<|end|>\n";
    }
    return text;
  }
  size_t FilesInFolder() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir_.path()), {}));
  }
};

TEST_F(Corpus, HelpIsComplete) {
  const std::string tokenize = Output({"tokenize", "--help"});
  for (const char* option : {"--out", "--separator", "--threads"}) EXPECT_THAT(tokenize, HasSubstr(option));
  EXPECT_THAT(Output({"--help"}), HasSubstr("tokenizer"));
  EXPECT_THAT(Output({"tokenizer", "--help"}), HasSubstr("train"));
  const std::string train = Output({"tokenizer", "train", "--help"});
  for (const char* option :
       {"files", "--vocab-size", "--out", "--separator", "--min-count", "--threads", "--json"}) {
    EXPECT_THAT(train, HasSubstr(option));
  }
}

TEST_F(Corpus, TokenizesSeveralFilesIntoOneCorpus) {
  WriteText("a.txt", "ab\n<|end|>\nc\n");
  WriteText("b.jsonl", "{\"text\": \"d\"}\n\n{\"text\": \"ef\"}\n");
  const auto json = Json({"tokenize", "--tokenizer", "bytes", "--out", File("c.bin"), "--separator",
                          "<|end|>", "--json", File("a.txt"), File("b.jsonl")});
  EXPECT_EQ(json.at("documents"), 4);
  EXPECT_EQ(json.at("tokens"), 6);
  EXPECT_EQ(json.at("bytes"), 6);
  EXPECT_EQ(json.at("files"), 2);
  EXPECT_EQ(json.at("type"), "uint16");
  const auto corpus = BinidxReader::Open(File("c.bin"));
  ASSERT_TRUE(corpus.ok()) << corpus.status().message();
  std::vector<int32_t> tokens(6);
  (*corpus)->Read(0, tokens);
  EXPECT_THAT(tokens, ::testing::ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  EXPECT_THAT((*corpus)->documents(), ::testing::ElementsAre(0, 2, 3, 4));
  EXPECT_THAT(Output({"tokenize", "--tokenizer", "bytes", "--out", File("d.bin"), "--file", File("a.txt")}),
              HasSubstr("1 documents, 13 tokens"));
}

TEST_F(Corpus, AFailureLeavesNothingBehind) {
  WriteText("a.txt", "text");
  WriteText("bad.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
  const size_t before = FilesInFolder();
  const auto tokenize = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"tokenize", "--tokenizer", "bytes"});
    return RunTern(more);
  };
  ExpectOneLine(tokenize({"--out", File("c.bin"), File("a.txt"), File("bad.jsonl")}), "bad.jsonl' line 2");
  ExpectOneLine(tokenize({"--out", File("c.bin"), File("absent.txt")}), "absent.txt");
  ExpectOneLine(tokenize({"--out", File("c.bin"), File("x.idx")}), "tokens already");
  ExpectOneLine(tokenize({"--out", File("c.txt"), File("a.txt")}), ".bin");
  ExpectOneLine(tokenize({"--out", File("c.bin")}), "which files");
  ExpectOneLine(tokenize({"two", "texts"}), "more than one text");
  ExpectOneLine(tokenize({"--separator", "x", "text"}), "--separator");
  ExpectOneLine(
      RunTern({"tokenizer", "train", "--vocab-size", "9999", "--out", File("v.txt"), File("a.txt")}),
      "vocabulary of");
  ExpectOneLine(RunTern({"tokenizer", "train", "--vocab-size", "256", "--out", File("v.txt"), File("a.txt")}),
                "vocab-size");
  ExpectOneLine(
      RunTern({"tokenizer", "train", "--vocab-size", "300", "--out", File("no/v.txt"), File("a.txt")}),
      "no/v.txt");
  for (const char* name : {"x.bin", "x.idx"}) {
    ExpectOneLine(RunTern({"tokenizer", "train", "--vocab-size", "260", "--out", File("v.txt"), File(name)}),
                  "tokens already");
  }
  ExpectOneLine(RunTern({"tokenizer", "train", "--vocab-size", "260", "--out", dir_.path() + "/./a.txt",
                         File("a.txt")}),
                "replace the text");
  EXPECT_EQ(Text("a.txt"), "text");
  ExpectOneLine(RunTern({"tokenizer"}), "subcommand");
  EXPECT_EQ(FilesInFolder(), before);
}

TEST_F(Corpus, LearnsAVocabularyThatTokenizes) {
  const std::string text = Stories(300);
  WriteText("stories.txt", text);
  std::vector<std::string> train = {"tokenizer",   "train",   "--vocab-size",
                                    "290",         "--out",   File("v.txt"),
                                    "--separator", "<|end|>", File("stories.txt")};
  EXPECT_THAT(Output(train), HasSubstr("290 tokens"));
  const std::string vocabulary = Text("v.txt");
  EXPECT_EQ(std::count(vocabulary.begin(), vocabulary.end(), '\n'), 289);
  EXPECT_THAT(vocabulary, ::testing::Not(HasSubstr("end"))) << "separators are not learned";
  train.push_back("--json");
  const auto json = Json(train);
  EXPECT_EQ(Text("v.txt"), vocabulary);
  EXPECT_EQ(json.at("vocab_size"), 290);
  EXPECT_EQ(json.at("documents"), 300);
  EXPECT_GT(json.at("bytes_per_token").get<double>(), 3.0);

  const auto corpus = Json({"tokenize", "--tokenizer", File("v.txt"), "--out", File("c.bin"), "--separator",
                            "<|end|>", File("stories.txt"), "--json"});
  EXPECT_EQ(corpus.at("documents"), 300);
  EXPECT_EQ(corpus.at("tokens"), json.at("tokens").get<int64_t>() + 300) << "every document has an end";
  const std::string ids = Output({"tokenize", "--tokenizer", File("v.txt")}, text);
  EXPECT_EQ(Output({"detokenize", "--tokenizer", File("v.txt")}, ids), text);
}

}  // namespace
}  // namespace tern
