#include "infer/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/infer/pip_golden.h"
#include "tests/infer/sampler_reference.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class ListTokenizer : public Tokenizer {
 public:
  ListTokenizer(std::string name, std::vector<std::string> texts)
      : name_(std::move(name)), texts_(std::move(texts)) {}
  std::vector<int32_t> Encode(std::string_view) const override { return {}; }
  std::string_view TokenBytes(int32_t id) const override { return texts_[static_cast<size_t>(id)]; }
  int32_t vocab_size() const override { return static_cast<int32_t>(texts_.size()); }
  std::string_view name() const override { return name_; }

 private:
  std::string name_;
  std::vector<std::string> texts_;
};

std::vector<float> RandomLogits(uint64_t seed, size_t n) {
  Random random(seed);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = static_cast<float>(random.Normal() * 2);
  return logits;
}

/// 2e-6 relative: pip's floats and ours are each within about 1e-6 of the truth.
void ExpectProbabilities(const Sampler& sampler, const std::vector<float>& logits,
                         const std::vector<GoldenProbability>& golden) {
  const auto p = sampler.Distribution(logits);
  ASSERT_TRUE(p.ok()) << p.status().message();
  std::vector<float> expected(logits.size());
  for (const auto& [token, probability] : golden) expected[static_cast<size_t>(token)] = probability;
  for (size_t i = 0; i < logits.size(); ++i)
    EXPECT_NEAR((*p)[i], expected[i], 2e-6 * expected[i]) << "token " << i;
}

TEST(SamplerAgainstPip, SampleLogitsHasTheSameDistribution) {
  ASSERT_GE(kGoldenSamples.size(), 25u);
  for (const GoldenSample& golden : kGoldenSamples) {
    SCOPED_TRACE(::testing::Message() << "logits " << golden.logits << ", temperature " << golden.temperature
                                    << ", top_p " << golden.top_p << ", top_k " << golden.top_k);
    SamplingOptions options;
    options.temperature = golden.temperature;
    options.top_p = golden.top_p;
    options.top_k = golden.top_k;
    ExpectProbabilities(Sampler(options), kGoldenLogits[static_cast<size_t>(golden.logits)], golden.expected);
  }
}

TEST(SamplerAgainstPip, GenerateHasTheSamePenalties) {
  const ListTokenizer tokenizer("world", {"a", "7", "b", "c", " ", "\t", "d", "12", "21", " the"});
  SamplingOptions options;
  options.top_p = 0.95f;
  options.presence = 0.3f;
  options.frequency = 0.4f;
  options.penalty_decay = 0.9f;
  options.banned = {2};
  Sampler sampler(options, &tokenizer);
  SamplingOptions unpenalised;
  unpenalised.top_p = 0.95f;
  for (size_t i = 0; i < kGoldenSteps.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "step " << i);
    const GoldenStep& step = kGoldenSteps[i];
    ExpectProbabilities(sampler, step.logits, step.expected);
    ExpectProbabilities(Sampler(unpenalised), step.penalised, step.expected);
    sampler.Accept(step.token);
  }
}

/// The logit that `token` has after penalties, relative to token 0's, which is left alone.
double PenaltyOf(const Sampler& sampler, int32_t token, size_t vocabulary) {
  const auto p = sampler.Distribution(std::vector<float>(vocabulary));
  EXPECT_TRUE(p.ok());
  return p.ok() ? std::log((*p)[0]) - std::log((*p)[static_cast<size_t>(token)]) : 0;
}

SamplingOptions PenaltiesOnly(float presence, float frequency, float decay) {
  SamplingOptions options;
  options.top_p = 1;
  options.presence = presence;
  options.frequency = frequency;
  options.penalty_decay = decay;
  return options;
}

