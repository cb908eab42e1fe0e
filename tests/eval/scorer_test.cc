// The loop under every number of evaluation, against the plainest way to compute the same.
#include "eval/scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "base/random.h"
#include "tests/model/model_testing.h"

namespace tern::eval {
namespace {

/// Owns the tokens of random tasks: prefixes of 1 to 40 tokens, up to 4 continuations of 0 to 30.
struct RandomTasks {
  RandomTasks(uint64_t seed, size_t n, int64_t vocab) {
    Random random(seed);
    const auto size = [&](size_t most) { return static_cast<size_t>(random.Below(most + 1)); };
    tokens.reserve(5 * n);
    for (size_t t = 0; t < n; ++t) {
      Task task{.prefix = Keep(testing::RandomTokens(vocab, 1 + size(39), random.NextU64())),
                .continuations = {}};
      for (size_t c = 0, count = size(4); c < count; ++c) {
        task.continuations.push_back(Keep(testing::RandomTokens(vocab, size(30), random.NextU64())));
      }
      tasks.push_back(task);
    }
  }
  std::span<const int32_t> Keep(std::vector<int32_t> values) {
    return tokens.emplace_back(std::move(values));
  }

  std::vector<std::vector<int32_t>> tokens;
  std::vector<Task> tasks;
};

/// One token at a time, nothing shared.
Score PlainScore(const Model& model, const Task& task, std::span<const int32_t> continuation) {
  State state = model.NewState();
  std::vector<float> logits = testing::Run(model, task.prefix, &state, 1);
  Score score;
  for (const int32_t token : continuation) {
    double top = -INFINITY, sum = 0;
    for (const float x : logits) top = std::max(top, static_cast<double>(x));
    for (const float x : logits) sum += std::exp(x - top);
    score.log_probabilities.push_back(logits[static_cast<size_t>(token)] - top - std::log(sum));
    score.greedy = score.greedy && static_cast<double>(logits[static_cast<size_t>(token)]) == top;
    logits = testing::Run(model, {{token}}, &state, 1);
  }
  return score;
}

TEST(ScoreTasks, GivesWhatOneTokenAtATimeGives) {
  for (const testing::RandomModel& random : testing::SmallModels()) {
    SCOPED_TRACE(::testing::Message()
                 << "RWKV-" << static_cast<int>(random.generation) << ", seed " << random.seed);
    const testing::TempDir dir;
    const auto model = testing::MakeModel(random, dir);
    ASSERT_NE(model, nullptr);
    const RandomTasks tasks(random.seed, 12, random.vocab);
    const auto scores = ScoreTasks(*model, tasks.tasks, {.sequences = 5, .pass_tokens = 33});
    ASSERT_TRUE(scores.ok()) << scores.status().message();
    ASSERT_EQ(scores->size(), tasks.tasks.size());
    for (size_t t = 0; t < tasks.tasks.size(); ++t) {
      ASSERT_EQ((*scores)[t].size(), tasks.tasks[t].continuations.size());
      for (size_t c = 0; c < tasks.tasks[t].continuations.size(); ++c) {
        const Score expected = PlainScore(*model, tasks.tasks[t], tasks.tasks[t].continuations[c]);
        const Score& got = (*scores)[t][c];
        EXPECT_EQ(got.greedy, expected.greedy);
        ASSERT_EQ(got.log_probabilities.size(), expected.log_probabilities.size());
        for (size_t i = 0; i < expected.log_probabilities.size(); ++i) {
          // Chunks and single tokens round differently in fp32: 1e-4 of the largest logit at worst (see
          // golden_test).
          EXPECT_NEAR(got.log_probabilities[i], expected.log_probabilities[i], 1e-4)
              << t << " " << c << " " << i;
        }
      }
    }
  }
}

TEST(ScoreTasks, GivesTheSameBitsHoweverTextsShareThePasses) {
  for (const testing::RandomModel& random : testing::SmallModels()) {
    SCOPED_TRACE(::testing::Message()
                 << "RWKV-" << static_cast<int>(random.generation) << ", seed " << random.seed);
    const testing::TempDir dir;
    const auto model = testing::MakeModel(random, dir);
    ASSERT_NE(model, nullptr);
    const RandomTasks tasks(random.seed + 100, 20, random.vocab);
    const auto expected = ScoreTasks(*model, tasks.tasks, {});
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    for (const auto& [sequences, pass_tokens] : {std::pair{1, 1}, {1, 512}, {3, 7}, {64, 50}, {7, 100}}) {
      const auto got = ScoreTasks(*model, tasks.tasks, {.sequences = sequences, .pass_tokens = pass_tokens});
      ASSERT_TRUE(got.ok()) << got.status().message();
      for (size_t t = 0; t < expected->size(); ++t) {
        for (size_t c = 0; c < (*expected)[t].size(); ++c) {
          EXPECT_EQ((*got)[t][c].log_probabilities, (*expected)[t][c].log_probabilities)
              << sequences << " sequences, " << pass_tokens << " tokens a pass";
          EXPECT_EQ((*got)[t][c].greedy, (*expected)[t][c].greedy);
        }
      }
    }
  }
}

TEST(ScoreTasks, FindsTheGreedyContinuation) {
  const testing::TempDir dir;
  const auto model = testing::MakeModel(testing::SmallModels().front(), dir);
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> prefix = {3, 1, 4, 1, 5};
  State state = model->NewState();
  std::vector<float> logits = testing::Run(*model, prefix, &state, 8);
  std::vector<int32_t> best;
  for (int i = 0; i < 6; ++i) {
    best.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    logits = testing::Run(*model, {{best.back()}}, &state, 1);
  }
  for (size_t wrong = 0; wrong <= best.size(); ++wrong) {
    std::vector<int32_t> continuation = best;
    if (wrong < best.size()) continuation[wrong] = (continuation[wrong] + 1) % 43;
    const std::vector<Task> tasks = {{prefix, {continuation}}};
    const auto scores = ScoreTasks(*model, tasks, {});
    ASSERT_TRUE(scores.ok()) << scores.status().message();
    EXPECT_EQ((*scores)[0][0].greedy, wrong == best.size()) << "wrong token at " << wrong;
  }
}

TEST(ScoreTasks, HoldsNoMoreThan64MiBOfLogits) {
  testing::RandomModel random = testing::SmallModels().front();
  random.vocab = 100'000;
  random.layers = 1;
  const testing::TempDir dir;
  const auto model = testing::MakeModel(random, dir);
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> text = testing::RandomTokens(random.vocab, 400, 1);
  const std::vector<Task> tasks = {{std::span(text).first(1), {std::span(text).subspan(1)}},
                                   {std::span(text).first(1), {std::span(text).subspan(1, 200)}}};
  uint64_t before = 0, passes = 0;
  ScoreOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 1u + 398 + 1 + 199);
    EXPECT_LE((done - before) * 100'000 * sizeof(float), uint64_t{64} << 20);
    before = done;
    ++passes;
    return true;
  };
  ASSERT_TRUE(ScoreTasks(*model, tasks, options).ok());
  EXPECT_EQ(before, 599u);
  EXPECT_GE(passes, 4u);
}

TEST(ScoreTasks, StopsOnRequest) {
  const testing::TempDir dir;
  const auto model = testing::MakeModel(testing::SmallModels().front(), dir);
  const RandomTasks tasks(7, 5, 43);
  ScoreOptions options{.pass_tokens = 4};
  int calls = 0;
  options.progress = [&](uint64_t, uint64_t) { return ++calls < 3; };
  EXPECT_EQ(ScoreTasks(*model, tasks.tasks, options).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(calls, 3);
}

TEST(ScoreTasks, RefusesWhatCannotBeScored) {
  const testing::TempDir dir;
  const auto model = testing::MakeModel(testing::SmallModels().front(), dir);
  const std::vector<int32_t> good = {1, 2}, bad = {1, 43}, negative = {-1};
  for (const auto& [prefix, continuation] :
       {std::pair{std::vector<int32_t>{}, good}, {good, bad}, {bad, good}, {good, negative}}) {
    const std::vector<Task> tasks = {{prefix, {continuation}}};
    EXPECT_EQ(ScoreTasks(*model, tasks, {}).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(ScoreToken, IsStableAndTakesTheFirstOfEquals) {
  const std::vector<float> large = {3e38f, 3e38f, -3e38f};
  EXPECT_DOUBLE_EQ(ScoreToken(large, 0).log_probability, -std::log(2.0));
  EXPECT_TRUE(ScoreToken(large, 0).best);
  EXPECT_FALSE(ScoreToken(large, 1).best);
  const std::vector<float> small = {0, std::log(3.0f)};
  EXPECT_NEAR(ScoreToken(small, 0).log_probability, std::log(0.25), 1e-7);  // log 3 is rounded to fp32
  EXPECT_NEAR(ScoreToken(small, 1).log_probability, std::log(0.75), 1e-7);
  const std::vector<float> broken = {0, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_TRUE(std::isnan(ScoreToken(broken, 0).log_probability));
}

TEST(DefaultStart, IsTheDocumentsEndOrALineBreak) {
  EXPECT_EQ(DefaultStart(*MakeByteTokenizer()), '\n');
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  const auto world = MakeWorldTokenizer(tokens);
  ASSERT_TRUE(world.ok()) << world.status().message();
  EXPECT_EQ(DefaultStart(**world), 0);
}

}  // namespace
}  // namespace tern::eval
