// tern convert, end to end: every format and back, and what happens to files when it fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"

namespace tern {
namespace {

using testing::ExpectOneLine;
using ::testing::HasSubstr;
using testing::Json;
using testing::Output;
using testing::Process;
using testing::RunTern;

class Convert : public testing::CliTest {
 protected:
  static std::string Logits(const std::string& model) {
    return Output({"logits", "-m", model, "--tokens", "10,20,30,40,50", "--json"});
  }
  static std::vector<std::string> MappedLogits(const std::string& model) {
    return {"logits", "-m", model, "--tokens", "10,20,30,40,50", "--json", "--mmap"};
  }
  /// No temporary file was left behind.
  void ExpectNoLeftovers() const {
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr(".tmp")));
    }
  }
};

TEST_F(Convert, KeepsEveryBitThroughEveryFormat) {
  const std::string logits = Logits(model_);
  std::string before = model_;
  // Each file is made from the one before: in the end the model has been through all of them.
  for (const char* extension : {"st", "gguf", "bin", "pt", "safetensors", "bin", "gguf", "pth"}) {
    SCOPED_TRACE(extension);
    const std::string after = File(std::string("next.") + extension);
    const nlohmann::json json = Json({"convert", before, after, "--json"});
    EXPECT_EQ(json.at("architecture"), "RWKV-7");
    EXPECT_EQ(json.at("out"), after);
    EXPECT_EQ(Logits(after), logits);
    before = after;
  }
  EXPECT_THAT(Output({"convert", model_, File("words.st"), "--names", "huggingface"}), HasSubstr("RWKV-7"));
  EXPECT_EQ(Logits(File("words.st")), logits);
  ExpectNoLeftovers();
}

TEST_F(Convert, QuantisesToEveryType) {
  Write(Rwkv7(256), File("wide.pth"));  // rows of whole blocks of 256
  const auto reference =
      nlohmann::json::parse(Logits(File("wide.pth"))).at("logits").get<std::vector<float>>();
  uint64_t smaller_than = ~uint64_t{0};
  for (const char* type :
       {"f32", "f16", "q8_0", "q6_k", "q5_k", "q4_k", "bf16", "q5_1", "q5_0", "q4_1", "q4_0"}) {
    SCOPED_TRACE(type);
    const std::string out = File(std::string(type) + ".gguf");
    const nlohmann::json json = Json({"convert", File("wide.pth"), out, "--type", type, "--json"});
    EXPECT_EQ(Json({"info", out, "--json"}).at("types").count(type), 1u);
    const uint64_t bytes = json.at("weight_bytes").get<uint64_t>();
    if (type == std::string("bf16") || type == std::string("q5_1")) smaller_than = ~uint64_t{0};
    EXPECT_LT(bytes, smaller_than);
    smaller_than = bytes;
    const auto logits = nlohmann::json::parse(Logits(out)).at("logits").get<std::vector<float>>();
    // The quality of each type is tested elsewhere; here the file must be that model: its logits correlate.
    double dot = 0, norm = 0, reference_norm = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      dot += static_cast<double>(logits[i]) * reference[i];
      norm += static_cast<double>(logits[i]) * logits[i];
      reference_norm += static_cast<double>(reference[i]) * reference[i];
    }
    EXPECT_GT(dot / std::sqrt(norm * reference_norm), 0.9);
  }
  // Mapped weights are expanded to fp32 whichever way they lie in the file, so equal weights give equal bits.
  const std::string small = Output(MappedLogits(File("q5_1.gguf")));
  Output({"convert", File("q5_1.gguf"), File("q5_1.bin")});
  EXPECT_EQ(Output(MappedLogits(File("q5_1.bin"))), small) << "quantised blocks are copied, not made anew";
  Output({"convert", File("q8_0.gguf"), File("back.pth"), "--type", "f32"});
  ExpectOneLine(RunTern({"convert", File("wide.pth"), File("no.pth"), "--type", "q8_0"}), "q8_0");
  EXPECT_FALSE(std::filesystem::exists(File("no.pth")));
}

TEST_F(Convert, WritesAFileOntoItself) {
  const std::string logits = Logits(model_);
  Output({"convert", model_, model_});
  EXPECT_EQ(Logits(model_), logits);
  Output({"convert", model_, model_, "--type", "f16"});
  EXPECT_EQ(Json({"info", model_, "--json"}).at("types").count("f16"), 1u);
  ExpectNoLeftovers();
}

TEST_F(Convert, LeavesAnExistingFileAloneWhenItFails) {
  Output({"convert", model_, File("good.st")});
  const std::string good = Text("good.st"), source = Text("model.pth");
  WriteText("cut.pth", source.substr(0, source.size() / 2));
  ExpectOneLine(RunTern({"convert", File("cut.pth"), File("good.st")}), "cut.pth");
  ExpectOneLine(RunTern({"convert", File("absent.pth"), File("good.st")}), "absent.pth");
  ExpectOneLine(RunTern({"convert", model_, File("good.st"), "--type", "q4_0"}), "q4_0");
  EXPECT_EQ(Text("good.st"), good);
  ExpectOneLine(RunTern({"convert", model_, File("no/such/folder.st")}), "folder.st");
  ExpectOneLine(RunTern({"convert", model_, "/proc/tern.st"}), "tern.st");
  std::filesystem::create_directory(File("folder.st"));
  ExpectOneLine(RunTern({"convert", model_, File("folder.st")}), "folder.st");
  ExpectNoLeftovers();
}

TEST_F(Convert, LeavesAnExistingFileAloneWhenTheDiskIsFull) {
  Output({"convert", model_, File("good.st")});
  const std::string good = Text("good.st");
  // The temporary file is named for the process: in its place lies a way to the device that is always full.
  const std::string out = File("good.st");
  const auto fill_disk = [&] {
    (void)!::symlink("/dev/full", (out + ".tmp-" + std::to_string(::getpid())).c_str());
  };
  ExpectOneLine(Process({"convert", model_, out}, {.before_exec = fill_disk}).Finish(), "good.st");
  EXPECT_EQ(Text("good.st"), good);
  ExpectNoLeftovers();
}

TEST_F(Convert, LeavesTheVocabularyBesideFormatsThatCarryNone) {
  const std::string stories = std::string(TERN_SOURCE_FOLDER) + "/models/tern-stories.gguf";
  const std::vector<std::string> ask = {"generate", "-n", "5", "--temperature", "0", "-p", "Once", "-m"};
  const auto written = [&](const std::string& model) {
    std::vector<std::string> words = ask;
    words.push_back(model);
    return Output(words);
  };
  const testing::Outcome outcome = RunTern({"convert", stories, File("s.bin")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("s.vocab.txt"));
  EXPECT_EQ(written(File("s.bin")), written(stories));
  Output({"convert", File("s.bin"), File("back.gguf")});
  EXPECT_EQ(written(File("back.gguf")), written(stories));
  // Another vocabulary in its place stays.
  WriteText("s.vocab.txt", "1 'a' 1\n");
  EXPECT_THAT(RunTern({"convert", stories, File("s.bin")}).err, ::testing::HasSubstr("it stays"));
  EXPECT_EQ(Text("s.vocab.txt"), "1 'a' 1\n");
}

TEST_F(Convert, RefusesOptionsThatWouldDoNothing) {
  ExpectOneLine(RunTern({"convert", model_, File("a.pth"), "--names", "huggingface"}), "a.pth");
  ExpectOneLine(RunTern({"convert", model_, File("a.gguf"), "--tokenizer", "bytes"}), "--tokenizer bytes");
}

}  // namespace
}  // namespace tern