TEST(SamplerPenalties, FollowHandComputedCounts) {
  Sampler sampler(PenaltiesOnly(0.25f, 1, 0.5f));
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 0, 1e-6);
  sampler.Accept(1);  // {1: 1}: what comes is not faded at once
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 1.25, 1e-6);
  sampler.Accept(2);  // {1: 0.5, 2: 1}
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 0.75, 1e-6);
  EXPECT_NEAR(PenaltyOf(sampler, 2, 4), 1.25, 1e-6);
  sampler.Accept(1);  // {1: 1.25, 2: 0.5}
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 1.5, 1e-6);
  EXPECT_NEAR(PenaltyOf(sampler, 2, 4), 0.75, 1e-6);
  EXPECT_NEAR(PenaltyOf(sampler, 3, 4), 0, 1e-6);
  sampler.ResetPenalties();
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 0, 1e-6);
}

TEST(SamplerPenalties, PresenceNeverFades) {
  Sampler sampler(PenaltiesOnly(0.25f, 1, 0));
  sampler.Accept(1);
  sampler.Accept(2);
  EXPECT_NEAR(PenaltyOf(sampler, 1, 4), 0.25, 1e-6);
}

TEST(SamplerPenalties, AreOffAtZero) {
  Sampler sampler(PenaltiesOnly(0, 0, 0.9f));
  sampler.Accept(1);
  EXPECT_EQ(PenaltyOf(sampler, 1, 4), 0);
}

TEST(SamplerPenalties, RepeatDividesPositiveLogitsAndMultipliesNegativeOnes) {
  SamplingOptions options = PenaltiesOnly(0, 0, 1);
  options.repeat = 2;
  Sampler sampler(options);
  for (const int32_t token : {1, 2, 3, 3}) sampler.Accept(token);
  const float never = -std::numeric_limits<float>::infinity();
  const auto p = sampler.Distribution(std::vector<float>{3, 3, -1, never, -1});
  ASSERT_TRUE(p.ok()) << p.status().message();
  EXPECT_NEAR(std::log((*p)[0] / (*p)[1]), 1.5, 1e-5);  // 3 against 3 / 2
  EXPECT_NEAR(std::log((*p)[4] / (*p)[2]), 1, 1e-5);    // -1 against -1 · 2
  EXPECT_EQ((*p)[3], 0);
  // It comes before the other penalties.
  options.presence = 0.5f;
  Sampler both(options);
  both.Accept(1);
  EXPECT_NEAR(PenaltyOf(both, 1, 3), 0.5, 1e-6);
  for (const float wrong : {0.0f, -1.0f, std::numeric_limits<float>::infinity()}) {
    options.repeat = wrong;
    EXPECT_THAT(Validate(options).message(), ::testing::HasSubstr("repeat_penalty"));
  }
}

TEST(SamplerPenalties, DigitsSpaceAndTabPayThePresenceOnly) {
  const std::vector<std::string> texts = {"x", "7", " ", "\t", "12", "21", " \t", "\n", "  ", ""};
  const double expected_world[] = {0, 0.25, 0.25, 0.25, 0.25, 1.25, 0.25, 1.25, 1.25, 1.25};
  const ListTokenizer world("world", texts);
  const ListTokenizer neox("neox", texts);
  for (int32_t token = 1; token < 10; ++token) {
    SCOPED_TRACE(::testing::Message() << "token " << token);
    Sampler sampler(PenaltiesOnly(0.25f, 1, 1), &world);
    sampler.Accept(token);
    EXPECT_NEAR(PenaltyOf(sampler, token, 10), expected_world[token], 1e-6);
    // GPT-NeoX's special tokens decode to nothing, which is part of every text; World's to U+FFFD.
    Sampler neox_sampler(PenaltiesOnly(0.25f, 1, 1), &neox);
    neox_sampler.Accept(token);
    EXPECT_NEAR(PenaltyOf(neox_sampler, token, 10), token == 9 ? 0.25 : expected_world[token], 1e-6);
  }
}

