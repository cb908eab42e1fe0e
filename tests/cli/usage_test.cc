// Help, and what the program says when it is asked for something that is not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Output;
using testing::Process;
using testing::RunTern;

class Usage : public testing::CliTest {};

const std::vector<std::string> kModelOptions = {"--model", "--tokenizer", "--threads"};
const std::vector<std::string> kSamplingOptions = {
    "--temperature",  "--top-p",     "--top-k",         "--min-p",     "--typical-p",
    "--presence",     "--frequency", "--penalty-decay", "--mirostat",  "--mirostat-tau",
    "--mirostat-eta", "--seed",      "--ban",           "--logit-bias", "--repeat-penalty"};

TEST_F(Usage, SeedsAreWholeNumbersFromZero) {
  const std::string most = "18446744073709551615";
  for (const std::string& seed : {std::string("-1"), most + "0", std::string("1.5"), std::string("0x1")}) {
    for (const std::vector<std::string>& command : {std::vector<std::string>{"generate", "--prompt", "a"},
                                                    {"chat"},
                                                    {"train", "--data", "x", "--out", "y"}}) {
      std::vector<std::string> words = command;
      words.insert(words.end(), {"--seed", seed});
      const Outcome outcome = RunTern(words);
      EXPECT_EQ(outcome.code, 2) << outcome.err;
      ExpectOneLine(outcome, "'" + seed + "'");
    }
  }
  // The largest one is fine: what is missing then is the text.
  ExpectOneLine(RunTern({"train", "--seed", most, "--out", "y"}), "--data");
}

TEST_F(Usage, HelpOfEveryCommandListsItsOptions) {
  struct Command {
    const char* name;
    bool model, sampling;
    std::vector<std::string> options;
  };
  const std::vector<Command> commands = {
      {"generate",
       true,
       true,
       {"--prompt", "--prompt-file", "--tokens", "--stop", "--ignore-eos", "--state-in", "--state-out",
        "--json"}},
      {"chat",
       true,
       true,
       {"--template", "--system", "--load", "--state-in", "--tokens", "--json", "+reset", "+retry", "+undo", "+gen",
        "+save", "+load", "+set", "+help", "Ctrl-C", "Ctrl-D"}},
      {"serve",
       true,
       false,
        {"--state-in", "--address", "--port", "--api-keys", "--admin-keys", "--allow-open", "--cors", "--certificate",
         "--key", "--states", "--state-memory", "--state-disk", "--max-batch", "--max-queue", "--access-log",
         "--grace"}},
      {"info", false, false, {"file", "--tokenizer", "--tensors", "--verify", "--json"}},
      {"logits", false, false, {"--model", "--threads", "--tokens", "--chunk", "--state-in", "--json"}},
      {"tokenize", false, false, {"--tokenizer", "--file", "--json", "text", "--out", "--separator"}},
      {"detokenize", false, false, {"--tokenizer", "--file", "--json", "ids"}},
      {"convert",
       false,
       false,
       {"in", "out", "--type", "--names", "--drop-initial-state", "--tokenizer", "--threads", "--json", ".gguf", "q8_0", "q6_k"}}};
  const std::string all = Output({"--help"});
  for (const Command& command : commands) {
    EXPECT_THAT(all, HasSubstr(command.name));
    const std::string help = Output({command.name, "--help"});
    for (const std::string& option : command.options) EXPECT_THAT(help, HasSubstr(option)) << command.name;
    if (command.model) {
      for (const std::string& option : kModelOptions) EXPECT_THAT(help, HasSubstr(option)) << command.name;
    }
    if (command.sampling) {
      for (const std::string& option : kSamplingOptions) EXPECT_THAT(help, HasSubstr(option)) << command.name;
    }
  }
  EXPECT_THAT(Output({"--version"}), HasSubstr("."));
}

TEST_F(Usage, RefusesWhatItDoesNotKnowInOneLine) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"levitate"},
      {"--levitate"},
      {"generate", "--levitate"},
      {"generate", "-m", model_, "-n", "many"},
      {"generate", "-m", model_, "-n", "-1"},
      {"generate", "-m", model_, "--threads", "0"},
      {"generate", "-m", model_, "--logit-bias", "5"},
      {"generate", "-m", model_, "--logit-bias", "5:x"},
      {"generate", "-m", model_, "--temperature", "-1"},
      {"generate", "-m", model_, "--top-p", "1.5"},
      {"generate", "-m", model_, "--stop", ""},
      {"generate", "-m", model_, "-p", "a", "--prompt-file", "b"},
      {"generate", "-m", model_, "--ban", "300"},
      {"chat", "-m", model_, "--template", "poem"},
      {"info"},
      {"logits", "-m", model_},
      {"logits", "-m", model_, "--tokens", "1,256"},
      {"logits", "-m", model_, "--tokens", "1,x"},
      {"logits", "-m", model_, "--tokens", "1", "--chunk", "0"},
      {"tokenize", "text"},
      {"detokenize", "--tokenizer", "bytes", "256"},
      {"convert", model_},
      {"convert", model_, "out.zip"},
      {"convert", model_, "out.gguf", "--type", "q3_k"},
      {"convert", model_, "out.st", "--names", "poems"}};
  for (const auto& arguments : wrong) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const Outcome outcome = RunTern(arguments);
    ExpectOneLine(outcome, "");
    EXPECT_EQ(outcome.code, 2);
  }
}

TEST_F(Usage, WritesAStoryWithTheModelThatCameWithIt) {
  const Outcome outcome = RunTern({"generate", "-n", "40", "--seed", "1", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"generated_tokens\": 40"));
  const Outcome given = Process({"generate", "-n", "1"}, {.environment = {"TERN_MODEL=" + model_}}).Finish();
  EXPECT_EQ(given.code, 0) << given.err;
}

