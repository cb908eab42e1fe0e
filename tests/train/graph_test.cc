// What a training graph promises beside its gradients.
#include "train/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "model/model.h"
#include "tests/train/train_testing.h"
#include "train/model_weights.h"

namespace tern::train {
namespace {

class GraphTest : public ::testing::TestWithParam<Generation> {
 protected:
  struct Outcome {
    double loss = 0;
    std::vector<float> gradients, losses, states;
  };

  Outcome Run(const GraphOptions& options, const TrainBatch& batch, int threads = 1) const {
    SetNumThreads(threads);
    Graph<float> graph(shape_, options);
    const std::vector<float> parameters = RandomParameters<float>(graph.layout(), 3);
    std::vector<uint16_t> rounded(parameters.size());
    RoundParameters(graph.layout(), parameters, rounded);
    StreamStates<float> states(shape_, 2);
    for (float& value : states.values()) value = std::max(value, 0.25f);  // not the start of a text
    Outcome outcome;
    outcome.gradients.resize(parameters.size());
    outcome.losses.resize(batch.inputs.size());
    GraphCall<float> call;
    call.batch = &batch;
    call.states = &states;
    call.parameters = parameters;
    call.parameters_bf16 = rounded.data();
    call.gradients = outcome.gradients;
    call.token_losses = outcome.losses;
    call.loss_scale = 1.0f / static_cast<float>(batch.tokens());
    call.dropout_seed = 9;
    outcome.loss = graph.Run(call);
    outcome.states.assign(states.values().begin(), states.values().end());
    SetNumThreads(0);
    return outcome;
  }

  const ModelShape shape_ = OddShape(GetParam());
  const TrainBatch batch_ = PackedBatch(shape_, 4);
};

/// Long enough for several chunks of rows.
TrainBatch LongBatch(const ModelShape& shape) {
  TrainBatch batch;
  for (int i = 0; i < 5; ++i) {
    const TrainBatch part = PackedBatch(shape, static_cast<uint64_t>(i));
    const int64_t at = batch.tokens();
    for (Segment s : part.segments) batch.segments.push_back({s.begin + at, s.end + at, s.stream, s.reset || i > 0});
    batch.inputs.insert(batch.inputs.end(), part.inputs.begin(), part.inputs.end());
    batch.targets.insert(batch.targets.end(), part.targets.begin(), part.targets.end());
  }
  return batch;
}

TEST_P(GraphTest, GivesTheSameBitsWithAnyNumberOfThreads) {
  const TrainBatch batch = LongBatch(shape_);
  for (const Precision precision : {Precision::kF32, Precision::kBf16}) {
    const GraphOptions options{.precision = precision, .dropout = 0.1, .head_rows = 50};
    const Outcome one = Run(options, batch, 1);
    for (const int threads : {2, 3}) {
      const Outcome more = Run(options, batch, threads);
      EXPECT_EQ(one.gradients, more.gradients) << threads;
      EXPECT_EQ(one.losses, more.losses) << threads;
      EXPECT_EQ(one.states, more.states) << threads;
    }
  }
}

TEST_P(GraphTest, GivesTheSameBitsWithRecomputation) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16}) {
    const Outcome kept = Run({.precision = precision, .dropout = 0.2}, batch_);
    const Outcome recomputed = Run({.precision = precision, .recompute = true, .dropout = 0.2}, batch_);
    EXPECT_EQ(kept.gradients, recomputed.gradients);
    EXPECT_EQ(kept.states, recomputed.states);
    EXPECT_EQ(kept.loss, recomputed.loss);
  }
}

// bf16 keeps 8 bits: products of rounded operands are off by some tenths of a per cent.
TEST_P(GraphTest, GivesNearlyTheSameGradientsInBf16) {
  const Outcome exact = Run({.precision = Precision::kF32}, batch_), rounded = Run({.precision = Precision::kBf16}, batch_);
  double error = 0, size = 0;
  for (size_t i = 0; i < exact.gradients.size(); ++i) {
    error += std::pow(exact.gradients[i] - rounded.gradients[i], 2);
    size += std::pow(exact.gradients[i], 2);
  }
  EXPECT_LT(std::sqrt(error / size), 0.03);
  EXPECT_GT(error, 0) << "the products were not rounded at all";
  EXPECT_NEAR(exact.loss, rounded.loss, 0.01 * exact.loss);
}

// A text read in two batches with carried states costs what it costs in one (the same sums, up to fp32).
TEST_P(GraphTest, CarriesStatesFromBatchToBatch) {
  Graph<double> graph(shape_, {.precision = Precision::kF32});
  const std::vector<double> parameters = RandomParameters<double>(graph.layout(), 3);
  TrainBatch whole = PackedBatch(shape_, 8);
  whole.segments = {{.begin = 0, .end = whole.tokens(), .stream = 0, .reset = true}};
  const auto run = [&](const TrainBatch& batch, StreamStates<double>* states) {
    GraphCall<double> call;
    call.batch = &batch;
    call.states = states;
    call.parameters = parameters;
    return graph.Run(call);
  };
  StreamStates<double> at_once(shape_, 1), in_parts(shape_, 1);
  const double expected = run(whole, &at_once);
  double sum = 0;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 20}, {20, 41}}) {
    TrainBatch part;
    part.inputs.assign(whole.inputs.begin() + begin, whole.inputs.begin() + end);
    part.targets.assign(whole.targets.begin() + begin, whole.targets.begin() + end);
    part.segments = {{.begin = 0, .end = end - begin, .stream = 0, .reset = begin == 0}};
    sum += run(part, &in_parts);
  }
  EXPECT_NEAR(sum, expected, 1e-12 * expected);
  for (size_t i = 0; i < at_once.values().size(); ++i)
    EXPECT_NEAR(at_once.values()[i], in_parts.values()[i], 1e-12 * (1 + std::abs(at_once.values()[i])));
}