TEST(SamplerGreedy, TakesTheFirstOfEqualMaximaAndNothingRandom) {
  SamplingOptions options;
  options.temperature = 0;
  options.typical_p = 0.1f;  // no filter applies at temperature 0
  for (uint64_t seed = 0; seed < 20; ++seed) {
    options.seed = seed;
    const auto token = Sampler(options).Sample(std::vector<float>{0, 3, 1, 3, -INFINITY});
    ASSERT_TRUE(token.ok());
    EXPECT_EQ(*token, 1);
  }
  const auto p = Sampler(options).Distribution(std::vector<float>{0, 3, 1, 3});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0, 1, 0, 0}));
}

TEST(SamplerGreedy, HeedsBiasBansAndPenalties) {
  SamplingOptions options;
  options.temperature = 0;
  options.presence = 1;
  options.frequency = 0;
  options.banned = {0};
  options.logit_bias = {{1, 2.0f}, {0, 100.0f}};
  Sampler sampler(options);
  const std::vector<float> logits = {9, 0, 1.5f};
  EXPECT_EQ(*sampler.Sample(logits), 1);
  sampler.Accept(1);
  EXPECT_EQ(*sampler.Sample(logits), 2);
}

TEST(SamplerErrors, NameTheBadLogit) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingOptions options;
    options.temperature = temperature;
    Sampler sampler(options);
    std::vector<float> logits(30);
    logits[21] = kNaN;
    EXPECT_THAT(sampler.Sample(logits).status().message(), HasSubstr("token 21 is NaN"));
    EXPECT_FALSE(sampler.Distribution(logits).ok());
    logits[21] = -kNaN;
    EXPECT_THAT(sampler.Sample(logits).status().message(), HasSubstr("token 21 is NaN"));
    logits[21] = INFINITY;
    EXPECT_THAT(sampler.Sample(logits).status().message(), HasSubstr("token 21 is +inf"));
    EXPECT_THAT(sampler.Sample({}).status().message(), HasSubstr("no logits"));
    EXPECT_THAT(sampler.Sample(std::vector<float>(3, -INFINITY)).status().message(),
                HasSubstr("every token"));
  }
}

TEST(SamplerErrors, EveryTokenBanned) {
  SamplingOptions options;
  options.banned = {0, 1};
  EXPECT_THAT(Sampler(options).Sample(std::vector<float>{1, 2}).status().message(), HasSubstr("every token"));
  EXPECT_EQ(*Sampler(options).Sample(std::vector<float>{1, 2, -50}), 2);
}

TEST(SamplerErrors, TokensOutsideTheVocabulary) {
  const std::vector<float> logits(4);
  SamplingOptions options;
  options.banned = {4};
  EXPECT_THAT(Sampler(options).Sample(logits).status().message(), HasSubstr("banned token 4"));
  options.banned = {};
  options.logit_bias = {{7, 1.0f}};
  EXPECT_THAT(Sampler(options).Sample(logits).status().message(), HasSubstr("token 7 is outside"));
  options.logit_bias = {};
  Sampler sampler(options);
  sampler.Accept(-1);
  EXPECT_THAT(sampler.Sample(logits).status().message(), HasSubstr("accepted token -1"));
}

TEST(SamplerErrors, OverflowOfBiasAndPenalties) {
  constexpr float kMax = std::numeric_limits<float>::max();
  SamplingOptions options;
  options.logit_bias = {{0, kMax}};
  EXPECT_THAT(Sampler(options).Sample(std::vector<float>{kMax, 0}).status().message(), HasSubstr("+inf"));
  options.logit_bias = {};
  options.frequency = kMax;
  options.penalty_decay = 1;
  Sampler sampler(options);
  for (int i = 0; i < 3; ++i) sampler.Accept(0);  // 3·kMax: past the largest float
  EXPECT_EQ(*sampler.Sample(std::vector<float>{5, 0}), 1);
}

