// tern chat, from a pipe and on a terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::Process;
using testing::RunTern;

class ChatCommand : public testing::CliTest {
 protected:
  /// The command line, with short answers and a seed unless `more` says otherwise.
  std::vector<std::string> With(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"chat", "-m", model_};
    for (const auto& [name, value] : {std::pair("-n", "20"), {"--template", "world"}, {"--seed", "3"}}) {
      if (std::find(more.begin(), more.end(), name) == more.end())
        arguments.insert(arguments.end(), {name, value});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// The answers to a script, one JSON object each.
  std::vector<nlohmann::json> Answers(const std::string& script, std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--json", "--system", "Be brief."});
    const Outcome outcome = RunTern(With(more), script);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    std::vector<nlohmann::json> answers;
    for (size_t begin = 0; begin < outcome.out.size();) {
      const size_t end = outcome.out.find('\n', begin);
      answers.push_back(nlohmann::json::parse(outcome.out.substr(begin, end - begin), nullptr, false));
      EXPECT_TRUE(answers.back().is_object()) << outcome.out;
      begin = end + 1;
    }
    return answers;
  }
  static std::string Answer(const nlohmann::json& json) { return json.at("answer"); }
};

TEST_F(ChatCommand, AnswersEachLine) {
  const auto answers = Answers("Hello\n\nWhere to?\\\nSouth?\n");
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers.at(0).at("user"), "Hello");
  EXPECT_EQ(answers.at(0).at("stop"), "length");
  EXPECT_EQ(answers.at(0).at("tokens"), 20);
  EXPECT_EQ(answers.at(1).at("user"), "Where to?\nSouth?") << "a backslash joins two lines";
  const Outcome plain = RunTern(With({"--system", "Be brief."}), "Hello\n");
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_EQ(plain.out, Answer(answers.at(0)) + "\n");
}

TEST_F(ChatCommand, GoesBackAndTriesAgain) {
  const auto straight = Answers("One\nTwo\n");
  const auto undone = Answers("One\nNot this\n+undo\nTwo\n");
  ASSERT_EQ(undone.size(), 3u);
  EXPECT_EQ(Answer(undone.at(2)), Answer(straight.at(1)));
  const auto again = Answers("One\n+retry\n");
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again.at(1).at("user"), "One");
  EXPECT_NE(Answer(again.at(1)), Answer(again.at(0)));
  const auto greedy = Answers("One\n+reset\nOne\n+retry\n", {"--temperature", "0"});
  ASSERT_EQ(greedy.size(), 3u);
  EXPECT_EQ(Answer(greedy.at(1)), Answer(greedy.at(0))) << "after +reset nothing is remembered";
  EXPECT_EQ(Answer(greedy.at(2)), Answer(greedy.at(0)));
}

TEST_F(ChatCommand, GoesOnFromAFile) {
  const auto whole = Answers("One\nTwo\nThree\n");
  const std::string file = File("talk.state");
  Answers("One\nTwo\n+save " + file + "\n");
  for (const auto& rest :
       {Answers("Three\n", {"--load", file}), Answers("Other\n+load " + file + "\nThree\n")}) {
    ASSERT_FALSE(rest.empty());
    EXPECT_EQ(Answer(rest.back()), Answer(whole.at(2)));
  }
}

TEST_F(ChatCommand, SaysThatTurnsOfALoadedConversationStay) {
  const std::string file = File("talk.state");
  Answers("One\n+save " + file + "\n");
  for (const char* back : {"+undo\n", "+retry\n"}) {
    ExpectOneLine(RunTern(With({"--load", file}), back), "before the conversation was loaded");
  }
  EXPECT_EQ(Answers("Two\n+undo\nTwo\n+retry\n", {"--load", file}).size(), 3u)
      << "later ones can be taken back";
}

TEST_F(ChatCommand, SaysWhatALoadedConversationKeeps) {
  const std::string file = File("talk.state");
  Answers("One\n+save " + file + "\n");
  const auto note = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--load", file});
    const Outcome outcome = RunTern(With(more), "");
    EXPECT_EQ(outcome.code, 0);
    return outcome.err;
  };
  EXPECT_EQ(note({"--system", "Be brief."}), "");
  EXPECT_THAT(note({"--system", "Be long."}), HasSubstr("--system is not used"));
  EXPECT_THAT(note({"--template", "raven"}), HasSubstr("--template is not used"));
  EXPECT_THAT(note({"--template", "raven", "--system", "x"}),
              HasSubstr("--template and --system are not used"));
}

TEST_F(ChatCommand, EveryLineOfJsonIsAnObject) {
  const auto lines = Answers("+set\n+help\n", {"--temperature", "0.4"});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines.at(0).at("options").at("temperature").dump(), "0.4");
  EXPECT_EQ(lines.at(0).at("options").at("seed"), 3);
  EXPECT_EQ(lines.at(0).at("options").at("tokens"), 20);
  EXPECT_THAT(lines.at(1).at("help").get<std::string>(), HasSubstr("+undo"));
}

