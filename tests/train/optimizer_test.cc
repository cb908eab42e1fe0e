#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "train/recipe.h"

namespace tern::train {
namespace {

ModelShape SmallShape(Generation generation) {
  auto shape = MakeShape(generation, 50, 2, 24, 8);
  EXPECT_TRUE(shape.ok());
  return *shape;
}

std::vector<float> RandomFlat(const ParameterLayout& layout, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(layout.total()));
  for (const Parameter& p : layout.parameters()) {
    for (int64_t i = 0; i < p.size; ++i)
      values[static_cast<size_t>(p.offset + i)] = static_cast<float>(random.Normal());
  }
  return values;
}

TEST(ParameterGroups, FollowTheReference) {
  const ParameterLayout v4(SmallShape(Generation::kRwkv4)), v7(SmallShape(Generation::kRwkv7));
  const auto rate = [](const ParameterLayout& layout, const char* name) {
    return GroupOf(layout.shape(), layout.Get(name)).rate_factor;
  };
  const auto decays = [](const ParameterLayout& layout, const char* name) {
    return GroupOf(layout.shape(), layout.Get(name)).decays;
  };
  EXPECT_EQ(rate(v4, "blocks.1.att.time_decay"), 2);
  EXPECT_EQ(rate(v4, "blocks.1.att.time_first"), 3);
  EXPECT_EQ(rate(v4, "blocks.1.att.time_mix_k"), 1);
  EXPECT_EQ(rate(v7, "blocks.1.att.w0"), 2);
  EXPECT_EQ(rate(v7, "blocks.1.att.w1"), 1);
  EXPECT_EQ(rate(v7, "blocks.1.att.a0"), 1);
  for (const char* name :
       {"emb.weight", "head.weight", "blocks.0.att.key.weight", "blocks.1.ffn.value.weight"}) {
    EXPECT_TRUE(decays(v4, name)) << name;
    EXPECT_TRUE(decays(v7, name)) << name;
  }
  for (const char* name :
       {"blocks.0.ln1.weight", "ln_out.bias", "blocks.0.att.time_decay", "blocks.0.att.time_mix_r"})
    EXPECT_FALSE(decays(v4, name)) << name;
  for (const char* name : {"blocks.0.ln0.weight", "blocks.0.att.ln_x.weight", "blocks.0.att.w1",
                           "blocks.0.att.w2", "blocks.1.att.r_k", "blocks.1.att.w0", "blocks.0.ffn.x_k"})
    EXPECT_FALSE(decays(v7, name)) << name;
}

/// Adam as it is written down, in double, element by element.
struct AdamInDouble {
  std::vector<double> p, m, v;
  explicit AdamInDouble(const std::vector<float>& start)
      : p(start.begin(), start.end()), m(p.size()), v(p.size()) {}

  void Step(const ParameterLayout& layout, const AdamOptions& o, int t, const std::vector<float>& gradients,
            double rate, double scale) {
    for (const Parameter& parameter : layout.parameters()) {
      const ParameterGroup group = GroupOf(layout.shape(), parameter);
      for (auto i = static_cast<size_t>(parameter.offset);
           i < static_cast<size_t>(parameter.offset + parameter.size); ++i) {
        const double g = static_cast<double>(gradients[i]) * scale, lr = rate * group.rate_factor;
        if (group.decays) p[i] *= 1 - lr * o.weight_decay;
        m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
        v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
        const double m_hat = m[i] / (1 - std::pow(o.beta1, t)), v_hat = v[i] / (1 - std::pow(o.beta2, t));
        p[i] -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
      }
    }
  }
};

class Adam : public ::testing::TestWithParam<Generation> {};

TEST_P(Adam, EqualsTheFormulaOverSeveralSteps) {
  const ParameterLayout layout(SmallShape(GetParam()));
  AdamOptions options = DefaultAdam(GetParam());
  options.weight_decay = 0.1;
  std::vector<float> parameters = RandomFlat(layout, 1);
  AdamOptimizer adam(layout, options, 0, layout.total());
  AdamInDouble expected(parameters);
  for (int t = 1; t <= 8; ++t) {
    const std::vector<float> gradients = RandomFlat(layout, 100 + static_cast<uint64_t>(t));
    const double rate = 0.01 / t, scale = 0.3 + 0.1 * t;
    adam.Step(parameters, gradients, rate, scale);
    expected.Step(layout, options, t, gradients, rate, scale);
  }
  EXPECT_EQ(adam.steps(), 8);
  for (size_t i = 0; i < parameters.size(); ++i) {
    // fp32 rounds each of 8 steps: parameters (below 8) to 2^-24 of themselves, updates (below 0.1) to some
    // 1e-6 of them.
    ASSERT_NEAR(parameters[i], expected.p[i], 4e-6) << "element " << i;
    ASSERT_NEAR(adam.m()[i], expected.m[i], 2e-6 * (std::abs(expected.m[i]) + 1)) << "element " << i;
    ASSERT_NEAR(adam.v()[i], expected.v[i], 2e-6 * (std::abs(expected.v[i]) + 1)) << "element " << i;
  }
}

// A rate that is followed is the rate's size: Adam's first step is rate · sign(g), whatever the gradient's
// scale.
TEST_P(Adam, FirstStepIsTheRateEvenForTinyGradients) {
  const ParameterLayout layout(SmallShape(GetParam()));
  std::vector<float> parameters(static_cast<size_t>(layout.total()), 0.0f);
  const std::vector<float> gradients(parameters.size(), 1e-4f);
  AdamOptimizer adam(layout, DefaultAdam(GetParam()), 0, layout.total());
  adam.Step(parameters, gradients, 1e-3, 1);
  for (const Parameter& p : layout.parameters())
    EXPECT_NEAR(parameters[static_cast<size_t>(p.offset)] / -(1e-3 * GroupOf(layout.shape(), p).rate_factor),
                1, 2e-4)
        << p.name;
}

TEST_P(Adam, OfPartsEqualsTheWhole) {
  const ParameterLayout layout(SmallShape(GetParam()));
  AdamOptions options = DefaultAdam(GetParam());
  options.weight_decay = 0.1;
  std::vector<float> whole = RandomFlat(layout, 2), parts = whole;
  // Borders inside of parameters.
  const int64_t borders[] = {0, layout.total() / 3 + 5, layout.total() / 2 + 1, layout.total()};
  AdamOptimizer all(layout, options, 0, layout.total());
  std::vector<AdamOptimizer> shares;
  for (int i = 0; i < 3; ++i) shares.emplace_back(layout, options, borders[i], borders[i + 1]);
  for (uint64_t t = 0; t < 3; ++t) {
    const std::vector<float> gradients = RandomFlat(layout, 200 + t);
    all.Step(whole, gradients, 0.01, 0.5);
    for (AdamOptimizer& share : shares) share.Step(parts, gradients, 0.01, 0.5);
  }
  // Pieces begin elsewhere, so that vector code may treat an element in its remainder loop: rounding alone
  // differs.
  for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], parts[i], 1e-6) << "element " << i;
}