TEST(SamplerErrors, LeaveTheRandomNumbersAlone) {
  const auto logits = RandomLogits(3, 50);
  Sampler disturbed{SamplingOptions()};
  Sampler calm{SamplingOptions()};
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(disturbed.Sample(std::vector<float>{kNaN}).ok());
    EXPECT_EQ(*disturbed.Sample(logits), *calm.Sample(logits));
  }
}

template <typename Change>
std::string Complaint(Change change) {
  SamplingOptions options;
  change(options);
  const Status status = Validate(options);
  EXPECT_EQ(Sampler(options).Sample(std::vector<float>(9)).status().message(), status.message());
  return status.message();
}

TEST(ValidateSamplingOptions, AcceptsDefaultsAndEnds) {
  EXPECT_TRUE(Validate({}).ok());
  SamplingOptions options;
  options.temperature = 0, options.top_p = 0, options.penalty_decay = 0, options.presence = -2;
  EXPECT_TRUE(Validate(options).ok());
  options.top_p = 1, options.penalty_decay = 1, options.mirostat = 2, options.typical_p = 0.001f,
  options.min_p = 0.99f;
  EXPECT_TRUE(Validate(options).ok());
}

TEST(ValidateSamplingOptions, NamesTheOptionAndTheValue) {
  using O = SamplingOptions;
  EXPECT_THAT(Complaint([](O& o) { o.temperature = -1; }), HasSubstr("temperature is -1"));
  EXPECT_THAT(Complaint([](O& o) { o.temperature = INFINITY; }), HasSubstr("temperature is inf"));
  EXPECT_THAT(Complaint([](O& o) { o.temperature = kNaN; }), HasSubstr("temperature is nan"));
  EXPECT_THAT(Complaint([](O& o) { o.top_p = 1.5f; }), HasSubstr("top_p is 1.5"));
  EXPECT_THAT(Complaint([](O& o) { o.top_p = kNaN; }), HasSubstr("top_p is nan"));
  EXPECT_THAT(Complaint([](O& o) { o.top_k = -3; }), HasSubstr("top_k is -3"));
  EXPECT_THAT(Complaint([](O& o) { o.min_p = 1; }), HasSubstr("min_p is 1"));
  EXPECT_THAT(Complaint([](O& o) { o.typical_p = 0; }), HasSubstr("typical_p is 0"));
  EXPECT_THAT(Complaint([](O& o) { o.presence = kNaN; }), HasSubstr("presence is nan"));
  EXPECT_THAT(Complaint([](O& o) { o.frequency = -INFINITY; }), HasSubstr("frequency is -inf"));
  EXPECT_THAT(Complaint([](O& o) { o.penalty_decay = 1.01f; }), HasSubstr("penalty_decay is 1.01"));
  EXPECT_THAT(Complaint([](O& o) { o.mirostat = 1; }), HasSubstr("mirostat is 1"));
  EXPECT_THAT(Complaint([](O& o) { o.mirostat_tau = 0; }), HasSubstr("mirostat_tau is 0"));
  EXPECT_THAT(Complaint([](O& o) { o.mirostat_eta = -0.5f; }), HasSubstr("mirostat_eta is -0.5"));
  EXPECT_THAT(Complaint([](O& o) { o.banned = {-2}; }), HasSubstr("banned: token is -2"));
  EXPECT_THAT(Complaint([](O& o) { o.logit_bias = {{-4, 1.0f}}; }), HasSubstr("logit_bias: token is -4"));
  EXPECT_THAT(Complaint([](O& o) {
                o.logit_bias = {{6, INFINITY}};
              }),
              HasSubstr("logit_bias of token 6 is inf"));
}

std::vector<int32_t> Generate(Sampler sampler, int n) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < n; ++i) {
    tokens.push_back(*sampler.Sample(RandomLogits(static_cast<uint64_t>(i), 1000)));
    sampler.Accept(tokens.back());
  }
  return tokens;
}

