// tern eval, end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "formats/binidx.h"
#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Json;
using testing::Output;
using testing::RunTern;

class Eval : public testing::CliTest {
 protected:
  Eval() {
    WriteText("a.txt", "first story\nof two\n---\nsecond\n---\n");
    WriteText("a.jsonl", "{\"text\": \"first story\\nof two\"}\n\n{\"text\": \"second\"}\n");
    WriteText("words.jsonl", "{\"text\": \"the last word\"}\n{\"text\": \"another one\"}\n");
    WriteText("bad.jsonl", "{\"text\": \"a b\"}\n{\"txt\": \"a b\"}\n");
    WriteText("query.jsonl",
              "{\"query\": \"Why?\", \"choices\": [\"so\", \"because\"], \"gold\": 1}\n"
              "{\"query\": \"Who?\", \"choices\": [\"me\", \"you\"], \"gold\": 0}\n");
    WriteText("schema.jsonl",
              "{\"context_options\": [\"Ann\", \"Bob\"], \"continuation\": \"won.\", \"gold\": 0}\n");
  }
};

TEST_F(Eval, MeasuresPerplexityOfTextAndJsonLinesAlike) {
  const auto text = Json({"eval", "perplexity", "-m", model_, File("a.txt"), "--separator", "---", "--json"});
  const auto lines = Json({"eval", "perplexity", "-m", model_, File("a.jsonl"), "--batch", "1", "--json"});
  EXPECT_EQ(text.at("documents"), 2);
  EXPECT_EQ(text.at("tokens"), 24);
  EXPECT_EQ(text.at("bytes"), 24);
  EXPECT_EQ(text.at("start"), '\n');
  for (const char* key : {"nats_per_token", "bits_per_token", "bits_per_byte", "perplexity", "positions"}) {
    EXPECT_EQ(text.at(key), lines.at(key)) << key;
  }
  EXPECT_NEAR(text.at("perplexity").get<double>(), std::exp(text.at("nats_per_token").get<double>()), 1e-9);
  EXPECT_EQ(text.at("positions").size(), 6u);
  EXPECT_EQ(text.at("files").at(0).at("file"), File("a.txt"));
}

TEST_F(Eval, AddsFilesUpAndDrawsThem) {
  const std::vector<std::string> arguments = {
      "eval",  "perplexity",     "-m",        model_, File("a.txt"), File("a.jsonl"),
      "--svg", File("loss.svg"), "--context", "8"};
  const std::string table = Output(arguments);
  for (const char* word : {"bits/byte", "all ", "tokens/s", "4 to 7"}) EXPECT_THAT(table, HasSubstr(word));
  EXPECT_THAT(Text("loss.svg"), HasSubstr("model.pth on 2 files"));
}

TEST_F(Eval, CountsLambada) {
  const auto json = Json({"eval", "lambada", "-m", model_, File("words.jsonl"), "--limit", "1", "--json"});
  EXPECT_EQ(json.at("examples"), 1);
  EXPECT_GT(json.at("perplexity").get<double>(), 1);
  EXPECT_THAT(Output({"eval", "lambada", "-m", model_, File("words.jsonl"), "--limit", "1"}),
              HasSubstr("1 examples: "));
}

TEST_F(Eval, CountsChoicesPerFileAndTheirMean) {
  const auto json = Json({"eval", "choice", "-m", model_, File("query.jsonl"), File("schema.jsonl"), "--json",
                          "--delimiter", "\\nA: "});
  ASSERT_EQ(json.at("files").size(), 2u);
  EXPECT_EQ(json.at("files").at(0).at("examples"), 2);
  EXPECT_EQ(json.at("files").at(1).at("examples"), 1);
  for (const char* key : {"accuracy", "accuracy_per_byte", "accuracy_per_token"}) {
    const double mean = (json["files"][0].at(key).get<double>() + json["files"][1].at(key).get<double>()) / 2;
    EXPECT_DOUBLE_EQ(json.at(key).get<double>(), mean) << key;
  }
  const std::string table =
      Output({"eval", "choice", "-m", model_, File("query.jsonl"), File("schema.jsonl")});
  for (const char* word : {"accuracy", "per byte", "per token", "mean"}) EXPECT_THAT(table, HasSubstr(word));
}