TEST_P(Adam, SameBitsForAnyNumberOfThreads) {
  const ParameterLayout layout(SmallShape(GetParam()));
  std::vector<float> one;
  for (int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    std::vector<float> parameters = RandomFlat(layout, 3);
    AdamOptimizer adam(layout, DefaultAdam(GetParam()), 0, layout.total());
    for (uint64_t t = 0; t < 2; ++t) adam.Step(parameters, RandomFlat(layout, 300 + t), 0.01, 1);
    if (threads == 1) one = parameters;
    EXPECT_EQ(std::memcmp(one.data(), parameters.data(), one.size() * sizeof(float)), 0)
        << threads << " threads";
  }
  SetNumThreads(0);
}

TEST_P(Adam, GoesOnFromKeptMoments) {
  const ParameterLayout layout(SmallShape(GetParam()));
  std::vector<float> straight = RandomFlat(layout, 4);
  AdamOptimizer first(layout, DefaultAdam(GetParam()), 0, layout.total());
  first.Step(straight, RandomFlat(layout, 400), 0.01, 1);
  std::vector<float> resumed = straight;
  AdamOptimizer second(layout, DefaultAdam(GetParam()), 0, layout.total());
  second.set_steps(first.steps());
  std::copy(first.m().begin(), first.m().end(), second.m().begin());
  std::copy(first.v().begin(), first.v().end(), second.v().begin());
  first.Step(straight, RandomFlat(layout, 401), 0.01, 1);
  second.Step(resumed, RandomFlat(layout, 401), 0.01, 1);
  EXPECT_EQ(straight, resumed);
}

INSTANTIATE_TEST_SUITE_P(Generations, Adam, ::testing::Values(Generation::kRwkv4, Generation::kRwkv7),
                         [](const auto& test) {
                           return test.param == Generation::kRwkv4 ? "Rwkv4" : "Rwkv7";
                         });

TEST(SquaredNorm, IsTheSumOfSquaresWithSameBitsForAnyNumberOfThreads) {
  Random random(5);
  std::vector<float> values(100'003);
  double expected = 0;
  for (float& value : values) {
    value = static_cast<float>(random.Normal());
    expected += static_cast<double>(value) * static_cast<double>(value);
  }
  SetNumThreads(1);
  const double one = SquaredNorm(values);
  EXPECT_NEAR(one, expected, 1e-10 * expected);
  for (int threads : {2, 3}) {
    SetNumThreads(threads);
    EXPECT_EQ(SquaredNorm(values), one) << threads << " threads";
  }
  SetNumThreads(0);
  EXPECT_EQ(SquaredNorm({}), 0);
}

TEST(FindNonFinite, NamesTheFirstParameter) {
  const ParameterLayout layout(SmallShape(Generation::kRwkv7));
  std::vector<float> values(static_cast<size_t>(layout.total()), std::numeric_limits<float>::max());
  EXPECT_EQ(FindNonFinite(layout, values), nullptr);
  const Parameter& late = layout.Get("blocks.1.ffn.value.weight");
  values[static_cast<size_t>(late.offset + late.size - 1)] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(FindNonFinite(layout, values), &late);
  const Parameter& early = layout.Get("blocks.0.att.k_a");
  values[static_cast<size_t>(early.offset)] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(FindNonFinite(layout, values), &early);
}

}  // namespace
}  // namespace tern::train
