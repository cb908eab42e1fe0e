// Which tokens a step sees: every one once an epoch, in an order that only seed and step decide.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "tests/train/dataset_testing.h"

namespace tern::train {
namespace {

using testing::Counting;
using testing::GivenTokens;

Windows Make(std::shared_ptr<const TokenData> data, WindowOptions options) {
  auto windows = Windows::Create(std::move(data), options);
  EXPECT_TRUE(windows.ok()) << windows.status().message();
  return *windows;
}

/// What every batch must be: segments that cover it in order, streams ascending, only a stream's first going
/// on.
void ExpectWellFormed(const TrainBatch& batch, int64_t rows) {
  ASSERT_EQ(batch.inputs.size(), batch.targets.size());
  int64_t at = 0, stream = -1;
  for (const Segment& segment : batch.segments) {
    EXPECT_EQ(segment.begin, at);
    EXPECT_GT(segment.end, segment.begin);
    EXPECT_TRUE(segment.reset || segment.stream != stream);
    EXPECT_GE(segment.stream, stream);
    EXPECT_LT(segment.stream, rows);
    stream = segment.stream;
    at = segment.end;
  }
  EXPECT_EQ(at, batch.tokens());
  EXPECT_EQ(stream, rows - 1);
}

TEST(Windows, ShuffledSeesEveryPositionAtMostOnceAnEpoch) {
  for (const int64_t tokens : {2, 3, 9, 17, 100, 1000, 4097}) {
    for (const int64_t context : {1, 7, 16, 300}) {
      SCOPED_TRACE(::testing::Message() << tokens << " tokens, context " << context);
      const Windows windows = Make(Counting(tokens), {.context = context, .rows = 1, .seed = 9});
      const int64_t positions = tokens - 1, length = std::min(context, positions);
      ASSERT_EQ(windows.windows_per_epoch(), positions / length);
      for (int epoch = 0; epoch < 3; ++epoch) {
        std::set<int32_t> seen;
        for (int64_t step = 0; step < windows.windows_per_epoch(); ++step) {
          const TrainBatch batch = windows.Get(epoch * windows.windows_per_epoch() + step, 0, 1);
          ExpectWellFormed(batch, 1);
          ASSERT_EQ(batch.tokens(), length);
          for (size_t i = 0; i < batch.inputs.size(); ++i) {
            EXPECT_EQ(batch.targets[i], batch.inputs[i] + 1);
            EXPECT_TRUE(seen.insert(batch.inputs[i]).second) << batch.inputs[i] << " twice in an epoch";
          }
          for (const Segment& segment : batch.segments) {
            EXPECT_TRUE(segment.reset);
            for (int64_t i = segment.begin + 1; i < segment.end; ++i) {
              EXPECT_EQ(batch.inputs[static_cast<size_t>(i)], batch.inputs[static_cast<size_t>(i - 1)] + 1)
                  << "a segment must not run over the end of the corpus";
            }
          }
        }
        EXPECT_EQ(static_cast<int64_t>(seen.size()), windows.windows_per_epoch() * length);
      }
    }
  }
}

TEST(Windows, EpochsDifferInCutAndOrder) {
  const Windows windows = Make(Counting(100'001), {.context = 100, .rows = 4, .seed = 1});
  ASSERT_EQ(windows.windows_per_epoch(), 1000);
  EXPECT_DOUBLE_EQ(windows.Epoch(250), 1.0);
  std::set<int32_t> cuts;
  int ascending = 0;
  for (int epoch = 0; epoch < 20; ++epoch) {
    const TrainBatch batch = windows.Get(epoch * 250, 0, 4);
    cuts.insert(batch.inputs[0] % 100);
    ascending += batch.inputs[100] == batch.inputs[0] + 100;
  }
  EXPECT_GT(cuts.size(), 10u) << "the offset of an epoch must be random";
  EXPECT_LT(ascending, 3) << "windows must not come in the corpus' order";
}

TEST(Windows, PermutationIsEvenlyRandom) {
  // The first of 10 windows over 5000 epochs: each 500 times, standard deviation 21; six of them allowed.
  const Windows windows = Make(Counting(11), {.context = 1, .rows = 10, .seed = 77});
  std::map<int64_t, int> first_distance;
  for (int64_t step = 0; step < 5000; ++step) {
    const TrainBatch batch = windows.Get(step, 0, 2);
    ++first_distance[((batch.inputs[1] - batch.inputs[0]) % 10 + 10) % 10];
  }
  EXPECT_EQ(first_distance.count(0), 0u);
  for (int64_t distance = 1; distance < 10; ++distance) {
    EXPECT_NEAR(first_distance[distance], 5000.0 / 9, 6 * 22.3) << distance;
  }
}

TEST(Windows, RowsAreTheSameHoweverTheyAreShared) {
  for (const WindowOrder order : {WindowOrder::kShuffled, WindowOrder::kStreams}) {
    const Windows windows = Make(
        Counting(777), {.context = 10, .rows = 6, .order = order, .reset_at_documents = true, .seed = 3});
    for (int64_t step = 0; step < 40; ++step) {
      const TrainBatch whole = windows.Get(step, 0, 6);
      ExpectWellFormed(whole, 6);
      std::vector<int32_t> inputs;
      for (const auto& [row0, row1] : {std::pair(0, 1), {1, 4}, {4, 6}}) {
        const TrainBatch part = windows.Get(step, row0, row1);
        ExpectWellFormed(part, row1 - row0);
        inputs.insert(inputs.end(), part.inputs.begin(), part.inputs.end());
      }
      EXPECT_EQ(inputs, whole.inputs);
    }
  }
}

TEST(Windows, RowsBeyondAnEpochAreOfTheNext) {
  const Windows windows = Make(Counting(21), {.context = 10, .rows = 5, .seed = 3});
  ASSERT_EQ(windows.windows_per_epoch(), 2);
  const TrainBatch batch = windows.Get(0, 0, 5);
  EXPECT_EQ(batch.tokens(), 50);
  EXPECT_DOUBLE_EQ(windows.Epoch(2), 5.0);
  for (const auto& [begin, end] : {std::pair(0, 20), {20, 40}}) {
    const std::set<int32_t> epoch(batch.inputs.begin() + begin, batch.inputs.begin() + end);
    EXPECT_EQ(epoch.size(), 20u) << "two windows of an epoch must not overlap";
  }
}

TEST(Windows, CorpusShorterThanAWindowIsAWindow) {
  for (const WindowOrder order : {WindowOrder::kShuffled, WindowOrder::kStreams}) {
    const Windows windows = Make(Counting(5), {.context = 100, .rows = 2, .order = order});
    const TrainBatch batch = windows.Get(7, 0, 2);
    ExpectWellFormed(batch, 2);
    if (order == WindowOrder::kShuffled) {
      EXPECT_THAT(batch.inputs, ::testing::ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
      EXPECT_THAT(batch.targets, ::testing::ElementsAre(1, 2, 3, 4, 1, 2, 3, 4));
    } else {
      EXPECT_EQ(batch.tokens(), 4);
    }
  }
}

TEST(Windows, StreamsGoOnWhereTheyStopped) {
  const Windows windows =
      Make(Counting(1001), {.context = 30, .rows = 4, .order = WindowOrder::kStreams, .seed = 5});
  ASSERT_EQ(windows.windows_per_epoch(), 8 * 4);  // 250 positions a row
  std::vector<int32_t> last(4, -1);
  std::set<int32_t> seen;
  for (int64_t step = 0; step < 24; ++step) {
    const TrainBatch batch = windows.Get(step, 0, 4);
    if (step % 8 == 0) seen.clear();
    for (const Segment& segment : batch.segments) {
      const auto stream = static_cast<size_t>(segment.stream);
      const int32_t first = batch.inputs[static_cast<size_t>(segment.begin)];
      if (!segment.reset) {
        EXPECT_EQ(first, last[stream] + 1);
      } else {
        EXPECT_TRUE(step % 8 == 0 || first == 0) << "only an epoch or the end of the corpus resets";
      }
      for (int64_t i = segment.begin; i < segment.end; ++i) {
        EXPECT_TRUE(seen.insert(batch.inputs[static_cast<size_t>(i)]).second);
      }
      last[stream] = batch.inputs[static_cast<size_t>(segment.end - 1)];
    }
  }
  EXPECT_DOUBLE_EQ(windows.Epoch(8), 1.0);
}

TEST(Windows, MoreStreamsThanTokensStillRun) {
  const Windows windows = Make(Counting(3), {.context = 8, .rows = 7, .order = WindowOrder::kStreams});
  ExpectWellFormed(windows.Get(3, 0, 7), 7);
}

TEST(Windows, ResetsBeginWithTheEndOfTheDocumentBefore) {
  // Three documents, each ended by 0.
  const auto data = std::make_shared<GivenTokens>(std::vector<int32_t>{5, 6, 0, 7, 0, 8, 9, 4, 0},
                                                  std::vector<int64_t>{0, 3, 5}, 0);
  const TrainBatch batch = Make(data, {.context = 8, .rows = 1, .reset_at_documents = true}).Get(0, 0, 1);
  EXPECT_THAT(batch.inputs, ::testing::ElementsAre(5, 6, 0, 7, 0, 8, 9, 4));
  EXPECT_THAT(batch.targets, ::testing::ElementsAre(6, 0, 7, 0, 8, 9, 4, 0));
  std::vector<int64_t> begins;
  for (const Segment& segment : batch.segments) {
    EXPECT_TRUE(segment.reset);
    begins.push_back(segment.begin);
  }
  EXPECT_THAT(begins, ::testing::ElementsAre(0, 2, 4));
}

TEST(Windows, DocumentsWithoutAnEndPredictNothingOfEachOther) {
  const auto data =
      std::make_shared<GivenTokens>(std::vector<int32_t>{5, 6, 7, 8, 9}, std::vector<int64_t>{0, 2, 3}, -1);
  const TrainBatch batch = Make(data, {.context = 4, .rows = 1, .reset_at_documents = true}).Get(0, 0, 1);
  EXPECT_THAT(batch.inputs, ::testing::ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(batch.targets, ::testing::ElementsAre(6, -1, -1, 9));
  ASSERT_EQ(batch.segments.size(), 3u);
  EXPECT_EQ(batch.segments[1].begin, 2);
  EXPECT_EQ(batch.segments[2].begin, 3);
  const TrainBatch joined = Make(data, {.context = 4, .rows = 1}).Get(0, 0, 1);
  EXPECT_EQ(joined.segments.size(), 1u);
  EXPECT_THAT(joined.targets, ::testing::ElementsAre(6, 7, 8, 9));
}

TEST(Windows, CutsAgreeHoweverTheCorpusIsWindowed) {
  constexpr uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  // A token is its place, but for the ends of documents, which three in four have.
  constexpr int32_t kEnd = 100'000;
  std::vector<int32_t> tokens;
  std::vector<int64_t> documents;
  while (tokens.size() < 500) {
    documents.push_back(static_cast<int64_t>(tokens.size()));
    for (uint64_t n = 1 + random.Below(9); n > 0; --n) tokens.push_back(static_cast<int32_t>(tokens.size()));
    if (random.Below(4) > 0) tokens.push_back(kEnd);
  }
  const auto data = std::make_shared<GivenTokens>(tokens, documents, kEnd);
  const WindowOptions whole_options{.context = data->tokens(), .rows = 1, .reset_at_documents = true};
  const TrainBatch whole = Make(data, whole_options).Get(0, 0, 1);
  std::set<int64_t> starts;
  for (const Segment& segment : whole.segments) starts.insert(segment.begin);
  EXPECT_GE(starts.size(), documents.size() - 1);
  for (const int64_t context : {1, 2, 5, 64}) {
    WindowOptions options{
        .context = context, .rows = 1, .order = WindowOrder::kStreams, .reset_at_documents = true};
    options.seed = 6;
    const Windows windows = Make(data, options);
    for (int64_t step = 0; step < 2 * windows.windows_per_epoch(); ++step) {
      const TrainBatch batch = windows.Get(step, 0, 1);
      const bool epoch = step % windows.windows_per_epoch() == 0;
      for (const Segment& segment : batch.segments) {
        for (int64_t i = segment.begin; i < segment.end; ++i) {
          const int32_t token = batch.inputs[static_cast<size_t>(i)];
          if (token == kEnd) {
            EXPECT_TRUE(i == segment.begin) << "an end begins a segment";
            continue;
          }
          const auto place = static_cast<size_t>(token);
          EXPECT_EQ(batch.targets[static_cast<size_t>(i)], whole.targets[place]) << place;
          const bool starts_here = i == segment.begin && segment.reset && !(epoch && i == 0);
          EXPECT_EQ(starts_here, starts.contains(token) && !(epoch && i == 0))
              << place << " context " << context;
        }
      }
    }
  }
}

TEST(Windows, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(Windows::Create(Counting(1), {.context = 4, .rows = 1}).ok());
  EXPECT_FALSE(Windows::Create(Counting(9), {.context = 0, .rows = 1}).ok());
  EXPECT_FALSE(Windows::Create(Counting(9), {.context = 4, .rows = 0}).ok());
}

}  // namespace
}  // namespace tern::train