/// −log softmax(logits)[target] in double.
double LossOf(std::span<const float> logits, int32_t target) {
  double largest = logits[0], sum = 0;
  for (const float l : logits) largest = std::max<double>(largest, l);
  for (const float l : logits) sum += std::exp(l - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(target)];
}

TEST_P(GraphTest, ItsForwardIsInferencesForward) {
  Graph<float> graph(shape_, {.precision = Precision::kF32});
  const std::vector<float> parameters = RandomParameters<float>(graph.layout(), 11);
  TrainBatch batch = PackedBatch(shape_, 12);
  batch.targets[7] = 0;
  batch.segments = {{.begin = 0, .end = batch.tokens(), .stream = 0, .reset = true}};
  std::vector<float> losses(batch.inputs.size());
  StreamStates<float> states(shape_, 1);
  GraphCall<float> call;
  call.batch = &batch;
  call.parameters = parameters;
  call.token_losses = losses;
  call.states = &states;
  graph.Run(call);

  auto checkpoint = ViewAsCheckpoint(graph.layout(), parameters);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  auto model = Model::FromCheckpoint(*checkpoint);
  ASSERT_TRUE(model.ok()) << model.status().message();
  State state = (*model)->NewState();
  Batch inference;
  inference.Add(batch.inputs, &state, Logits::kAll);
  Workspace workspace;
  std::vector<float> logits;
  ASSERT_TRUE((*model)->Forward(inference, workspace, &logits).ok());
  const auto V = static_cast<size_t>(shape_.vocab);
  for (size_t t = 0; t < losses.size(); ++t)
    EXPECT_NEAR(losses[t], LossOf(std::span(logits).subspan(t * V, V), batch.targets[t]), 2e-5) << t;
  // The states are laid out alike, so that trained ones can be used for inference.
  ASSERT_EQ(state.data().size(), states.values().size());
  for (size_t i = 0; i < state.data().size(); ++i)
    EXPECT_NEAR(state.data()[i], states.values()[i], 1e-4 * (1 + std::abs(state.data()[i]))) << i;
}

TEST_P(GraphTest, PredictsItsMemoryExactly) {
  Graph<float> graph(shape_, {.precision = Precision::kF32});
  const std::vector<float> parameters = RandomParameters<float>(graph.layout(), 1);
  std::vector<float> gradients(parameters.size());
  TrainBatch batch = PackedBatch(shape_, 2);
  batch.segments = {{.begin = 0, .end = 20, .stream = 0, .reset = true},
                    {.begin = 20, .end = batch.tokens(), .stream = 1, .reset = true}};
  GraphCall<float> call;
  call.batch = &batch;
  call.parameters = parameters;
  call.gradients = gradients;
  graph.Run(call);
  const size_t predicted = graph.PredictWorkspace(batch.tokens(), 2, true);
  EXPECT_GE(graph.workspace_bytes(), predicted);
  EXPECT_LE(graph.workspace_bytes(), predicted + 4096);
}

TEST_P(GraphTest, RecomputationSavesMostOfTheMemoryOfADeepModel) {
  ModelShape deep = shape_;
  deep.layers = 24;
  Graph<float> generous(deep, {.recompute = false}), thrifty(deep, {.recompute = true});
  EXPECT_LT(thrifty.PredictWorkspace(4096, 4, true), generous.PredictWorkspace(4096, 4, true) / 3);
}

TEST_P(GraphTest, NamesTheLayerThatIsNotFinite) {
  Graph<float> graph(shape_, {.precision = Precision::kF32});
  std::vector<float> parameters = RandomParameters<float>(graph.layout(), 1);
  TrainBatch batch = PackedBatch(shape_, 2);
  for (Segment& s : batch.segments) s.reset = true;
  GraphCall<float> call;
  call.batch = &batch;
  call.parameters = parameters;
  EXPECT_EQ(graph.FindNonFinite(call), "");
  parameters[static_cast<size_t>(graph.layout().Get("blocks.1.ffn.value.weight").offset)] = NAN;
  EXPECT_EQ(graph.FindNonFinite(call), "blocks.1.ffn");
}

INSTANTIATE_TEST_SUITE_P(BothGenerations, GraphTest, ::testing::Values(Generation::kRwkv4, Generation::kRwkv7),
                         [](const auto& test) {
                           return std::string(test.param == Generation::kRwkv4 ? "Rwkv4" : "Rwkv7");
                         });

}  // namespace
}  // namespace tern::train