TEST_F(Eval, SaysInOneLineWhatIsWrong) {
  const std::string bad = File("bad.jsonl");
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, bad}),
                "'" + bad + "' line 2: there is no \"text\"");
  ExpectOneLine(RunTern({"eval", "lambada", "-m", model_, bad}), "'" + bad + "' line 2");
  ExpectOneLine(RunTern({"eval", "choice", "-m", model_, bad}), "'" + bad + "' line 1");
  ExpectOneLine(RunTern({"eval", "lambada", "-m", model_, File("none.jsonl")}), "none.jsonl");
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, File("a.txt"), "--start", "256"}),
                "--start '256'");
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, File("a.txt"), "--svg", File("no/loss.svg")}),
                "loss.svg");
  WriteText("blank.txt", " \n");
  WriteText("empty.txt", "");
  for (const auto& [name, why] : {std::pair("blank.txt", "nothing to predict"), {"empty.txt", "is empty"}}) {
    const auto outcome = RunTern({"eval", "perplexity", "-m", model_, File(name)});
    ExpectOneLine(outcome, why);
    EXPECT_EQ(outcome.code, 1) << "the command itself was right";
  }
}

TEST_F(Eval, MeasuresPairsOfTokensUnderEachOfTheirNames) {
  Json({"tokenize", "--tokenizer", "bytes", "--out", File("pair.bin"), "--separator", "---", File("a.txt"),
        "--json"});
  for (const std::string start : {"10", "none"}) {
    for (const std::string limit : {"7", "14", "15", "100"}) {
      const std::vector<std::string> options = {"--start", start, "--limit", limit, "--json"};
      const auto measure = [&](std::vector<std::string> words) {
        words.insert(words.begin(), {"eval", "perplexity", "-m", model_});
        words.insert(words.end(), options.begin(), options.end());
        return Json(words);
      };
      const auto text = measure({File("a.txt"), "--separator", "---"});
      for (const char* name : {"pair.bin", "pair.idx", "pair"}) {
        const auto pair = measure({File(name)});
        for (const char* key :
             {"documents", "tokens", "bytes", "nats_per_token", "bits_per_byte", "positions"}) {
          EXPECT_EQ(pair.at(key), text.at(key)) << key << " of " << name << ", limit " << limit;
        }
      }
    }
  }
}

TEST_F(Eval, LeavesBytesOutWhereTokensHaveNoTokenizer) {
  auto larger = Rwkv7();
  larger.vocab = 4096;
  Write(larger, File("larger.pth"));
  Json({"tokenize", "--tokenizer", "bytes", "--out", File("pair.bin"), File("a.txt"), "--json"});
  const std::vector<std::string> arguments = {"eval", "perplexity", "-m", File("larger.pth"),
                                              File("pair.bin")};
  auto with_json = arguments;
  with_json.emplace_back("--json");
  const auto json = Json(with_json);
  EXPECT_EQ(json.at("start"), 0);
  EXPECT_TRUE(json.at("tokenizer").is_null());
  for (const char* key : {"bytes", "bits_per_byte"}) EXPECT_FALSE(json.contains(key)) << key;
  EXPECT_THAT(Output(arguments), ::testing::ContainsRegex("pair.bin +1 +34 +- "));
  auto with_text = arguments;
  with_text.push_back(File("a.txt"));
  ExpectOneLine(RunTern(with_text), "tokenizer");
}

TEST_F(Eval, RefusesTokensThatTheModelDoesNotHave) {
  const auto writer = BinidxWriter::Create(File("pair.bin"), BinidxType::kU16);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(std::vector<int32_t>{1, 300}).ok() && (*writer)->Commit().ok());
  const auto outcome = RunTern({"eval", "perplexity", "-m", model_, File("a.txt"), File("pair.idx")});
  ExpectOneLine(outcome, "holds token 300, but the model's vocabulary has 256");
  EXPECT_EQ(outcome.code, 1);
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, File("absent.bin")}), "absent.bin");
}

TEST_F(Eval, OpensEveryFileBeforeTheWork) {
  // The first file is no text, so that measuring it would be the first error to be seen.
  WriteText("blank.txt", " \n");
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, File("blank.txt"), File("absent.txt")}),
                "absent.txt");
}

TEST_F(Eval, DrawsFilesOfAnyName) {
  WriteText("bad\xff.txt", "text");
  Output({"eval", "perplexity", "-m", model_, File("bad\xff.txt"), "--svg", File("loss.svg")});
  EXPECT_THAT(Text("loss.svg"), HasSubstr("on bad\uFFFD.txt"));
}

}  // namespace
}  // namespace tern
