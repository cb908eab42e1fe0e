// The sampler's distributions against a reference, and what it draws against its distributions.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "infer/sampler.h"
#include "tests/infer/sampler_reference.h"

namespace tern {
namespace {

/// No filter, no penalty: the softmax.
SamplingOptions Plain() {
  SamplingOptions options;
  options.top_p = 1;
  options.presence = 0;
  options.frequency = 0;
  return options;
}

struct Case {
  const char* name;
  SamplingOptions options;
};

template <typename Change>
Case Make(const char* name, Change change) {
  Case result{name, Plain()};
  change(result.options);
  return result;
}

std::vector<Case> Cases() {
  using O = SamplingOptions;
  return {
      Make("softmax", [](O&) {}),
      Make("temperature 0.7", [](O& o) { o.temperature = 0.7f; }),
      Make("temperature 3", [](O& o) { o.temperature = 3; }),
      Make("top_p 0.85", [](O& o) { o.top_p = 0.85f; }),
      Make("top_p 0.2", [](O& o) { o.top_p = 0.2f; }),
      Make("top_p 0", [](O& o) { o.top_p = 0; }),
      Make("top_k 4", [](O& o) { o.top_k = 4; }),
      Make("min_p 0.2", [](O& o) { o.min_p = 0.2f; }),
      Make("typical_p 0.6", [](O& o) { o.typical_p = 0.6f; }),
      Make("mirostat", [](O& o) { o.mirostat = 2, o.mirostat_tau = 1.5f; }),
      Make("bias and bans",
           [](O& o) {
             o.logit_bias = {{1, 2.5f}, {4, -3.0f}, {5, 1.0f}};
             o.banned = {0, 5};
           }),
      Make("pip's", [](O& o) { o.temperature = 1.3f, o.top_p = 0.8f, o.top_k = 6; }),
      Make("typical, min, top", [](O& o) { o.typical_p = 0.9f, o.min_p = 0.1f, o.top_p = 0.8f; }),
      Make("all but mirostat",
           [](O& o) {
             o.temperature = 0.8f, o.top_p = 0.9f, o.top_k = 5, o.min_p = 0.05f, o.typical_p = 0.95f;
             o.logit_bias = {{2, 1.0f}};
             o.banned = {3};
           }),
      Make("mirostat and temperature",
           [](O& o) { o.mirostat = 2, o.mirostat_tau = 1.2f, o.temperature = 1.5f; }),
  };
}

std::vector<float> RandomLogits(uint64_t seed, size_t n, double scale, double step) {
  Random random(seed);
  std::vector<float> logits(n);
  for (float& logit : logits) {
    logit = static_cast<float>(step == 0 ? random.Normal() * scale
                                         : std::round(random.Normal() * scale / step) * step);
  }
  return logits;
}

/// Supports must be equal, probabilities within 1e-5 relative: the engine's exponentials are floats of
/// arguments below 88, whose rounding (88·2^-24 = 5e-6) is the largest error. Returns whether the reference's
/// decision was clear.
bool ExpectReference(const std::vector<float>& logits, const SamplingOptions& options) {
  SamplerReference reference;
  const std::vector<double> expected = reference(logits, options, {}, 2.0 * options.mirostat_tau);
  if (reference.margin() < 1e-6) return false;  // either answer is right to rounding
  const auto actual = Sampler(options).Distribution(logits);
  EXPECT_TRUE(actual.ok()) << actual.status().message();
  if (!actual.ok()) return true;
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_NEAR((*actual)[i], expected[i], 1e-5 * expected[i] + 1e-30) << "token " << i;
    if (::testing::Test::HasFailure()) break;
  }
  return true;
}

TEST(SamplerDistribution, AgreesWithTheReferenceOnSmallVocabularies) {
  int compared = 0, unclear = 0;
  for (const Case& c : Cases()) {
    for (uint64_t seed = 0; seed < 60; ++seed) {
      SCOPED_TRACE(::testing::Message() << c.name << ", seed " << seed);
      const double step = seed % 2 == 0 ? 0.0 : 0.5;  // half of them full of ties
      const auto logits = RandomLogits(seed, 6 + seed, 0.5 + 0.1 * static_cast<double>(seed % 30), step);
      ++(ExpectReference(logits, c.options) ? compared : unclear);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(compared, 50 * unclear);
}

TEST(SamplerDistribution, AgreesWithTheReferenceOnLargeVocabularies) {
  int compared = 0;
  for (const Case& c : Cases()) {
    for (const double step : {0.0, 0.125}) {
      for (const double scale : {1.0, 3.0}) {
        SCOPED_TRACE(::testing::Message() << c.name << ", step " << step << ", scale " << scale);
        compared += ExpectReference(RandomLogits(99, 20011, scale, step), c.options);
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GE(compared, 50);
}

TEST(SamplerDistribution, KeepsAllTiesAtTheNucleusEdge) {
  SamplingOptions options = Plain();
  options.top_p = 0.3f;
  auto p = Sampler(options).Distribution(std::vector<float>{1, 1, 1, 1});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0.25f, 0.25f, 0.25f, 0.25f}));
  options.top_p = 0;  // as in pip rwkv: every token that ties with the best
  p = Sampler(options).Distribution(std::vector<float>{0, 2, 1, 2});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0, 0.5f, 0, 0.5f}));
}

