// Perplexity, LAMBADA and multiple choice of real byte-level models, against an independent computation:
// float64 numpy, one token at a time, every example on its own, written from the equations and checked
// against the logits that the models' authors publish. Tolerance: fp32 here, float64 there; 1e-5 relative.
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "eval/choice.h"
#include "eval/examples.h"
#include "eval/lambada.h"
#include "eval/perplexity.h"
#include "tests/testing/test_data.h"

namespace tern::eval {
namespace {

constexpr double kTolerance = 1e-5;
constexpr int32_t kStart = '\n';

struct ChoiceCase {
  const char* file;
  const char* delimiter;
  size_t examples;
  int64_t correct, per_byte, per_token;
  std::vector<double> first;  ///< log P of the first example's choices
};

struct Case {
  const char* model;
  double nats;                    ///< per token, of the first 3000 bytes of tinyshakespeare.txt
  std::vector<double> positions;  ///< the same by bucket
  double windows;                 ///< per token, of the first 1000 bytes in windows of 100
  double lambada_nats;            ///< summed over the first 20 examples
  std::vector<ChoiceCase> choices;
};

std::vector<Case> Cases() {
  return {
      {"4v0-660K",
       3.014955794363784,
       {9.602764034019629, 2.3670567659679804, 3.2683215260503493, 2.934367966195893, 4.628663015371047,
        2.6820441748711277, 3.0234257366042803, 3.5153962538907946, 3.59066806082026, 3.395349096487049,
        2.6991587381861035, 2.9792242963208198, 2.995206532314848},
       3.0476366698042625,
       372.6093089321646,
       {{"copa", " ", 20, 12, 9, 9, {-63.870841856642286, -62.8927019859836}},
        {"winogrande", " ", 20, 13, 13, 13, {-73.2262354030999, -75.68861909076344}},
        {"piqa", "\nAnswer: ", 8, 4, 4, 4, {-370.7381248855303, -374.28151974516186}},
        {"arc_easy",
         "\nAnswer: ",
         8,
         2,
         2,
         2,
         {-143.80738570981214, -123.70280327913484, -125.29244070889756, -97.52504470943433}}}},
      {"7v0-834K",
       3.7478166368512684,
       {5.691946547940262, 2.9910710907495797, 4.056812833923029, 4.2049155049814395, 4.320542544416874,
        3.612624038166971, 3.5807708008573176, 3.8147818399442777, 3.8556526422334185, 3.8800288668425518,
        3.651236902778439, 3.7142048858586887, 3.7806161254391233},
       3.746692813652731,
       545.806321525041,
       {{"copa", " ", 20, 12, 9, 12, {-101.39624021437653, -101.78200370262954}},
        {"winogrande", " ", 20, 13, 13, 13, {-107.48924886493438, -108.22849856798301}},
        {"piqa", "\nAnswer: ", 8, 4, 5, 5, {-608.9563758699674, -616.4010435291277}},
        {"arc_easy",
         "\nAnswer: ",
         8,
         1,
         1,
         0,
         {-220.8871625833156, -194.5317293305879, -194.94037057370653, -157.47643218915334}}}},
  };
}

void ExpectClose(double got, double expected) { EXPECT_NEAR(got, expected, kTolerance * std::abs(expected)); }

class Reference : public ::testing::TestWithParam<size_t> {
 protected:
  const Case case_ = Cases()[GetParam()];
  const std::shared_ptr<const Tokenizer> bytes_ = MakeByteTokenizer();

