// tern train and tern bench --train, as a person uses them.
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "formats/tensor_source.h"
#include "tests/cli/cli_testing.h"

namespace tern::testing {
namespace {

using ::testing::HasSubstr;

class TrainTest : public ::testing::Test {
 protected:
  TrainTest() {
    std::string text;
    for (int i = 0; i < 400; ++i) {
      text += "the bird number " + std::to_string(i * 7 % 100) + " flies north and then south\n";
    }
    std::ofstream(data_) << text;
  }

  std::string Out(const std::string& name) const { return dir_.File(name); }
  std::vector<std::string> Command(const std::string& out, const std::vector<std::string>& more) const {
    std::vector<std::string> words = {
        "train", "--data",        data_, "--layers", "2",    "--width",   "32",    "--head-size",
        "16",    "--context",     "16",  "--batch",  "4",    "--threads", "2",     "--validation",
        "0.1",   "--eval-tokens", "320", "--lr",     "0.01", "--out",     Out(out)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  nlohmann::json RunJson(const std::string& out, std::vector<std::string> more) const {
    more.push_back("--json");
    const Outcome outcome = RunTern(Command(out, more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
  std::vector<nlohmann::json> Log(const std::string& out) const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(Out(out) + "/log.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  int LastStep(const std::string& out) const {
    const auto log = Log(out);
    return log.empty() ? 0 : log.back()["step"].get<int>();
  }
  /// Every tensor's bytes of a checkpoint; what its metadata say of times may differ, and so its checksums.
  std::vector<std::vector<std::byte>> Tensors(const std::string& path) const {
    std::vector<std::vector<std::byte>> all;
    const auto source = OpenTensorSource(path);
    EXPECT_TRUE(source.ok()) << source.status().message();
    if (!source.ok()) return all;
    for (const TensorInfo& tensor : (*source)->tensors()) {
      if (tensor.name != "checksums") all.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
    }
    return all;
  }

  TempDir dir_;
  const std::string data_ = dir_.File("birds.txt");
};

TEST_F(TrainTest, LearnsAndLeavesAModelThatRunsAndConverts) {
  const auto result = RunJson("run", {"--steps", "40", "--sample-every", "20", "--sample-prompt", "the ",
                                      "--sample-tokens", "8", "--eval-every", "20"});
  EXPECT_EQ(result["step"], 40);
  EXPECT_LT(result["validation_loss"], 3.5);  // a byte out of 256, unlearnt, costs 5.5
  const auto log = Log("run");
  EXPECT_EQ(log.size(), 42u);  // 40 steps, 2 validations
  EXPECT_LT(log.back()["validation_loss"].get<double>(), log.front()["loss"].get<double>());
  for (const char* name : {"best.safetensors", "loss.svg", "samples.txt", "step-00000040.safetensors"}) {
    EXPECT_TRUE(std::filesystem::exists(Out("run/") + name)) << name;
  }
  const std::string model = Out("run/model.safetensors"), pth = Out("a.pth"), back = Out("b.safetensors");
  EXPECT_THAT(Output({"generate", "--model", model, "--prompt", "the ", "-n", "8"}),
              ::testing::Not(::testing::IsEmpty()));
  Output({"convert", model, pth});
  Output({"convert", pth, back});
  EXPECT_EQ(Json({"logits", "--model", model, "--tokens", "1,2,3", "--json"}),
            Json({"logits", "--model", back, "--tokens", "1,2,3", "--json"}));
}

TEST_F(TrainTest, InterruptedAndResumedIsUninterrupted) {
  // A run too long to end before the signal comes, however fast the machine: what is compared is 20 steps more than
  // where the signal found it. The constant schedule does not depend on the run's length.
  const std::vector<std::string> more = {"--schedule", "constant", "--dropout", "0.1",     "--micro-batch",
                                         "3",          "--order",  "streams",   "--eval-every", "0"};
  const auto with_steps = [&](const std::string& steps) {
    std::vector<std::string> all = more;
    all.insert(all.end(), {"--steps", steps});
    return all;
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string parts = "parts" + std::to_string(signal), whole = "whole" + std::to_string(signal);
    Process process(Command(parts, with_steps("10000000")), {.terminal = true});
    ASSERT_TRUE(process.WaitForText("step 1")) << process.out();
    process.Signal(signal);
    const Outcome stopped = process.Finish();
    EXPECT_EQ(stopped.code, 130) << stopped.out;
    EXPECT_THAT(stopped.out, HasSubstr("tern train --resume --out"));
    const std::string steps = std::to_string(LastStep(parts) + 20);
    const Outcome resumed =
        RunTern({"train", "--resume", "--out", Out(parts), "--threads", "2", "--steps", steps});
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    RunJson(whole, with_steps(steps));
    const std::string checkpoint = fmt::format("/step-{:0>8}.safetensors", steps);
    EXPECT_EQ(Tensors(Out(parts) + checkpoint), Tensors(Out(whole) + checkpoint));
    EXPECT_EQ(Log(parts).size(), Log(whole).size());
  }
}

TEST_F(TrainTest, LinesAfterTheCheckpointAreCutOnResume) {
  RunJson("run", {"--steps", "6", "--eval-every", "0"});
  std::ofstream(Out("run/log.jsonl"), std::ios::app) << "{\"step\":7,\"loss\":1}\n{\"step\":8,\"lo";
  RunJson("run", {"--resume", "--steps", "8"});
  const auto log = Log("run");
  std::vector<int> steps;
  for (const auto& line : log) {
    if (line.contains("loss")) steps.push_back(line["step"]);
  }
  EXPECT_THAT(steps, ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(TrainTest, RefusesToMixRuns) {
  RunJson("run", {"--steps", "2"});
  ExpectOneLine(RunTern(Command("run", {"--steps", "2"})), "--resume");
  ExpectOneLine(RunTern({"train", "--resume", "--out", Out("run"), "--width", "64", "--json"}),
                "--width 32 → 64");
  ExpectOneLine(RunTern({"train", "--resume", "--out", Out("none")}), "none");
  std::ofstream(data_, std::ios::app) << "another line\n";
  ExpectOneLine(RunTern({"train", "--resume", "--out", Out("run"), "--steps", "3", "--json"}),
                "training data");
}

TEST_F(TrainTest, SaysWhatIsWrong) {
  ExpectOneLine(RunTern({"train", "--out", Out("x"), "--json"}), "--data");
  ExpectOneLine(RunTern({"train", "--data", data_}), "--out");
  ExpectOneLine(RunTern({"train", "--data", Out("absent.txt"), "--out", Out("x"), "--json"}), "absent.txt");
  ExpectOneLine(RunTern(Command("x", {"--preset", "rwkv9:huge"})), "rwkv9:huge");
  ExpectOneLine(RunTern(Command("x", {"--schedule", "triangle"})), "triangle");
  ExpectOneLine(RunTern(Command("x", {"--lr", "nan"})), "lr");
  ExpectOneLine(RunTern({"train", "--data", data_, "--out", Out("x"), "--json", "--validation", "1.5"}),
                "1.5");
}

TEST_F(TrainTest, ADamagedCheckpointIsNamedAndTheOneBeforeIsUsed) {
  const std::vector<std::string> options = {"--schedule", "constant", "--save-every", "2", "--eval-every", "0"};
  const auto with_steps = [&](const std::string& steps) {
    std::vector<std::string> all = options;
    all.insert(all.end(), {"--steps", steps});
    return all;
  };
  RunJson("whole", with_steps("8"));
  RunJson("run", with_steps("6"));
  const std::string newest = Out("run/step-00000006.safetensors");
  auto bytes = ReadBytes(newest);
  bytes[bytes.size() / 2] ^= std::byte{1};
  WriteBytes(newest, bytes);
  const Outcome resumed = RunTern({"train", "--resume", "--out", Out("run"), "--threads", "2", "--steps", "8"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("passed over: '" + newest + "'"));
  EXPECT_THAT(resumed.err, HasSubstr("going on from '" + Out("run/step-00000004.safetensors")));
  EXPECT_EQ(ReadBytes(newest + ".damaged"), bytes);
  EXPECT_EQ(Tensors(Out("run/model.safetensors")), Tensors(Out("whole/model.safetensors")));
}

TEST_F(TrainTest, WritesTheModelWhereTheLastCheckpointIsTooLarge) {
  RunJson("other", {"--steps", "2", "--eval-every", "0"});
  const auto model = std::filesystem::file_size(Out("other/model.safetensors"));
  ASSERT_GT(std::filesystem::file_size(Out("other/step-00000002.safetensors")), 2 * model);
  Process process(Command("run", {"--steps", "2", "--eval-every", "0"}), {.before_exec = [&] {
                    std::signal(SIGXFSZ, SIG_IGN);
                    const rlimit limit = {2 * model, 2 * model};
                    ::setrlimit(RLIMIT_FSIZE, &limit);
                  }});
  const Outcome outcome = process.Finish();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("the model is written, but the last checkpoint is not"));
  EXPECT_EQ(Tensors(Out("run/model.safetensors")), Tensors(Out("other/model.safetensors")));
  EXPECT_FALSE(std::filesystem::exists(Out("run/step-00000002.safetensors")));
}

TEST_F(TrainTest, OtherKernelsThanThoseOfTheRunAreNamedAtResume) {
  Process process(Command("run", {"--steps", "2", "--eval-every", "0"}), {.environment = {"TERN_ISA=ref"}});
  const Outcome first = process.Finish();
  ASSERT_EQ(first.code, 0) << first.err;
  const Outcome resumed = RunTern({"train", "--resume", "--out", Out("run"), "--threads", "2", "--steps", "3"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("kernels ref (oneDNN: sse41) → "));
  EXPECT_THAT(resumed.err, HasSubstr("bit for bit"));
  const Outcome again = RunTern({"train", "--resume", "--out", Out("run"), "--threads", "2", "--steps", "4"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, ::testing::Not(HasSubstr("kernels")));
}

TEST_F(TrainTest, NoFileOfARunThatIsAModelNamesAFolder) {
  RunJson("run", {"--steps", "2"});
  for (const char* name : {"model.safetensors", "best.safetensors", "step-00000002.safetensors"}) {
    const auto bytes = ReadBytes(Out("run/") + name);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_THAT(text, HasSubstr("birds.txt")) << name;
    EXPECT_EQ(text.find(dir_.path()), std::string::npos) << name;
  }
  RunJson("run", {"--resume", "--steps", "3"});
}

TEST_F(TrainTest, DryRunSaysWhyItTimedNoStep) {
  const auto plan = Json({"train", "--data", data_, "--tokenizer", "bytes", "--dry-run", "--layers", "200", "--width",
                          "8192", "--json"});
  EXPECT_GT(plan["memory_total_bytes"].get<double>(), 1e12);  // more than a machine has that runs tests
  EXPECT_EQ(plan["timed_steps"], 0);
  EXPECT_TRUE(plan["expected_tokens_per_second"].is_null());
}

TEST_F(TrainTest, DryRunTellsSizeMemoryAndSpeedAndTrainsNothing) {
  const auto plan = RunJson("never", {"--dry-run", "--micro-batch", "1"});
  EXPECT_FALSE(std::filesystem::exists(Out("never")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1) << "more than the data";
  EXPECT_GE(plan["timed_steps"], 1);
  EXPECT_EQ(plan["timed_step_tokens"], 32);  // two micro-batches
  EXPECT_DOUBLE_EQ(plan["expected_tokens_per_second"].get<double>() * plan["expected_step_seconds"].get<double>(), 64);
  EXPECT_GT(plan["memory_bytes"]["activations and workspace"], 0);
  EXPECT_EQ(plan["memory_bytes"]["parameters (fp32)"], plan["memory_bytes"]["gradients (fp32)"]);
  EXPECT_GT(plan["expected_tokens_per_second"], 0);
  EXPECT_EQ(plan["step_tokens"], 64);
}

TEST_F(TrainTest, GoesOnFromWeightsOfAnyFormat) {
  RunJson("first", {"--steps", "30"});
  Output({"convert", Out("first/model.safetensors"), Out("first.pth")});
  const auto more = RunJson("second", {"--steps", "1", "--model", Out("first.pth"), "--type", "bf16"});
  EXPECT_LT(Log("second").front()["loss"], 4.0);
  EXPECT_THAT(Output({"info", Out("second/model.safetensors")}), HasSubstr("RWKV-7"));
}

TEST_F(TrainTest, BenchHoldsAStepAgainstItsProducts) {
  const auto bench = Json({"bench", "--train", "--layers", "2", "--width", "64", "--vocab", "300",
                           "--context", "32", "--batch", "2", "--steps", "3", "--json"});
  EXPECT_GT(bench["step_seconds"], 0);
  EXPECT_GT(bench["share_of_onednn"], 0);
  EXPECT_GT(bench["other_share"], 0);
  if (bench["peak_flop_per_second"] > 0) {  // this processor has an instruction to measure
    EXPECT_NE(bench["peak_instruction"], "");
    EXPECT_GT(bench["share_of_peak"], 0);
    EXPECT_LT(bench["share_of_peak"], 1);
  }
  EXPECT_LT(bench["other_share"], 1);
  // All products of a step, the low-rank ones and those of the gradients included: 6 FLOP per matrix element
  // and token.
  EXPECT_NEAR(bench["product_flop"].get<double>() / bench["counted_flop"].get<double>(), 1.0, 1e-9);
}

TEST_F(TrainTest, GoesOnWithTheVocabularyOfAGguf) {
  const std::string model = std::string(TERN_SOURCE_FOLDER) + "/models/tern-stories.gguf";
  const Outcome outcome = RunTern({"train", "--model", model, "--data", data_, "--steps", "1", "--batch", "1", "--context",
                                   "16", "--threads", "2", "--out", Out("from")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(RunTern({"generate", "-m", Out("from") + "/model.safetensors", "-n", "1"}).code, 0);
  EXPECT_EQ(Output({"tokenize", "--tokenizer", Out("from") + "/vocab.txt", "Once upon a time"}),
            Output({"tokenize", "--tokenizer", model, "Once upon a time"}));
}

TEST_F(TrainTest, RefusesSizesThatAModelDoesNotHave) {
  ASSERT_EQ(RunTern(Command("own", {"--steps", "1"})).code, 0);
  const std::string model = Out("own") + "/model.safetensors";
  const auto train = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"train", "--model", model, "--data", data_, "--tokenizer", "bytes", "--dry-run"};
    words.insert(words.end(), more.begin(), more.end());
    return RunTern(words);
  };
  ExpectOneLine(train({"--layers", "3"}), "--layers 3");
  ExpectOneLine(train({"--generation", "4"}), "--generation 4");
  EXPECT_EQ(train({"--layers", "2"}).code, 0);
}

TEST_F(TrainTest, RefusesNamesThatNoCheckpointCouldKeep) {
  const Outcome outcome = RunTern(Command("bytes", {"--sample-prompt", "\xff"}));
  EXPECT_EQ(outcome.code, 2);
  ExpectOneLine(outcome, "--sample-prompt");
  EXPECT_FALSE(std::filesystem::exists(Out("bytes")));
}

TEST_F(TrainTest, ReplacesNoModelOfAnotherOrigin) {
  std::filesystem::create_directory(Out("mine"));
  std::ofstream(Out("mine") + "/model.safetensors") << "precious";
  ExpectOneLine(RunTern(Command("mine", {"--steps", "1"})), "model.safetensors");
  std::ifstream file(Out("mine") + "/model.safetensors");
  std::string content;
  file >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(TrainTest, SaysThatARunIsBeyondItsSteps) {
  ASSERT_EQ(RunTern(Command("run", {"--steps", "3"})).code, 0);
  ExpectOneLine(RunTern({"train", "--resume", "--steps", "2", "--out", Out("run")}), "step 3");
}

TEST_F(TrainTest, PlansAreBoundedAndNotTried) {
  const std::vector<std::string> plan = {"train", "--data", data_, "--dry-run"};
  const auto with = [&](const char* name, const char* value) {
    std::vector<std::string> words = plan;
    words.insert(words.end(), {name, value});
    return RunTern(words);
  };
  ExpectOneLine(with("--batch", "1000000000"), "tokens a step");
  ExpectOneLine(with("--layers", "9223372036854775807"), "layers");
  ExpectOneLine(with("--width", "9223372036854775744"), "width");
}

}  // namespace
}  // namespace tern::testing
