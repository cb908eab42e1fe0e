// Whole models against the complex step: Im f(p + ih·d)/h is the derivative along d without any cancellation, so the
// only error left is double's own.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numeric>

#include "tests/train/train_testing.h"
#include "train/graph.h"

namespace tern::train {
namespace {

using Complex = std::complex<double>;
constexpr double kStep = 1e-30;

struct Case {
  Generation generation;
  bool recompute;
  double dropout;
};

class GradientTest : public ::testing::TestWithParam<Case> {
 protected:
  GraphOptions Options() const {
    // l2wrap 0: it belongs to the gradient alone, by design.
    return {.precision = Precision::kF32, .recompute = GetParam().recompute, .dropout = GetParam().dropout, .l2wrap = 0,
            .head_rows = 17};
  }
  const ModelShape shape_ = OddShape(GetParam().generation);
};

/// States as an earlier batch would have left them.
template <typename T>
StreamStates<T> UsedStates(const ModelShape& shape, const std::vector<double>& parameters) {
  Graph<T> graph(shape, {.precision = Precision::kF32, .l2wrap = 0});
  StreamStates<T> states(shape, 2);
  TrainBatch batch;
  batch.inputs = {1, 2, 3, 4, 5, 6};
  batch.targets = batch.inputs;
  batch.segments = {{.begin = 0, .end = 3, .stream = 0}, {.begin = 3, .end = 6, .stream = 1}};
  const std::vector<T> p(parameters.begin(), parameters.end());
  GraphCall<T> call;
  call.batch = &batch;
  call.states = &states;
  call.parameters = p;
  graph.Run(call);
  return states;
}

TEST_P(GradientTest, EqualsTheComplexStepForEveryTensor) {
  constexpr uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  Graph<double> graph(shape_, Options());
  Graph<Complex> complex_graph(shape_, Options());
  const std::vector<double> parameters = RandomParameters<double>(graph.layout(), kSeed);
  const TrainBatch batch = PackedBatch(shape_, kSeed + 1);

  std::vector<double> gradients(parameters.size());
  StreamStates<double> states = UsedStates<double>(shape_, parameters);
  GraphCall<double> call;
  call.batch = &batch;
  call.states = &states;
  call.parameters = parameters;
  call.gradients = gradients;
  call.loss_scale = 0.37;
  call.dropout_seed = 5;
  int64_t counted = 0;
  const double loss = graph.Run(call, &counted);
  EXPECT_EQ(counted, batch.tokens() - 1);

  Random random(kSeed + 2);
  for (const Parameter& p : graph.layout().parameters()) {
    std::vector<Complex> stepped(parameters.begin(), parameters.end());
    double expected = 0;
    for (int64_t i = p.offset; i < p.offset + p.size; ++i) {
      const double direction = 2 * random.Uniform() - 1;
      stepped[static_cast<size_t>(i)] += Complex(0, kStep * direction);
      expected += gradients[static_cast<size_t>(i)] * direction;
    }
    StreamStates<Complex> complex_states = UsedStates<Complex>(shape_, parameters);
    GraphCall<Complex> complex_call;
    complex_call.batch = &batch;
    complex_call.states = &complex_states;
    complex_call.parameters = stepped;
    complex_call.dropout_seed = 5;
    const Complex stepped_loss = complex_graph.Run(complex_call);
    EXPECT_NEAR(stepped_loss.real(), loss, 1e-11 * std::abs(loss));
    const double derivative = 0.37 * stepped_loss.imag() / kStep;
    EXPECT_NE(derivative, 0) << p.name << ": nothing is tested";
    EXPECT_NEAR(expected, derivative, 1e-9 * std::abs(derivative)) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(BothGenerations, GradientTest,
                         ::testing::Values(Case{Generation::kRwkv4, false, 0}, Case{Generation::kRwkv4, true, 0.3},
                                         Case{Generation::kRwkv7, false, 0}, Case{Generation::kRwkv7, true, 0.3}),
                         [](const auto& test) {
                           return std::string(test.param.generation == Generation::kRwkv4 ? "Rwkv4" : "Rwkv7") +
                                  (test.param.recompute ? "RecomputedWithDropout" : "");
                         });

}  // namespace
}  // namespace tern::train
