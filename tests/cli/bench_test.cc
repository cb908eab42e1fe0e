// tern bench of inference, as a person or a script uses it. (Training: train_test.cc.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A round of everything takes about a second, whatever the model: that is what measuring the machine needs.
class BenchTest : public CliTest {
 protected:
  static std::vector<std::string> Command(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"bench",    "--prompt", "9",         "--generate", "3",
                                      "--repeat", "1",        "--threads", "1"};
    for (const std::string& word : more) {
      if (!word.starts_with("--")) continue;
      const auto given = std::find(words.begin(), words.end(), word);
      if (given != words.end()) words.erase(given, given + 2);
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// Standard output of a run with its temporary files in a folder that must be empty afterwards.
  std::string Run(const std::vector<std::string>& more) const {
    const std::string folder = File("scratch");
    std::filesystem::create_directory(folder);
    const Outcome outcome = Process(Command(more), {.environment = {"TMPDIR=" + folder}}).Finish();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    return outcome.out;
  }
  nlohmann::json RunJson(std::vector<std::string> more) const {
    more.emplace_back("--json");
    const std::string out = Run(more);
    auto json = nlohmann::json::parse(out, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << out;
    return json;
  }
};

void ExpectSpread(const nlohmann::json& spread, size_t rounds) {
  ASSERT_EQ(spread.at("rounds").size(), rounds);
  for (const auto& value : spread.at("rounds")) {
    EXPECT_GT(value.get<double>(), 0);
    EXPECT_GE(value, spread.at("lowest"));
    EXPECT_LE(value, spread.at("highest"));
  }
  EXPECT_GE(spread.at("median"), spread.at("lowest"));
  EXPECT_LE(spread.at("median"), spread.at("highest"));
}

/// a = b · factor in every round. The same doubles went into both: what differs is the order of the products.
void ExpectProportional(const nlohmann::json& a, const nlohmann::json& b, double factor) {
  ASSERT_EQ(a.at("rounds").size(), b.at("rounds").size());
  for (size_t i = 0; i < a.at("rounds").size(); ++i) {
    EXPECT_NEAR(a.at("rounds")[i].get<double>() / (b.at("rounds")[i].get<double>() * factor), 1, 1e-12);
  }
}

TEST_F(BenchTest, CountsWhatATokenReallyReads) {
  // 128 rows are a whole strip of columns, and random models have about half of their hidden units at zero.
  const auto file =
      RunJson({"--random", "rwkv7:2x128x256", "--type", "f16", "--batch", "1"}).at("files").at(0);
  const double ffn_value = 2.0 * 128 * file.at("ffn_width").get<double>() * 2;
  const double unread =
      file.at("bytes_per_token").get<double>() - file.at("bytes_read_per_token").get<double>();
  EXPECT_GT(unread, 0.3 * ffn_value);
  EXPECT_LT(unread, 0.7 * ffn_value);
}

TEST_F(BenchTest, MeasuresEveryTypeAndThreadCountInEveryRound) {
  const auto json = RunJson({"--random", "rwkv7:2x64x256", "--type", "f32,q8_0", "--threads", "1,2",
                             "--batch", "1,3", "--repeat", "2"});
  EXPECT_EQ(json.at("random"), "rwkv7:2x64x256");
  EXPECT_EQ(json.at("rounds"), 2);
  ASSERT_EQ(json.at("machine").size(), 2u);
  ASSERT_EQ(json.at("files").size(), 2u);
  ASSERT_EQ(json.at("results").size(), 4u);
  for (const auto& file : json.at("files")) {
    EXPECT_EQ(file.at("architecture"), "RWKV-7");
    EXPECT_EQ(file.at("layers"), 2);
    EXPECT_EQ(file.at("width"), 64);
    EXPECT_EQ(file.at("vocabulary"), 256);
    EXPECT_GT(file.at("file_bytes"), file.at("bytes_per_token"));
    EXPECT_LE(file.at("bytes_read_per_token"), file.at("bytes_per_token"));
    EXPECT_GT(file.at("peak_memory_bytes"), 0);
    ExpectSpread(file.at("load_seconds"), 2);
  }
  EXPECT_GT(json.at("files")[0].at("bytes_per_token"), json.at("files")[1].at("bytes_per_token"));
  for (size_t i = 0; i < 4; ++i) {
    const auto& result = json.at("results")[i];
    const auto& file = json.at("files")[i / 2];
    const auto& machine = json.at("machine")[i % 2];
    EXPECT_EQ(result.at("type"), i < 2 ? "f32" : "q8_0");
    EXPECT_EQ(result.at("threads"), i % 2 + 1);
    EXPECT_EQ(machine.at("threads"), i % 2 + 1);
    const auto& decode = result.at("decode");
    ExpectSpread(decode.at("tokens_per_second"), 2);
    for (size_t round = 0; round < 2; ++round) {
      const double bandwidth = machine.at("bandwidth_bytes_per_second").at("rounds")[round];
      const double limit = bandwidth / file.at("bytes_read_per_token").get<double>();
      const double rate = decode.at("tokens_per_second").at("rounds")[round];
      EXPECT_NEAR(decode.at("share_of_bandwidth").at("rounds")[round].get<double>() / (rate / limit), 1,
                  1e-12);
    }
    ASSERT_EQ(result.at("batches").size(), 2u);
    EXPECT_EQ(result.at("batches")[0].at("sequences"), 1);
    EXPECT_EQ(result.at("batches")[0].at("tokens_per_second"), decode.at("tokens_per_second"));
    EXPECT_EQ(result.at("batches")[1].at("sequences"), 3);
    ExpectSpread(result.at("batches")[1].at("tokens_per_second"), 2);
  }
}

// A token of a prompt goes through all matrices but the head's, the last through the head as well.
TEST_F(BenchTest, CountsWhatAPromptComputes) {
  const auto json = RunJson({"--random", "rwkv4:1x32x64", "--type", "f32", "--prompt", "10"});
  const auto& file = json.at("files")[0];
  const double head = 2 * 64 * 32, token = file.at("flop_per_token").get<double>();
  const auto& prefill = json.at("results")[0].at("prefill");
  EXPECT_EQ(prefill.at("tokens"), 10);
  ExpectProportional(prefill.at("flop_per_second"), prefill.at("tokens_per_second"),
                     (10 * (token - head) + head) / 10);
  if (!prefill.contains("peak")) return;  // a processor without any of the units
  EXPECT_EQ(prefill.at("peak"), "fp32");
  for (const auto& peak : json.at("machine")[0].at("peaks")) {
    if (peak.at("arithmetic") != "fp32") continue;
    const double share = prefill.at("share_of_peak").at("median");
    EXPECT_NEAR(share * peak.at("operations_per_second").at("median").get<double>() /
                    prefill.at("flop_per_second").at("median").get<double>(),
                1, 1e-12);
  }
}

TEST_F(BenchTest, MeasuresAFileAsItIsOrConverted) {
  const auto info = Json({"info", model_, "--json"});
  const auto as_is = RunJson({"--model", model_, "--prompt", "0"});
  EXPECT_EQ(as_is.at("model"), model_);
  EXPECT_EQ(as_is.at("files")[0].at("type"), "f32");
  EXPECT_EQ(as_is.at("files")[0].at("path"), model_);
  for (const char* field : {"bytes_per_token", "flop_per_token", "parameters", "state_bytes"}) {
    EXPECT_EQ(as_is.at("files")[0].at(field), info.at(field)) << field;
  }
  EXPECT_FALSE(as_is.at("results")[0].contains("prefill"));

  const auto converted = RunJson({"--model", model_, "--type", "f16,q4_0"});
  ASSERT_EQ(converted.at("files").size(), 2u);
  EXPECT_EQ(converted.at("files")[1].at("type"), "q4_0");
  EXPECT_LT(converted.at("files")[1].at("bytes_per_token"), converted.at("files")[0].at("bytes_per_token"));
}

TEST_F(BenchTest, RunsEveryGeneration) {
  for (const char* name : {"rwkv4:1x64x64", "rwkv5.0:1x64x64", "rwkv5.1:1x64x64", "rwkv5:1x64x64",
                           "rwkv6:1x64x64", "rwkv7:1x64x64"}) {
    SCOPED_TRACE(name);
    const auto json = RunJson({"--random", name, "--type", "q5_1", "--batch", "2"});
    ExpectSpread(json.at("results")[0].at("decode").at("tokens_per_second"), 1);
  }
}

TEST_F(BenchTest, HoldsEveryRoundAgainstAPeer) {
  const std::string log = File("log");
  const std::string peer =
      "echo some words; echo decode 4 tokens/s; test -s \"$TERN_BENCH_MODEL\" && "
      "echo $TERN_BENCH_TYPE $TERN_BENCH_THREADS $TERN_BENCH_PROMPT $TERN_BENCH_GENERATE >> " +
      log + " && echo prefill 8 tokens/s";
  const auto json =
      RunJson({"--random", "rwkv7:1x64x64", "--type", "q8_0,q4_0", "--repeat", "2", "--compare", peer});
  EXPECT_EQ(Text("log"), "q8_0 1 9 3\nq4_0 1 9 3\nq8_0 1 9 3\nq4_0 1 9 3\n");
  for (const auto& result : json.at("results")) {
    const auto& them = result.at("peer");
    EXPECT_EQ(them.at("decode").at("tokens_per_second").at("rounds"), nlohmann::json({4.0, 4.0}));
    ExpectProportional(them.at("decode").at("tern_over_peer"), result.at("decode").at("tokens_per_second"),
                       1 / 4.0);
    ExpectProportional(them.at("prefill").at("tern_over_peer"), result.at("prefill").at("tokens_per_second"),
                       1 / 8.0);
  }
}

TEST_F(BenchTest, PrintsATable) {
  const std::string table = Run({"--random", "rwkv6:2x64x256", "--type", "q8_0", "--batch", "5", "--compare",
                                 "echo decode 2 tokens/s"});
  for (const char* text : {"rwkv6:2x64x256, random weights: RWKV-6, 2 × 64", "memory read, GB/s",
                           "read per token", "peak memory", "decode, tokens/s", "of bandwidth",
                           "prefill, tokens/s", "sequences", "Tern ÷ the other", "q8_0"}) {
    EXPECT_THAT(table, HasSubstr(text));
  }
  EXPECT_THAT(table, ::testing::Not(HasSubstr("…"))) << "one round has no spread";
}

TEST_F(BenchTest, SaysWhatIsWrongWithItsOptions) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--random", "rwkv9:1B"}, "rwkv7:1.5B"},
      {{"--random", "rwkv7"}, "rwkv7:12x768"},
      {{"--random", "rwkv7:2x63"}, "a width of 64"},
      {{"--random", "rwkv7:0x64"}, "layers"},
      {{"--random", "rwkv7:1x64", "--type", "q9_0"}, "q8_0"},
      {{"--random", "rwkv7:1x64", "--type", "q3_k"}, "q3_k"},
      {{"--random", "rwkv7:1x64", "--threads", "0"}, "--threads"},
      {{"--random", "rwkv7:1x64", "--threads", "1,x"}, "--threads"},
      {{"--random", "rwkv7:1x64", "--batch", "0"}, "--batch"},
      {{"--random", "rwkv7:1x64", "--generate", "0"}, "--generate"},
      {{"--random", "rwkv7:1x64", "--repeat", "0"}, "--repeat"},
      {{"--random", "rwkv7:1x64", "--model", model_}, "--model"},
      {{"--random", "rwkv7:1x64", "--steps", "3"}, "--steps needs --train"},
      {{"--train", "--random", "rwkv7:1x64"}, "does not go with --train"},
      {{"--model", File("absent.gguf")}, "absent.gguf"},
      {{"--model", model_, "--compare", "exit 3", "--json"}, "ended with status 3"},
      {{"--model", model_, "--compare", "echo hello", "--json"}, "printed neither"},
  };
  for (const auto& [arguments, names] : wrong) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    ExpectOneLine(RunTern(Command(arguments)), names);
  }
  ExpectOneLine(
      Process(Command({"--random", "rwkv7:1x64x64"}), {.environment = {"TMPDIR=" + File("nowhere")}})
          .Finish(),
      "nowhere");
  ExpectOneLine(RunTern({"bench", "--train", "--threads", "1,2"}), "--threads");
}

