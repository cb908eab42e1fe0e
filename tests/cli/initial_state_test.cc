// Models that start from a tuned state, and states in files of their own, through every command.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdlib>
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
using testing::Process;
using testing::RandomTensors;
using testing::RunTern;

class InitialStateCommand : public testing::CliTest {
 protected:
  static constexpr int64_t kSize = 16, kHeads = 2, kLayers = 2;

  InitialStateCommand() {
    std::vector<OutputTensor> tensors = RandomTensors(Rwkv7());
    std::vector<OutputTensor> state;
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (std::vector<OutputTensor>* to : {&tensors, &state}) to->push_back(TunedLayer(layer));
    }
    EXPECT_TRUE(WritePth(tuned_, tensors).ok());
    EXPECT_TRUE(WritePth(state_, state).ok());
    WriteText("a.txt", "A tern flies from pole to pole.");
  }

  static OutputTensor TunedLayer(int64_t layer) {
    std::vector<float> values(static_cast<size_t>(kHeads * kSize * kSize));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>((i * 37 + 11) % 29) * 0.2f - 2.5f;
    const auto* data = reinterpret_cast<const std::byte*>(values.data());
    const std::vector<std::byte> bytes(data, data + values.size() * sizeof(float));
    return {"blocks." + std::to_string(layer) + ".att.time_state",
            DType::kF32,
            {kHeads, kSize, kSize},
            [bytes]() -> Result<TensorBytes> {
              return TensorBytes{{}, bytes};
            }};
  }

  /// The output of a command with the tuned model, with the plain model and the state, and with the plain
  /// model alone.
  struct Outputs {
    std::string tuned, with_state, plain;
  };
  Outputs OutputsOf(const std::string& command, std::vector<std::string> more,
                    const std::string& input = {}) const {
    const auto run = [&](std::vector<std::string> model) {
      std::vector<std::string> words = {command};
      if (command == "eval") words.push_back("perplexity");
      words.insert(words.end(), model.begin(), model.end());
      words.insert(words.end(), more.begin(), more.end());
      return Output(words, input);
    };
    return {run({"-m", tuned_}), run({"-m", model_, "--state-in", state_}), run({"-m", model_})};
  }

  std::string Logits(const std::string& model) const {
    return Output({"logits", "-m", model, "--tokens", "34,105,110", "--json"});
  }

  std::string tuned_ = File("tuned.pth"), state_ = File("state.pth");
};

void ExpectStart(const std::string& tuned, const std::string& with_state, const std::string& plain) {
  EXPECT_EQ(tuned, with_state);
  EXPECT_NE(tuned, plain);
}

TEST_F(InitialStateCommand, IsWhereEveryCommandStarts) {
  const auto logits = OutputsOf("logits", {"--tokens", "34,105,110", "--json"});
  ExpectStart(logits.tuned, logits.with_state, logits.plain);
  const auto text = OutputsOf("generate", {"-p", "A tern", "-n", "40", "--temperature", "0"});
  ExpectStart(text.tuned, text.with_state, text.plain);
  const auto answers = OutputsOf("chat", {"--template", "world", "-n", "30", "--temperature", "0"},
                                 "Hello\n+reset\n+gen A tern\nHi\n");
  ExpectStart(answers.tuned, answers.with_state, answers.plain);
  const auto measure = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"eval", "perplexity"});
    words.insert(words.end(), {File("a.txt"), "--json"});
    return Json(words).at("nats_per_token").get<double>();
  };
  const double tuned = measure({"-m", tuned_});
  EXPECT_EQ(measure({"-m", model_, "--state-in", state_}), tuned);
  EXPECT_NE(measure({"-m", model_}), tuned);
  EXPECT_EQ(Json({"info", tuned_, "--json"}).at("initial_state"), "tuned");
  EXPECT_EQ(Json({"info", model_, "--json"}).at("initial_state"), "zero");
}

TEST_F(InitialStateCommand, AResetConversationStartsThereAgain) {
  const std::vector<std::string> words = {"chat",  "-m", model_, "--state-in",    state_, "--template",
                                          "world", "-n", "20",   "--temperature", "0",    "--json"};
  const std::string answers = Output(words, "Hello\n+reset\nHello\n");
  const size_t half = answers.find('\n') + 1;
  const auto answer = [](const std::string& line) { return nlohmann::json::parse(line).at("answer"); };
  EXPECT_EQ(answer(answers.substr(0, half)), answer(answers.substr(half)));
}

