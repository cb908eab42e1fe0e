// Numbers on the command line mean what they look like.
#include "tests/cli/cli_testing.h"

namespace tern::testing {
namespace {

class NumbersTest : public CliTest {};

TEST_F(NumbersTest, WholeNumbersAreDecimal) {
  EXPECT_EQ(Output({"detokenize", "--tokenizer", "bytes", "065"}), Output({"detokenize", "--tokenizer", "bytes", "65"}));
  const auto eight = Json({"generate", "-m", model_, "-n", "010", "--ignore-eos", "--seed", "08", "--json"});
  EXPECT_EQ(eight["tokens"].size(), 10u);
  EXPECT_EQ(eight["seed"], 8);
}

TEST_F(NumbersTest, TheStartOfTextsIsDecimalToo) {
  WriteText("a.txt", "some text");
  const auto start = [&](const char* id) {
    return Json({"eval", "perplexity", "-m", model_, "--start", id, File("a.txt"), "--json"})["start"];
  };
  EXPECT_EQ(start("010"), start("10"));
  ExpectOneLine(RunTern({"eval", "perplexity", "-m", model_, "--start", "0x8", File("a.txt")}), "0x8");
}

TEST_F(NumbersTest, WhatIsNoNumberIsNamed) {
  const std::initializer_list<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"logits", "-m", model_, "--tokens", ""}, "--tokens: expected a whole number, got ''"},
      {{"logits", "-m", model_, "--tokens", "1,x"}, "got 'x'"},
      {{"generate", "-m", model_, "--temperature", ""}, "--temperature: expected a number, got ''"},
      {{"generate", "-m", model_, "-n", "99999999999999999999"}, "is too large a number"},
      {{"generate", "-m", model_, "-n", "-1"}, "expected 0 or more, got '-1'"},
      {{"generate", "-m", model_, "-n", "1e3"}, "got '1e3'"}};
  for (const auto& [command, message] : wrong) {
    const Outcome outcome = RunTern(command);
    EXPECT_EQ(outcome.code, 2) << message;
    ExpectOneLine(outcome, message);
  }
}

TEST_F(NumbersTest, SizesHaveUnitsAndFractions) {
  for (const char* size : {"1.5G", "800M", "64MiB", "100000000", "1e9B"}) {
    const Outcome outcome = RunTern({"logits", "-m", model_, "--tokens", "1", "--memory", size});
    EXPECT_EQ(outcome.code, 0) << size << outcome.err;
  }
  for (const char* size : {"-5", "0", "1.5X", "G", "", "nan", "1e30"})
    ExpectOneLine(RunTern({"logits", "-m", model_, "--tokens", "1", "--memory", size}), "such as 800M or 1.5G");
}

}  // namespace
}  // namespace tern::testing