TEST_F(BenchTest, WhatFailsWithoutAWrongOptionIsNoErrorOfUsage) {
  for (const char* peer : {"exit 3", "echo hello"}) {
    EXPECT_EQ(RunTern(Command({"--model", model_, "--compare", peer})).code, 1);
  }
  auto tensors = RandomTensors(Rwkv7());
  for (OutputTensor& tensor : tensors) {
    if (tensor.name != "head.weight") continue;
    const size_t bytes = static_cast<size_t>(NumBytes(tensor.dtype, tensor.shape).value_or(0));
    tensor.produce = [bytes] {
      return TensorBytes{{}, std::vector<std::byte>(bytes, std::byte{0xff})};
    };  // NaN
  }
  ASSERT_TRUE(WritePth(File("broken.pth"), tensors).ok());
  const Outcome outcome = RunTern(Command({"--model", File("broken.pth"), "--json"}));
  ExpectOneLine(outcome, "head.weight");
  EXPECT_EQ(outcome.code, 1);
}

TEST_F(BenchTest, LeavesNothingBehindWhenItIsStopped) {
  const std::string folder = File("scratch");
  std::filesystem::create_directory(folder);
  const Outcome outcome = Process(Command({"--random", "rwkv7:1x64x64", "--repeat", "1000", "--compare",
                                           "kill -INT $PPID; echo decode 1 tokens/s"}),
                                  {.environment = {"TMPDIR=" + folder}})
                              .Finish();
  EXPECT_NE(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

}  // namespace
}  // namespace tern::testing