  static std::string Read(const std::string& path) {
    auto text = ReadFileToString(path);
    EXPECT_TRUE(text.ok()) << text.status().message();
    return text.ok() ? *text : "";
  }
  std::shared_ptr<const Model> Load(const std::string& data) const {
    auto model = Model::Load(data + "/models/tiny-rwkv-" + case_.model + "-FP32.bin");
    EXPECT_TRUE(model.ok()) << model.status().message();
    return model.ok() ? *model : nullptr;
  }
};

TEST_P(Reference, GivesThisPerplexity) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto model = Load(data);
  ASSERT_NE(model, nullptr);
  const std::string text = Read(data + "/text/tinyshakespeare.txt");
  const std::vector<std::string> documents = {text.substr(0, 3000)};
  const auto tokens = EncodeAll(*bytes_, documents, kStart);
  const auto whole = MeasurePerplexity(*model, bytes_.get(), tokens, {});
  ASSERT_TRUE(whole.ok()) << whole.status().message();
  EXPECT_EQ(whole->tokens, 3000);
  EXPECT_EQ(whole->bytes, 3000);
  ExpectClose(whole->NatsPerToken(), case_.nats);
  ExpectClose(whole->BitsPerByte(), case_.nats / std::log(2.0));
  EXPECT_NEAR(whole->PerToken(), std::exp(case_.nats), kTolerance * case_.nats * std::exp(case_.nats));
  ASSERT_EQ(whole->positions.size(), case_.positions.size());
  for (size_t i = 0; i < case_.positions.size(); ++i) {
    const PositionBucket& bucket = whole->positions[i];
    ExpectClose(bucket.nats / static_cast<double>(bucket.tokens), case_.positions[i]);
  }

  const auto windows = MeasurePerplexity(*model, bytes_.get(), tokens, {.context = 100, .limit = 1000});
  ASSERT_TRUE(windows.ok()) << windows.status().message();
  EXPECT_EQ(windows->tokens, 1000);
  ExpectClose(windows->NatsPerToken(), case_.windows);
}

TEST_P(Reference, GivesThisLambada) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto model = Load(data);
  ASSERT_NE(model, nullptr);
  const std::string path = data + "/eval/lambada_test.jsonl";
  auto examples = ParseLambada(Read(path), path);
  ASSERT_TRUE(examples.ok()) << examples.status().message();
  EXPECT_EQ(examples->size(), 5153u);
  examples->resize(20);
  const auto result = MeasureLambada(*model, *bytes_, *examples, kStart, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  ExpectClose(result->nats, case_.lambada_nats);
  ExpectClose(std::log(result->Perplexity()), case_.lambada_nats / 20);
  EXPECT_EQ(result->correct, 0);
}

TEST_P(Reference, GivesTheseChoices) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto model = Load(data);
  ASSERT_NE(model, nullptr);
  for (const ChoiceCase& choice : case_.choices) {
    SCOPED_TRACE(choice.file);
    const std::string path = data + "/eval/" + choice.file + ".jsonl";
    auto examples = ParseChoices(Read(path), path, choice.delimiter);
    ASSERT_TRUE(examples.ok()) << examples.status().message();
    examples->resize(choice.examples);
    const auto result = MeasureChoice(*model, *bytes_, *examples, kStart, {});
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->correct, choice.correct);
    EXPECT_EQ(result->correct_per_byte, choice.per_byte);
    EXPECT_EQ(result->correct_per_token, choice.per_token);

    const ChoiceExample& first = examples->front();
    const auto contexts = EncodeAll(*bytes_, first.contexts, kStart);
    const auto continuations = EncodeAll(*bytes_, first.continuations, std::nullopt);
    std::vector<Task> tasks;
    for (const auto& context : contexts) {
      tasks.push_back({context, {continuations.begin(), continuations.end()}});
    }
    const auto scores = ScoreTasks(*model, tasks, {});
    ASSERT_TRUE(scores.ok()) << scores.status().message();
    for (size_t i = 0; i < choice.first.size(); ++i) {
      const Score& score = tasks.size() > 1 ? (*scores)[i][0] : (*scores)[0][i];
      ExpectClose(score.Sum(), choice.first[i]);
    }
  }
}

std::string NameOf(const ::testing::TestParamInfo<size_t>& info) {
  return info.param == 0 ? "Rwkv4" : "Rwkv7";
}

INSTANTIATE_TEST_SUITE_P(TinyRwkv, Reference, ::testing::Values(size_t{0}, size_t{1}), NameOf);

}  // namespace
}  // namespace tern::eval