TEST(SamplerDistribution, TopKKeepsTheFirstOfEquals) {
  SamplingOptions options = Plain();
  options.top_k = 2;
  const auto p = Sampler(options).Distribution(std::vector<float>{0, 1, 1, 1});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0, 0.5f, 0.5f, 0}));
}

TEST(SamplerDistribution, TypicalSamplingMayCutTheMostProbable) {
  // p = 0.4 and 60 tokens of 0.01: the entropy, 3.1 nats, is nearer to 4.6 than to 0.9.
  std::vector<float> logits(61, std::log(0.01f));
  logits[7] = std::log(0.4f);
  SamplingOptions options = Plain();
  options.typical_p = 0.5f;
  const auto p = Sampler(options).Distribution(logits);
  ASSERT_TRUE(p.ok());
  EXPECT_EQ((*p)[7], 0.0f);
  EXPECT_NEAR((*p)[8], 1.0 / 60, 1e-7);
}

TEST(SamplerDistribution, SurvivesExtremeTemperatures) {
  SamplingOptions options = Plain();
  options.temperature = 1e-38f;
  auto p = Sampler(options).Distribution(std::vector<float>{1, 2, 1.99f});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0, 1, 0}));
  options.temperature = 1e38f;
  p = Sampler(options).Distribution(std::vector<float>{1, 2, 1.99f, -INFINITY});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{1.0f / 3, 1.0f / 3, 1.0f / 3, 0}));
}

TEST(SamplerDistribution, SurvivesLogitsAtTheEndsOfTheRange) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const auto p = Sampler(Plain()).Distribution(std::vector<float>{-kMax, kMax, 0, -INFINITY});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(*p, (std::vector<float>{0, 1, 0, 0}));
}

// --- What is drawn ---

/// The value that chi-squared with `dof` degrees of freedom exceeds with a probability of at most 1e-6
/// (Wilson and Hilferty's approximation at 4.7534 standard deviations, which errs to the high side in this
/// tail).
double Critical(int dof) {
  const double v = 2.0 / (9.0 * dof);
  return dof * std::pow(1 - v + 4.7534 * std::sqrt(v), 3);
}

/// Pearson's statistic minus its critical value: positive where the counts do not fit. Cells with an expected
/// count below 10 are pooled. A token that cannot come, but came, is infinite.
double Excess(const std::vector<int>& counts, const std::vector<double>& p) {
  double n = 0;
  for (const int count : counts) n += count;
  double statistic = 0, pooled_count = 0, pooled_p = 0;
  int cells = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0 && counts[i] > 0) return INFINITY;
    if (n * p[i] >= 10) {
      add(counts[i], n * p[i]);
    } else {
      pooled_count += counts[i];
      pooled_p += p[i];
    }
  }
  if (n * pooled_p >= 1) add(pooled_count, n * pooled_p);
  return cells < 2 ? 0 - 1 : statistic - Critical(cells - 1);
}

