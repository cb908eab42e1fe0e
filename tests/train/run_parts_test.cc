// The small parts of a run: options, log, chart, joined data, shares of processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/testing/test_data.h"
#include "tests/train/run_testing.h"
#include "train/join_data.h"
#include "train/loss_chart.h"
#include "train/matrix_rate.h"
#include "train/memory_plan.h"
#include "train/run_log.h"
#include "train/run_report.h"

namespace tern::train {
namespace {

using tern::testing::LearnableTokens;
using ::testing::HasSubstr;

TEST(TrainOptions, SurviveJson) {
  TrainOptions options = tern::testing::SmallRun(4);
  options.data = {"a", "b"};
  options.seed = std::numeric_limits<uint64_t>::max();
  options.lr = 0.1 + 0.2;
  TrainOptions read;
  ASSERT_TRUE(FromJson(nlohmann::json::parse(ToJson(options).dump()), &read).ok());
  EXPECT_EQ(ToJson(read), ToJson(options));
  EXPECT_EQ(read.lr, options.lr);
}

TEST(TrainOptions, OfTheWrongKindAreNamed) {
  TrainOptions options;
  EXPECT_THAT(FromJson({{"layers", "six"}}, &options).message(), HasSubstr("layers"));
  EXPECT_THAT(FromJson({{"seed", -1}}, &options).message(), HasSubstr("seed"));
  EXPECT_THAT(FromJson({{"data", {1, 2}}}, &options).message(), HasSubstr("data"));
  options.lr = std::nan("");
  EXPECT_THAT(Validate(options).message(), HasSubstr("--lr"));
}

TEST(RunLog, CutsWhatCameAfterTheCheckpointAndWhatWasCutOff) {
  const tern::testing::TempDir dir;
  const std::string path = dir.File("log.jsonl");
  std::ofstream(path)
      << "{\"smoothed_loss\":2.0,\"step\":1}\n{\"step\":2,\"validation_loss\":3.0}\nnonsense\n"
         "{\"smoothed_loss\":1.0,\"step\":3}\n{\"smoothed_lo";
  LossChart chart;
  {
    auto log = RunLog::Open(path, 2, &chart);
    ASSERT_TRUE(log.ok()) << log.status().message();
    ASSERT_TRUE((*log)->Append({{"step", 3}}).ok());
    LossChart other;
    EXPECT_THAT(RunLog::Open(path, 2, &other).status().message(), HasSubstr("another run"));
  }
  std::ifstream file(path);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(content,
            "{\"smoothed_loss\":2.0,\"step\":1}\n{\"step\":2,\"validation_loss\":3.0}\n{\"step\":3}\n");
  EXPECT_THAT(chart.Svg("t", 10), HasSubstr("validation 3.0000"));
}

TEST(LossChart, DrawsAnyNumberOfPoints) {
  LossChart chart;
  EXPECT_THAT(chart.Svg("a < b & c", 0), HasSubstr("a &lt; b &amp; c"));
  chart.AddTraining(1, std::nan(""));
  EXPECT_EQ(chart.Svg("t", 10).find("nan"), std::string::npos);
  for (int64_t step = 1; step <= 100000; ++step)
    chart.AddTraining(step, 5.0 / std::sqrt(static_cast<double>(step)));
  chart.AddValidation(500, 2);
  const std::string svg = chart.Svg("t", 100000);
  EXPECT_LT(svg.size(), 40000u);
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(svg, HasSubstr("</svg>"));
}

TEST(JoinedData, ReadsAcrossItsParts) {
  const auto a = std::make_shared<LearnableTokens>(10, 1), b = std::make_shared<LearnableTokens>(7, 2);
  const auto joined = Join({a, b, a});
  ASSERT_EQ(joined->tokens(), 27);
  std::vector<int32_t> all(27), first(10), second(7), piece(20);
  joined->Read(0, all);
  a->Read(0, first);
  b->Read(0, second);
  first.insert(first.end(), second.begin(), second.end());
  EXPECT_TRUE(std::equal(first.begin(), first.end(), all.begin()));
  joined->Read(5, piece);
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), all.begin() + 5));
  EXPECT_THAT(joined->documents(), ::testing::ElementsAre(0, 3, 5, 10, 12, 13, 17, 20, 22));
}

TEST(Communicator, PartsCoverEverythingOnce) {
  for (const int64_t total : {0, 1, 16, 17, 1000, 100003}) {
    for (const int size : {1, 2, 3, 7}) {
      int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const OwnedRange owned = Communicator::Owned(total, rank, size);
        EXPECT_EQ(owned.begin, end);
        EXPECT_TRUE(owned.begin % 16 == 0 || owned.begin == total);
        end = owned.end;
      }
      EXPECT_EQ(end, total);
    }
  }
}

TEST(MatrixRate, CountsSixFlopPerElementAndToken) {
  const ParameterLayout layout(tern::testing::ShapeOf(tern::testing::SmallRun(7)));
  double flop = 0;
  for (const StepProduct& p : StepProducts(layout, 64, 16)) flop += p.flop() * static_cast<double>(p.count);
  EXPECT_DOUBLE_EQ(flop, StepFlop(layout, 64));
}

uint64_t PartOf(const MemoryPlan& plan, const std::string& name) {
  for (const auto& [each, bytes] : plan.parts) {
    if (each == name) return bytes;
  }
  return 0;
}

TEST(MemoryPlan, CountsASecondGraphForValidationWithDropout) {
  const std::string name = "workspace of validation";
  TrainOptions options = tern::testing::SmallRun(7);
  const ModelShape shape = tern::testing::ShapeOf(options);
  options.validation = "0.1";
  options.dropout = 0;
  EXPECT_EQ(PartOf(PlanMemory(options, shape, 100, 1), name), 0u);
  options.dropout = 0.1;
  const MemoryPlan plan = PlanMemory(options, shape, 100, 1);
  EXPECT_GT(PartOf(plan, name), 0u);
  EXPECT_LT(PartOf(plan, name), PartOf(plan, "activations and workspace"));  // forward alone
  options.validation = "";
  EXPECT_EQ(PartOf(PlanMemory(options, shape, 100, 1), name), 0u);
}

TEST(MemoryPlan, ShardsTheMomentsAlone) {
  TrainOptions options = tern::testing::SmallRun(7);
  const ModelShape shape = tern::testing::ShapeOf(options);
  const auto part = PartOf;
  const MemoryPlan one = PlanMemory(options, shape, 100, 1), two = PlanMemory(options, shape, 100, 2);
  EXPECT_EQ(part(one, "parameters (fp32)"), part(two, "parameters (fp32)"));
  EXPECT_NEAR(static_cast<double>(part(two, "optimizer's moments (fp32)")),
              static_cast<double>(part(one, "optimizer's moments (fp32)")) / 2, 128);
  EXPECT_EQ(part(one, "messages between processes"), 0u);
  EXPECT_GT(part(two, "messages between processes"), 0u);
}

TEST(HumanTime, Reads) {
  EXPECT_EQ(HumanTime(3.4), "3 s");
  EXPECT_EQ(HumanTime(75), "1 min 15 s");
  EXPECT_EQ(HumanTime(3 * 3600 + 59), "3 h 00 min");
}

}  // namespace
}  // namespace tern::train