TEST(SamplerSeeds, TheSameSeedGivesTheSameTokensInEveryThread) {
  SamplingOptions options;
  options.seed = 11;
  const auto expected = Generate(Sampler(options), 50);
  std::vector<std::vector<int32_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = Generate(Sampler(options), 50); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
  options.seed = 12;
  EXPECT_NE(Generate(Sampler(options), 50), expected);
}

TEST(SamplerSeeds, TokensAreTheSameOnEveryMachine) {
  // No exp, log or pow of a C library stands between these logits and these tokens.
  std::vector<float> logits(64);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 64) / 16.0f;
  SamplingOptions options;
  options.seed = 42;
  options.temperature = 1.7f;
  Sampler sampler(options);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 16; ++i) {
    tokens.push_back(*sampler.Sample(logits));
    sampler.Accept(tokens.back());
  }
  EXPECT_EQ(tokens, (std::vector<int32_t>{50, 19, 62, 43, 50, 38, 10, 38, 13, 58, 34, 55, 41, 5, 24, 34}));
}

TEST(SamplerSeeds, ACopyGoesOnAlike) {
  SamplingOptions options;
  options.mirostat = 2;
  Sampler sampler(options);
  const auto logits = RandomLogits(1, 300);
  for (int i = 0; i < 10; ++i) sampler.Accept(*sampler.Sample(logits));
  EXPECT_EQ(Generate(sampler, 30), Generate(Sampler(sampler), 30));
}

TEST(SamplerMirostat, MovesItsThresholdByTheSurpriseOfWhatCame) {
  SamplingOptions options;
  options.mirostat = 2, options.mirostat_tau = 2, options.mirostat_eta = 0.5f;
  options.presence = 0, options.frequency = 0;
  Sampler sampler(options);
  double mu = 4;
  int unclear = 0;
  for (uint64_t step = 0; step < 200; ++step) {
    SCOPED_TRACE(::testing::Message() << "step " << step);
    const auto logits = RandomLogits(step, 40);
    SamplingOptions softmax = options;
    softmax.mirostat = 0, softmax.top_p = 1;
    const auto full = SamplerReference()(logits, softmax);
    const auto expected = SamplerReference()(logits, options, {}, mu);
    const auto actual = sampler.Distribution(logits);
    ASSERT_TRUE(actual.ok());
    bool clear = true;
    for (const double p : full) clear &= std::fabs(-std::log2(p) - mu) > 1e-5;
    for (size_t i = 0; clear && i < logits.size(); ++i) ASSERT_NEAR((*actual)[i], expected[i], 1e-5) << i;
    unclear += !clear;
    const int32_t token = *sampler.Sample(logits);
    mu -= 0.5 * (-std::log2(full[static_cast<size_t>(token)]) - 2);
  }
  EXPECT_LT(unclear, 5);
}

TEST(SamplerMirostat, HoldsTheMeanSurpriseAtTau) {
  SamplingOptions options;
  options.mirostat = 2, options.mirostat_tau = 3;
  options.presence = 0, options.frequency = 0;
  Sampler sampler(options);
  double sum = 0;
  constexpr int kSteps = 3000;
  SamplingOptions softmax = options;
  softmax.mirostat = 0, softmax.top_p = 1;
  for (uint64_t step = 0; step < kSteps; ++step) {
    const auto logits = RandomLogits(step, 200);  // entropy about 6 bits
    const int32_t token = *sampler.Sample(logits);
    sum -= std::log2(SamplerReference()(logits, softmax)[static_cast<size_t>(token)]);
  }
  // The controller's sum telescopes: |mean - tau| = |mu_0 - mu_n|/(eta·n), and mu stays within about 10 bits.
  EXPECT_NEAR(sum / kSteps, 3, 10 / (0.1 * kSteps));
}

}  // namespace
}  // namespace tern
