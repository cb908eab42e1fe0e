// tern info, logits, tokenize and detokenize, end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"
#include "tests/testing/golden.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Json;
using testing::Outcome;
using testing::Output;
using testing::RunTern;

class Inspect : public testing::CliTest {};

TEST_F(Inspect, DescribesAModel) {
  const nlohmann::json json = Json({"info", model_, "--json", "--tensors"});
  EXPECT_EQ(json.at("file"), model_);
  EXPECT_EQ(json.at("architecture"), "RWKV-7");
  EXPECT_EQ(json.at("layers"), 2);
  EXPECT_EQ(json.at("width"), 32);
  EXPECT_EQ(json.at("ffn_width"), 64);
  EXPECT_EQ(json.at("heads"), 2);
  EXPECT_EQ(json.at("head_size"), 16);
  EXPECT_EQ(json.at("vocabulary"), 256);
  EXPECT_EQ(json.at("tokenizer"), "bytes");
  EXPECT_EQ(json.at("parameters"), testing::CountParameters(Rwkv7()));
  EXPECT_EQ(json.at("state_bytes"), 4 * 2 * (2 * 32 + 2 * 16 * 16));
  EXPECT_EQ(json.at("types").size(), 1u);
  EXPECT_EQ(json.at("types").at("f32").at("tensors"), json.at("tensors").size());
  EXPECT_GT(json.at("flop_per_token").get<int64_t>(), 0);

  const std::string table = Output({"info", model_, "--tensors"});
  for (const char* text : {"RWKV-7", "2 layers, width 32, ffn 64, 2 heads of 16", "256 (bytes)",
                           "per sequence", "head.weight"}) {
    EXPECT_THAT(table, HasSubstr(text));
  }
  EXPECT_THAT(table, ::testing::ContainsRegex("group norm eps +0.00064\n"));
}

TEST_F(Inspect, ATokenizerThatWasAskedForMustBeThereAndFit) {
  ExpectOneLine(RunTern({"info", model_, "--tokenizer", File("absent.txt")}), "absent.txt");
  WriteText("text.txt", "the tern, the tern, the tern");
  Json({"tokenizer", "train", "--vocab-size", "258", "--out", File("v.txt"), File("text.txt"), "--json"});
  ExpectOneLine(RunTern({"info", model_, "--tokenizer", File("v.txt")}), "has 256 symbols");
}

TEST_F(Inspect, DamageShowsInChecksumsWhenAsked) {
  EXPECT_EQ(Json({"info", model_, "--verify", "--json"}).at("checksums"), "agree");
  auto bytes = testing::ReadBytes(model_);
  bytes[bytes.size() - 16000] ^= std::byte{1};  // in the head, 32 KB before a directory of 4 KB
  const std::string damaged = File("damaged.pth"), out = File("out.safetensors");
  testing::WriteBytes(damaged, bytes);
  EXPECT_EQ(RunTern({"info", damaged}).code, 0);
  ExpectOneLine(RunTern({"info", damaged, "--verify"}), "checksum");
  const Outcome converted = RunTern({"convert", damaged, out, "--json"});
  EXPECT_EQ(converted.code, 0);
  EXPECT_THAT(converted.err, HasSubstr("warning"));
  EXPECT_EQ(Json({"info", out, "--verify", "--json"}).at("checksums"), "none in this format");
}

TEST_F(Inspect, GivesTheReferencesLogitsHoweverTheTokensAreCut) {
  for (const char* name : {"rwkv4-odd-width", "rwkv5.1", "rwkv6-head32", "rwkv7-head16"}) {
    SCOPED_TRACE(name);
    auto golden = testing::LoadGolden(testing::SourceDir() + "/tests/golden/" + name + ".json");
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    Write(golden->model, File("golden.pth"));
    std::string tokens;
    for (const uint32_t token : golden->tokens) tokens += (tokens.empty() ? "" : ",") + std::to_string(token);
    const std::vector<float>& expected = golden->logits.back().values;
    double largest = 0;
    for (const float x : expected) largest = std::max(largest, std::fabs(static_cast<double>(x)));
    for (const char* chunk : {"1", "7", "1000"}) {
      const auto logits =
          Json({"logits", "-m", File("golden.pth"), "--tokens", tokens, "--chunk", chunk, "--json"})
              .at("logits")
              .get<std::vector<float>>();
      ASSERT_EQ(logits.size(), expected.size());
      // fp32 against double precision: tests/golden/README.md says why 1e-4 is wide enough and tight enough.
      for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], expected[i], 1e-4 * largest) << chunk;
    }
  }
}