TEST_F(Usage, NamesWhatItDoesNotKnowBeforeWhatIsMissing) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"nothing"}, "there is no command 'nothing' (see tern --help)"},
      {{"--bogus"}, "there is no option '--bogus' (see tern --help)"},
      {{"eval", "foo"}, "there is no command 'eval foo' (see tern eval --help)"},
      {{"tokenizer", "foo"}, "there is no command 'tokenizer foo' (see tern tokenizer --help)"},
      {{"eval", "perplexity", "--bogus"}, "there is no option '--bogus' (see tern eval perplexity --help)"},
      {{"eval", "perplexity"}, "files is required (see tern eval perplexity --help)"},
      {{"info", "a", "b"}, "'b' (see tern info --help)"},
      {{"logits", "--tokenizer", "x", "--tokens", "1"},
       "there is no option '--tokenizer' (see tern logits --help)"}};
  for (const auto& [arguments, names] : wrong) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const Outcome outcome = RunTern(arguments);
    ExpectOneLine(outcome, names);
    EXPECT_EQ(outcome.code, 2);
  }
}

TEST_F(Usage, HelpThatCannotBeWrittenIsAFailure) {
  for (const char* flag : {"--help", "--version"}) {
    const auto to_full_disk = [] { ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO); };
    const Outcome outcome = Process({flag}, {.before_exec = to_full_disk}).Finish();
    EXPECT_EQ(outcome.code, 1);
    ExpectOneLine(outcome, "cannot write");
  }
}

TEST_F(Usage, AFileOverTheLimitIsAnErrorAndLeavesNothing) {
  const auto limit = [] {
    const rlimit bytes = {1024, 1024};
    ::setrlimit(RLIMIT_FSIZE, &bytes);
  };
  const Outcome outcome =
      Process({"convert", model_, File("out.st"), "--json"}, {.before_exec = limit}).Finish();
  EXPECT_EQ(outcome.code, 1);
  ExpectOneLine(outcome, "out.st");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1) << "the model alone";
}

TEST_F(Usage, OnlyAWrongCallIsAnErrorOfUsage) {
  EXPECT_EQ(RunTern({"info", "/dev/null"}).code, 1);
  EXPECT_EQ(RunTern({"bench", "-m", "/dev/null"}).code, 1);
  EXPECT_EQ(RunTern({"eval", "perplexity", "-m", model_, "/dev/null"}).code, 1);
  EXPECT_EQ(RunTern({"bench", "--random", "rwkv9:1x64"}).code, 2);
}

TEST_F(Usage, NamesTheFileThatIsNoModel) {
  WriteText("text.pth", "Once upon a time there was a tern.\n");
  WriteText("text.bin", "Once upon a time there was a tern.\n");
  WriteText("empty.safetensors", "");
  for (const char* extension : {".pth", ".st", ".gguf", ".bin"}) {
    if (extension != std::string(".pth"))
      Output({"convert", model_, File(std::string("good") + extension), "--json"});
    const std::string good =
        Text(extension == std::string(".pth") ? "model.pth" : std::string("good") + extension);
    WriteText(std::string("cut") + extension, good.substr(0, good.size() * 2 / 3));
  }
  const std::vector<std::string> bad = {"absent.pth", "text.pth", "text.bin", "empty.safetensors",
                                        "cut.pth",    "cut.st",   "cut.gguf", "cut.bin"};
  for (const std::string& name : bad) {
    SCOPED_TRACE(name);
    ExpectOneLine(RunTern({"generate", "-m", File(name), "-p", "x"}), name);
    ExpectOneLine(RunTern({"info", File(name), "--json"}), name);
  }
  ExpectOneLine(RunTern({"generate", "-m", dir_.path()}), dir_.path());
  ExpectOneLine(RunTern({"chat", "-m", File("cut.gguf")}, "hello\n"), "cut.gguf");
  ExpectOneLine(RunTern({"logits", "-m", File("cut.st"), "--tokens", "1", "--json"}), "cut.st");
}

TEST_F(Usage, NamesOtherFilesThatCannotBeRead) {
  ExpectOneLine(RunTern({"generate", "-m", model_, "--prompt-file", File("absent.txt")}), "absent.txt");
  ExpectOneLine(RunTern({"generate", "-m", model_, "--prompt-file", dir_.path()}), dir_.path());
  ExpectOneLine(RunTern({"generate", "-m", model_, "--state-in", File("absent.state")}), "absent.state");
  ExpectOneLine(RunTern({"generate", "-m", model_, "--state-in", model_}), "model.pth");
  ExpectOneLine(RunTern({"generate", "-m", model_, "--tokenizer", File("absent.txt")}), "absent.txt");
  ExpectOneLine(RunTern({"generate", "-m", model_, "--tokenizer", model_}), "model.pth");
  ExpectOneLine(RunTern({"chat", "-m", model_, "--load", File("absent.chat")}), "absent.chat");
  ExpectOneLine(RunTern({"tokenize", "--tokenizer", "bytes", "--file", File("absent.txt")}), "absent.txt");
}

TEST_F(Usage, SaysWhenItsOutputCannotBeWritten) {
  const auto to_full_disk = [] {
    const int full = ::open("/dev/full", O_WRONLY);
    ::dup2(full, STDOUT_FILENO);
  };
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"generate", "-m", model_, "-n", "5"},
                                             {"info", model_, "--json"},
                                             {"tokenize", "--tokenizer", "bytes", "abc"}}) {
    SCOPED_TRACE(arguments[0]);
    ExpectOneLine(Process(arguments, {.before_exec = to_full_disk}).Finish(), "standard output");
  }
}

}  // namespace
}  // namespace tern