TEST_F(InitialStateCommand, SurvivesEveryConversionThatCanHoldIt) {
  const std::string logits = Logits(tuned_);
  std::string from = tuned_;
  for (const char* to : {"b.st", "c.gguf", "d.pth", "e.safetensors"}) {
    const Outcome outcome = RunTern({"convert", from, File(to)});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(Logits(File(to)), logits) << to;
    if (std::string(to) == "c.gguf") {
      EXPECT_THAT(outcome.err, HasSubstr("llama.cpp does not read"));
    }
    from = File(to);
  }
  ASSERT_EQ(RunTern({"convert", tuned_, File("q.gguf"), "--type", "q8_0"}).code, 0);
  EXPECT_EQ(Json({"info", File("q.gguf"), "--json"}).at("initial_state"), "tuned");
}

TEST_F(InitialStateCommand, IsNeverLostInSilence) {
  ExpectOneLine(RunTern({"convert", tuned_, File("a.bin"), "--type", "f32"}), "--drop-initial-state");
  Output({"convert", tuned_, File("a.bin"), "--type", "f32", "--drop-initial-state", "--json"});
  EXPECT_EQ(Logits(File("a.bin")), Logits(model_));
  ExpectOneLine(
      RunTern({"train", "--model", tuned_, "--tokenizer", "bytes", "--data", File("a.txt"), "--dry-run"}),
      "'blocks.0.att.time_state'");
}

TEST_F(InitialStateCommand, StatesOfAnotherModelAreNamed) {
  Write(Rwkv7(64), File("wide.pth"));
  ExpectOneLine(RunTern({"generate", "-m", File("wide.pth"), "-p", "a", "--state-in", state_}),
                "has shape [2, 16, 16]; the model needs [4, 16, 16]");
  ExpectOneLine(RunTern({"chat", "-m", model_, "--state-in", File("absent.pth")}, "Hi\n"), "absent.pth");
  ExpectOneLine(RunTern({"logits", "-m", model_, "--tokens", "1", "--state-in", model_}),
                "is not a tuned state");
}

/// The answer to a completion at temperature 0.
std::string Complete(int port, const std::string& model) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string body =
      R"({"model":")" + model + R"(","prompt":"A tern","max_tokens":20,"temperature":0})";
  const std::string request =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
      "application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char piece[4096];
  for (ssize_t got = 0; (got = ::recv(fd, piece, sizeof piece, 0)) > 0;)
    answer.append(piece, static_cast<size_t>(got));
  ::close(fd);
  const auto json = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false);
  EXPECT_TRUE(json.is_object()) << answer;
  return json.is_object() ? json.at("choices").at(0).at("text").get<std::string>() : "";
}

TEST_F(InitialStateCommand, TheServiceStartsEveryTextThere) {
  Process process({"serve", "--model", "plain=" + model_, "--model", "own=" + tuned_, "--model",
                   "given=" + model_, "--state-in", "given=" + state_, "--port", "0"});
  ASSERT_TRUE(process.WaitForText("\n")) << process.out();
  const int port = std::atoi(process.out().c_str() + process.out().rfind(':') + 1);
  const std::string own = Complete(port, "own");
  EXPECT_EQ(Complete(port, "given"), own);
  EXPECT_NE(Complete(port, "plain"), own);
  // The plain model and the given one have one file: places kept for one must not serve the other.
  EXPECT_EQ(Complete(port, "given"), own);
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Finish().code, 0);
}

TEST_F(InitialStateCommand, TheServiceNamesStatesThatBelongToNoModel) {
  const auto serve = [&](const std::string& state_in) {
    return RunTern(
        {"serve", "--model", "a=" + model_, "--model", "b=" + model_, "--port", "0", "--state-in", state_in});
  };
  ExpectOneLine(serve(state_), "for which model?");
  ExpectOneLine(serve("c=" + state_), "no model has that name");
  ExpectOneLine(serve("a=" + File("absent.pth")), "absent.pth");
}

}  // namespace
}  // namespace tern