TEST_F(Inspect, ListsTheMostProbableTokens) {
  const auto logits =
      Json({"logits", "-m", model_, "--tokens", "1,2,3", "--json"}).at("logits").get<std::vector<float>>();
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  const std::string table = Output({"logits", "-m", model_, "--tokens", "1,2,3"});
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 11);
  const std::string first = table.substr(table.find('\n') + 1, 8);
  EXPECT_EQ(std::stol(first), best) << table;
}

TEST_F(Inspect, BytesGoThroughTokenizeAndBack) {
  std::string text = "Tern 🐦 夏天\r\n\n";
  for (char byte = 1; byte < 0x7F; ++byte) text += byte;
  WriteText("text.bin", text);
  const std::string ids = Output({"tokenize", "--tokenizer", "bytes"}, text);
  EXPECT_EQ(Output({"tokenize", "--tokenizer", "bytes", "--file", File("text.bin")}), ids);
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes"}, ids), text);
  WriteText("ids.txt", ids);
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes", "--file", File("ids.txt")}), text);

  const std::string json = Output({"tokenize", "--tokenizer", "bytes", "--json"}, text);
  EXPECT_EQ(nlohmann::json::parse(json).at("bytes"), text.size());
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes"}, json), text)
      << "the JSON of tokenize goes in as well";
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes", "72,105"}), "Hi");
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes"}, "[72, 105]\n"), "Hi");
  EXPECT_EQ(Json({"detokenize", "--tokenizer", "bytes", "--json", "72", "105"}).at("text"), "Hi");

  EXPECT_EQ(Output({"tokenize", "--tokenizer", "bytes", ""}, "not read"), "\n");
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes"}, "\n"), "");
}

TEST_F(Inspect, TakesItsInputFromOnePlace) {
  WriteText("a.txt", "65");
  ExpectOneLine(RunTern({"tokenize", "--tokenizer", "bytes", "text", "--file", File("a.txt")}), "--file");
  ExpectOneLine(RunTern({"detokenize", "--tokenizer", "bytes", "65", "--file", File("a.txt")}), "--file");
}

TEST_F(Inspect, NamesTheIdThatIsNone) {
  const auto detokenize = [](const std::string& ids) {
    return RunTern({"detokenize", "--tokenizer", "bytes"}, ids);
  };
  ExpectOneLine(detokenize("1 2 x\n3"), "'x' is no token id");
  for (const std::string ids : {"1 2 1234567890123456789012", "{\"tokens\": [1234567890]}", "256"}) {
    ExpectOneLine(detokenize(ids), "is outside the vocabulary of 256");
  }
}

TEST_F(Inspect, RefusesIdsThatAreNone) {
  for (const char* ids : {"12 x", "256", "99999999999", "-1", "{\"tokens\": [1.5]}", "{\"tokens\": 3}",
                          "{\"tokens\": [", "{}", "{\"tokens\": [4294967361]}"}) {
    SCOPED_TRACE(ids);
    ExpectOneLine(RunTern({"detokenize", "--tokenizer", "bytes"}, ids), "");
  }
}

TEST_F(Inspect, RealVocabulariesGoRound) {
  TERN_REQUIRE_TEST_DATA(data);
  const std::string text = "Arctic terns fly from pole to pole.\n\n北极燕鸥 🐦 — naïve\tcafé";
  for (const char* name : {"rwkv_vocab_v20230424.txt", "20B_tokenizer.json"}) {
    const std::string tokenizer = data + "/tokenizer/" + name;
    const std::string ids = Output({"tokenize", "--tokenizer", tokenizer}, text);
    EXPECT_LT(std::count(ids.begin(), ids.end(), ' '), static_cast<ptrdiff_t>(text.size() * 3 / 4));
    EXPECT_EQ(Output({"detokenize", "--tokenizer", tokenizer}, ids), text);
  }
}

}  // namespace
}  // namespace tern
