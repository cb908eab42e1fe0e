// tern generate, end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::Json;
using testing::Outcome;
using testing::Output;
using testing::Process;
using testing::RunTern;
using ::testing::StartsWith;

class GenerateCommand : public testing::CliTest {
 protected:
  std::vector<std::string> With(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"generate", "-m", model_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static std::vector<int> Tokens(const nlohmann::json& json) {
    return json.at("tokens").get<std::vector<int>>();
  }
};

std::vector<int> Slice(const std::vector<int>& v, size_t begin, size_t end) {
  return {v.begin() + static_cast<ptrdiff_t>(begin), v.begin() + static_cast<ptrdiff_t>(end)};
}

TEST_F(GenerateCommand, ReportsAsJsonWhatItWrites) {
  const nlohmann::json json = Json(With({"-p", "Once", "-n", "30", "--seed", "3", "--json"}));
  EXPECT_EQ(json.at("stop"), "length");
  EXPECT_EQ(json.at("prompt_tokens"), 4);
  EXPECT_EQ(json.at("generated_tokens"), 30);
  EXPECT_EQ(json.at("seed"), 3);
  EXPECT_EQ(Tokens(json).size(), 30u);
  for (const char* number : {"load_seconds", "prompt_seconds", "generate_seconds", "prompt_tokens_per_second",
                             "generate_tokens_per_second"}) {
    EXPECT_GE(json.at(number).get<double>(), 0) << number;
  }
  EXPECT_EQ(Output(With({"-p", "Once", "-n", "30", "--seed", "3"})),
            json.at("text").get<std::string>() + "\n");
}

TEST_F(GenerateCommand, SaysBeforeItWritesThatAStateCannotBeKept) {
  const std::string path = File("missing/folder/a.state");
  const Outcome outcome = RunTern(With({"-p", "Once", "-n", "30", "--state-out", path}));
  EXPECT_NE(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("'" + path + "'"));
}

TEST_F(GenerateCommand, RepeatsItselfWithTheSameSeedOnAnyNumberOfThreads) {
  const auto run = [&](const char* seed, const char* threads) {
    return Tokens(Json(With({"-p", "Once", "-n", "40", "--json", "--seed", seed, "--threads", threads})));
  };
  const std::vector<int> first = run("3", "1");
  EXPECT_EQ(run("3", "1"), first);
  EXPECT_EQ(run("3", "3"), first);
  EXPECT_NE(run("4", "1"), first);
}

TEST_F(GenerateCommand, ContinuesASavedStateAsIfItHadNotStopped) {
  const std::vector<int> whole = Tokens(Json(With({"-p", "Once", "-n", "60", "--seed", "9", "--json"})));
  const std::vector<int> first =
      Tokens(Json(With({"-p", "Once", "-n", "25", "--seed", "9", "--json", "--state-out", File("a.state")})));
  EXPECT_EQ(first, Slice(whole, 0, 25));
  const nlohmann::json rest = Json(With(
      {"--state-in", File("a.state"), "-n", "35", "--seed", "9", "--json", "--state-out", File("b.state")}));
  EXPECT_EQ(Tokens(rest), Slice(whole, 25, 60));
  EXPECT_EQ(rest.at("prompt_tokens"), 0);
  // A state with nothing generated: the prompt alone, read once and used twice.
  EXPECT_EQ(Output(With({"-p", "Once", "-n", "0", "--seed", "9", "--state-out", File("c.state")})), "\n");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Tokens(Json(With({"--state-in", File("c.state"), "-n", "60", "--seed", "9", "--json"}))),
              whole);
  }
}

TEST_F(GenerateCommand, RefusesTheStateOfAnotherModel) {
  Output(With({"-p", "x", "-n", "1", "--state-out", File("a.state")}));
  Write(Rwkv7(64), File("other.pth"));
  testing::ExpectOneLine(RunTern({"generate", "-m", File("other.pth"), "--state-in", File("a.state")}),
                         "a.state");
}

TEST_F(GenerateCommand, StopsBeforeAText) {
  const std::vector<std::string> base = With({"-p", "Once", "-n", "200", "--seed", "5", "--json"});
  const std::string whole = Json(base).at("text");
  // A piece of plain letters of the text serves as the stop.
  const size_t at = whole.find_first_of("abcdefghijklmnopqrstuvwxyz", whole.size() / 3);
  ASSERT_NE(at, std::string::npos);
  const std::string stop = whole.substr(at, 1);
  std::vector<std::string> with_stop = base;
  with_stop.insert(with_stop.end(), {"--stop", "never\n\n", stop});
  const nlohmann::json json = Json(with_stop);
  EXPECT_EQ(json.at("stop"), "stop string");
  EXPECT_EQ(json.at("text"), whole.substr(0, whole.find(stop)));
}