TEST_F(ChatCommand, ChangesItsOptions) {
  const Outcome set =
      RunTern(With({}), "+set temperature 0\n+set top-k=7\n+set tokens 5\n+set seed 12\n+set\n");
  EXPECT_EQ(set.code, 0) << set.err;
  for (const char* line : {"temperature +0\n", "top-k +7\n", "tokens +5\n", "seed +12\n"}) {
    EXPECT_THAT(set.out, ::testing::ContainsRegex(line));
  }
  const auto greedy = Answers("+set temperature 0\n+set tokens 5\nOne\n");
  ASSERT_EQ(greedy.size(), 1u);
  EXPECT_EQ(greedy.at(0).at("tokens"), 5);
  EXPECT_EQ(Answer(greedy.at(0)), Answer(Answers("One\n", {"--temperature", "0", "-n", "5"}).at(0)));
  const auto again = Answers("One\n+set temperature 0\n+retry\n+retry\n");
  ASSERT_EQ(again.size(), 3u);
  EXPECT_EQ(Answer(again.at(1)), Answer(again.at(2))) << "+retry must use what +set changed";
  for (const char* wrong :
       {"+set wings 2", "+set seed -1", "+set top-k x", "+set top-k 1.5", "+set temperature", "+set temperature -1",
        "+set tokens 0", "+set tokens -3", "+set temperature nan"}) {
    SCOPED_TRACE(wrong);
    ExpectOneLine(RunTern(With({}), std::string(wrong) + "\nOne\n"), "");
  }
}

TEST_F(ChatCommand, ContinuesATextBesideTheConversation) {
  const auto with = Answers("One\n+gen Once upon\nTwo\n"), without = Answers("One\nTwo\n");
  ASSERT_EQ(with.size(), 3u);
  EXPECT_EQ(Answer(with.at(2)), Answer(without.at(1)));
  EXPECT_EQ(with.at(1).at("prompt"), "Once upon");
  EXPECT_EQ(with.at(1).at("tokens"), 20);
  const Outcome plain = RunTern(With({}), "+gen Once upon\n");
  EXPECT_EQ(plain.out, "Once upon" + with.at(1).at("text").get<std::string>() + "\n");
  // What a template makes of an answer is nothing to a text of its own.
  const auto thinker = Answers("+gen Once upon\n", {"--template", "g1-think"});
  EXPECT_EQ(thinker.at(0).at("text"), with.at(1).at("text"));
}

TEST_F(ChatCommand, HelpsAndEndsAScriptAtItsFirstMistake) {
  const Outcome help = RunTern(With({}), "+help\n");
  for (const char* command : {"+reset", "+retry", "+undo", "+gen", "+save", "+load", "+set", "+help"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
  }
  ExpectOneLine(RunTern(With({}), "+fly\nHello\n"), "+fly");
  ExpectOneLine(RunTern(With({}), "+undo\nHello\n"), "take back");
  ExpectOneLine(RunTern(With({}), "+retry\n"), "try again");
  ExpectOneLine(RunTern(With({}), "+save\n"), "+save");
  ExpectOneLine(RunTern(With({}), "+load " + File("absent") + "\n"), "absent");
  ExpectOneLine(RunTern(With({}), "+load " + model_ + "\n"), "model.pth");
}

class ChatTerminal : public ChatCommand {
 protected:
  testing::ProcessOptions Terminal() const {
    return {.environment = {"TERM=vt100", "XDG_STATE_HOME=" + dir_.path(), "HOME=" + dir_.path()},
            .terminal = true};
  }
};

TEST_F(ChatTerminal, CtrlCStopsTheAnswerAndCtrlDTheProgram) {
  Process process(With({"-n", "100000000"}), Terminal());
  ASSERT_TRUE(process.WaitForPrompt("You: ")) << process.out();
  size_t seen = process.out().size();
  process.Type("Hello\n");
  ASSERT_TRUE(process.WaitFor([&](const std::string& out) { return out.size() > seen + 60; }))
      << process.out();
  seen = process.out().size();
  process.Type("\x03");
  ASSERT_TRUE(process.WaitForPrompt("You: ", seen)) << process.out();
  // The program is still there, and takes the next question.
  seen = process.out().size();
  process.Type("+undo\n");
  ASSERT_TRUE(process.WaitForPrompt("You: ", seen)) << process.out();
  seen = process.out().size();
  process.Type("+fly\n");
  ASSERT_TRUE(process.WaitForText("there is no command +fly", seen)) << "a mistake does not end it";
  ASSERT_TRUE(process.WaitForPrompt("You: ", seen)) << process.out();
  process.Type("\x04");
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_THAT(Text("tern/history"), HasSubstr("Hello")) << "lines are kept for the next time";
}

TEST_F(ChatTerminal, CtrlCAtThePromptThrowsTheLineAway) {
  Process process(With({}), Terminal());
  ASSERT_TRUE(process.WaitForPrompt("You: ")) << process.out();
  process.Type("half a li");
  ASSERT_TRUE(process.WaitForText("half a li")) << process.out();
  for (int i = 0; i < 3; ++i) {
    const size_t seen = process.out().size();
    process.Type("\x03");
    ASSERT_TRUE(process.WaitForText("Ctrl-D ends", seen)) << process.out();
    ASSERT_TRUE(process.WaitForPrompt("You: ", seen)) << process.out();
  }
  const size_t seen = process.out().size();
  process.Type("+fly\n");
  ASSERT_TRUE(process.WaitForText("there is no command +fly", seen)) << process.out();
  ASSERT_TRUE(process.WaitForPrompt("You: ", seen)) << process.out();
  process.Type("\x04");
  EXPECT_EQ(process.Finish().code, 0);
}

}  // namespace
}  // namespace tern