constexpr int kDraws = 20000;

std::vector<int> Draw(Sampler sampler, const std::vector<float>& logits) {
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    const auto token = sampler.Sample(logits);
    EXPECT_TRUE(token.ok());
    if (token.ok()) ++counts[static_cast<size_t>(*token)];
  }
  return counts;
}

/// False alarms: below 1e-6 for each of the 45 (and none after the first run: the seeds are fixed).
TEST(SamplerDraws, FitTheReferenceByChiSquared) {
  for (Case c : Cases()) {
    c.options.mirostat_eta = 1e-30f;  // a threshold that stands still
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(::testing::Message() << c.name << ", seed " << seed);
      const auto logits = RandomLogits(seed, 12, 1.2, 0);
      c.options.seed = seed;
      const auto expected = SamplerReference()(logits, c.options, {}, 2.0 * c.options.mirostat_tau);
      EXPECT_LT(Excess(Draw(Sampler(c.options), logits), expected), 0);
    }
  }
}

TEST(SamplerDraws, FitTheReferenceWithPenalties) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    SamplingOptions options = Plain();
    options.presence = 0.5f, options.frequency = 0.7f, options.penalty_decay = 0.5f;
    options.top_p = 0.9f, options.min_p = 0.02f, options.seed = seed;
    Sampler sampler(options);
    for (const int32_t token : {1, 2, 1}) sampler.Accept(token);
    const auto logits = RandomLogits(seed, 12, 1.2, 0);
    const auto expected = SamplerReference()(logits, options, {{1, 1.25}, {2, 0.5}});
    EXPECT_LT(Excess(Draw(sampler, logits), expected), 0);
    EXPECT_GT(Excess(Draw(sampler, logits), SamplerReference()(logits, options)), 0);
  }
}

/// Large vocabularies are walked in blocks; here one of them, and the end, can never come.
TEST(SamplerDraws, FitTheReferenceOverManyBlocks) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    auto logits = RandomLogits(seed, 2500, 1.2, 0);
    std::fill(logits.begin() + 500, logits.begin() + 1100, -INFINITY);
    std::fill(logits.begin() + 2300, logits.end(), -INFINITY);
    SamplingOptions options = Plain();
    options.seed = seed;
    EXPECT_LT(Excess(Draw(Sampler(options), logits), SamplerReference()(logits, options)), 0);
  }
}

/// The chi-squared test itself must be able to tell neighbours apart.
TEST(SamplerDraws, DoNotFitANeighbouringDistribution) {
  SamplingOptions options = Plain();
  const auto logits = RandomLogits(1, 12, 1.2, 0);
  options.temperature = 1.15f;
  const auto neighbour = SamplerReference()(logits, options);
  options.temperature = 1;
  EXPECT_GT(Excess(Draw(Sampler(options), logits), neighbour), 0);
}

TEST(SamplerDraws, SuccessiveDrawsAreIndependent) {
  const std::vector<float> logits = {0, 0.5f, 1};
  Sampler sampler(Plain());
  const auto p = SamplerReference()(logits, Plain());
  std::vector<int> pairs(9);
  std::vector<double> expected;
  for (const double a : p) {
    for (const double b : p) expected.push_back(a * b);
  }
  for (int i = 0; i < kDraws; ++i) {
    const auto first = sampler.Sample(logits);
    const auto second = sampler.Sample(logits);
    ASSERT_TRUE(first.ok() && second.ok());
    ++pairs[static_cast<size_t>(*first * 3 + *second)];
  }
  EXPECT_LT(Excess(pairs, expected), 0);
}

}  // namespace
}  // namespace tern