TEST_F(GenerateCommand, ReadsItsPromptFromAnywhere) {
  const std::string prompt = "夏天的海鸥 🐦 flies\nfar.";
  WriteText("prompt.txt", prompt);
  const std::vector<std::string> tail = {"-n", "20", "--json"};
  const auto run = [&](std::vector<std::string> source, const std::string& input = {}) {
    source.insert(source.end(), tail.begin(), tail.end());
    return Json(With(source), input);
  };
  const nlohmann::json given = run({"-p", prompt});
  EXPECT_EQ(given.at("prompt_tokens"), prompt.size());
  EXPECT_EQ(Tokens(run({"--prompt-file", File("prompt.txt")})), Tokens(given));
  EXPECT_EQ(Tokens(run({"--prompt-file", "-"}, prompt)), Tokens(given));
  EXPECT_EQ(run({}).at("prompt_tokens"), 1) << "a new document begins with one token";
  EXPECT_EQ(Tokens(run({"-p", ""})), Tokens(run({})));
}

TEST_F(GenerateCommand, ReadsALongPrompt) {
  std::string prompt;
  for (int i = 0; prompt.size() < 20000; ++i) prompt += "tern " + std::to_string(i) + ", ";
  prompt.resize(20000);
  const Outcome outcome = RunTern(With({"--prompt-file", "-", "-n", "3", "--json"}), prompt);
  ASSERT_EQ(outcome.code, 0) << outcome.err;  // its progress may be reported on standard error
  EXPECT_EQ(nlohmann::json::parse(outcome.out).at("prompt_tokens"), 20000);
}

TEST_F(GenerateCommand, WritesEnglishWithARealModel) {
  TERN_REQUIRE_TEST_DATA(data);
  for (const char* name : {"tiny-rwkv-5v2-730K-FP32.bin", "tiny-rwkv-7v0-834K-Q5_0.bin"}) {
    SCOPED_TRACE(name);
    const std::string text = Output({"generate", "-m", data + "/models/" + name, "-p", "Once upon a", "-n",
                                     "100", "--temperature", "0", "--presence", "0", "--frequency", "0"});
    size_t letters = 0;
    for (const char c : text) letters += std::isalpha(static_cast<unsigned char>(c)) || c == ' ';
    EXPECT_GT(letters, text.size() * 8 / 10) << text;
    EXPECT_THAT(text, HasSubstr(" the ")) << text;
  }
}

TEST_F(GenerateCommand, StopsAtAnInterruptAndKeepsWhatItWrote) {
  Process process(With({"-p", "Once", "-n", "100000000", "--state-out", File("a.state")}));
  ASSERT_TRUE(process.WaitFor([](const std::string& out) { return out.size() > 40; }));
  process.Signal(SIGINT);
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, ::testing::EndsWith("\n"));
  EXPECT_THAT(Json(With({"--state-in", File("a.state"), "-n", "5", "--json"})).at("generated_tokens"), 5);
}

TEST_F(GenerateCommand, StopsReadingAtAnInterrupt) {
  // 8 MB of prompt take a while; on a terminal its progress shows soon.
  WriteText("long.txt", std::string(8 << 20, 'x'));
  Process process(With({"--prompt-file", File("long.txt"), "-n", "1"}), {.terminal = true});
  ASSERT_TRUE(process.WaitForText("reading [")) << process.out();
  process.Signal(SIGINT);
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 130) << outcome.out;
  EXPECT_THAT(outcome.out, ::testing::EndsWith("\r\x1b[K")) << "the bar is wiped away and nothing follows";
}

TEST_F(GenerateCommand, EndsQuietlyWhenNobodyReads) {
  for (const bool ignored : {false, true}) {
    Process process(With({"-p", "Once", "-n", "100000000"}),
                    {.before_exec = [=] { std::signal(SIGPIPE, ignored ? SIG_IGN : SIG_DFL); }});
    ASSERT_TRUE(process.WaitFor([](const std::string& out) { return out.size() > 10; }));
    process.CloseOutput();
    const Outcome outcome = process.Finish();
    if (ignored) {
      EXPECT_EQ(outcome.code, 1);  // who ignores SIGPIPE wants to know
      EXPECT_EQ(outcome.err, "tern: cannot write to standard output\n");
    } else {
      EXPECT_EQ(outcome.code, -SIGPIPE);
      EXPECT_EQ(outcome.err, "");
    }
  }
}

}  // namespace
}  // namespace tern
