// Text in any encoding, and vocabularies of another size than the model's, through every command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Json;
using testing::Outcome;
using testing::Output;
using testing::RunTern;

/// UTF-16 of ASCII text, with its mark.
std::string Utf16(const std::string& ascii, bool big_endian) {
  std::string bytes = big_endian ? "\xFE\xFF" : "\xFF\xFE";
  for (const char c : ascii) {
    if (big_endian) bytes += '\0';
    bytes += c;
    if (!big_endian) bytes += '\0';
  }
  return bytes;
}

class TextInput : public testing::CliTest {
 protected:
  TextInput() {
    WriteText("plain.txt", kText);
    WriteText("mark.txt", "\xEF\xBB\xBF" + kText);
    WriteText("little.txt", Utf16(kText, false));
    WriteText("big.txt", Utf16(kText, true));
    WriteText("latin.txt", "A tern\nna\xEFve\n");
    WriteText("binary.txt", std::string("A\0tern\0", 7));
  }
  const std::string kText = "A tern flies\n---\nfrom pole to pole\n";
};

TEST_F(TextInput, PromptsAreTheSameInEveryEncoding) {
  const auto generate = [&](const std::string& file) {
    return Output({"generate", "-m", model_, "--prompt-file", file, "-n", "20", "--temperature", "0"});
  };
  const std::string expected = generate(File("plain.txt"));
  for (const char* file : {"mark.txt", "little.txt", "big.txt"})
    EXPECT_EQ(generate(File(file)), expected) << file;
  EXPECT_EQ(Output({"generate", "-m", model_, "--prompt-file", "-", "-n", "20", "--temperature", "0"},
                   Utf16(kText, true)),
            expected);
}

TEST_F(TextInput, MeasuresAndTokensAreTheSameInEveryEncoding) {
  const auto eval = [&](const std::string& file) {
    return Json({"eval", "perplexity", "-m", model_, "--separator", "---", File(file), "--json"})
        .at("nats_per_token");
  };
  const auto tokens = [&](const std::string& file) {
    return Output({"tokenize", "--tokenizer", "bytes", "--file", File(file)});
  };
  const auto corpus = [&](const std::string& file) {
    return Json({"tokenize", "--tokenizer", "bytes", "--separator", "---", "--out", File("c.bin"), File(file),
                 "--json"});
  };
  for (const char* file : {"mark.txt", "little.txt", "big.txt"}) {
    EXPECT_EQ(eval(file), eval("plain.txt")) << file;
    EXPECT_EQ(tokens(file), tokens("plain.txt")) << file;
    EXPECT_EQ(corpus(file), corpus("plain.txt")) << file;
  }
}

TEST_F(TextInput, ScriptsAreTheSameInEveryEncoding) {
  const std::string script = "Hello\nAnd you?\n";
  const auto chat = [&](const std::string& input) {
    return Output({"chat", "-m", model_, "--template", "world", "-n", "10", "--temperature", "0"}, input);
  };
  EXPECT_EQ(chat("\xEF\xBB\xBF" + script), chat(script));
  EXPECT_EQ(chat(Utf16(script, false)), chat(script));
  const Outcome bad = RunTern({"chat", "-m", model_, "--template", "world", "-n", "10"}, "Hello\nna\xEFve\n");
  EXPECT_NE(bad.code, 0);
  EXPECT_THAT(bad.err, HasSubstr("standard input line 2, column 3: byte 0xEF"));
}

TEST_F(TextInput, WhatIsNotTextIsRefusedWithItsPlace) {
  const std::vector<std::vector<std::string>> commands = {
      {"generate", "-m", model_, "--prompt-file"},
      {"eval", "perplexity", "-m", model_},
      {"eval", "lambada", "-m", model_},
      {"tokenize", "--tokenizer", "bytes", "--file"},
      {"tokenize", "--tokenizer", "bytes", "--out", File("c.bin")},
      {"tokenizer", "train", "--vocab-size", "300", "--out", File("v.txt")},
      {"train", "--out", File("run"), "--steps", "1", "--data"},
      {"train", "--out", File("run"), "--steps", "1", "--data", File("plain.txt"), "--validation"}};
  for (std::vector<std::string> words : commands) {
    SCOPED_TRACE(words[0] + " " + words[1]);
    words.push_back(File("latin.txt"));
    const Outcome latin = RunTern(words);
    EXPECT_NE(latin.code, 0);
    EXPECT_THAT(latin.err, HasSubstr("latin.txt' line 2, column 3: byte 0xEF is not UTF-8"));
    words.back() = File("binary.txt");
    const Outcome binary = RunTern(words);
    EXPECT_NE(binary.code, 0);
    EXPECT_THAT(binary.err, HasSubstr("binary.txt' line 1, column 2: a zero byte"));
  }
}

TEST_F(TextInput, RecordsComeInLinesOrInAnArray) {
  WriteText("lines.jsonl", "{\"text\": \"one word\", \"score\": 1e400}\n{\"text\": \"two words\"}\n");
  WriteText("array.json", "[{\"text\": \"one word\"},\n{\"id\": \"\\ud800\", \"text\": \"two words\"}]");
  WriteText("UPPER.JSONL", Utf16("{\"text\": \"one word\"}\n{\"text\": \"two words\"}\n", false));
  for (const char* what : {"perplexity", "lambada"}) {
    const auto measure = [&](const std::string& file) {
      auto json = Json({"eval", what, "-m", model_, File(file), "--json"});
      return json.at("perplexity").get<double>();
    };
    EXPECT_EQ(measure("array.json"), measure("lines.jsonl")) << what;
    EXPECT_EQ(measure("UPPER.JSONL"), measure("lines.jsonl")) << what;
  }
}

class OtherVocabulary : public testing::CliTest {
 protected:
  OtherVocabulary() {
    RandomModel large = Rwkv7();
    large.vocab = 2000;
    Write(large, large_);
    WriteText("a.txt", "A tern flies from pole to pole.");
    WriteText("a.jsonl", "{\"text\": \"one word\"}\n");
    WriteText("q.jsonl", "{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 0}\n");
  }
  const std::string large_ = File("large.pth");
};

TEST_F(OtherVocabulary, IsRefusedByEveryCommand) {
  const std::vector<std::vector<std::string>> commands = {
      {"generate", "-m", large_, "-p", "a"},
      {"chat", "-m", large_},
      {"eval", "perplexity", "-m", large_, File("a.txt")},
      {"eval", "lambada", "-m", large_, File("a.jsonl")},
      {"eval", "choice", "-m", large_, File("q.jsonl")},
      {"info", large_},
      {"convert", large_, File("a.gguf")},
      {"convert", large_, File("a.st")},
      {"serve", "-m", large_, "--port", "0"},
      {"train", "--model", large_, "--data", File("a.txt"), "--dry-run"}};
  for (std::vector<std::string> words : commands) {
    SCOPED_TRACE(words[0] + " " + words[1]);
    words.insert(words.end(), {"--tokenizer", "bytes"});
    const Outcome outcome = RunTern(words, "Hi\n");
    ExpectOneLine(outcome, "'bytes' has 256 tokens, but '" + large_ + "' has 2000 symbols");
  }
}

TEST_F(OtherVocabulary, IsNoVocabularyForANewModel) {
  ExpectOneLine(
      RunTern({"train", "--data", File("a.txt"), "--tokenizer", "bytes", "--vocab", "2000", "--dry-run"}),
      "--vocab 2000: the tokenizer has 256 symbols");
}

}  // namespace
}  // namespace tern
