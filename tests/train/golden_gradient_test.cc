// Losses and gradients of both generations against the public reference training code in
// PyTorch (tests/golden/README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "tests/train/train_golden.h"
#include "train/graph.h"

namespace tern::train {
namespace {

// The reference itself in fp32 is within 3e-6 of these double-precision gradients (per tensor), and without
// L2Wrap every tensor is off by 1.5e-4 or more.
constexpr double kFloatTolerance = 1e-4;
// The gradients in the files have nine digits.
constexpr double kDoubleTolerance = 1e-8;
constexpr kernels::Level kLevels[] = {kernels::Level::kRef, kernels::Level::kAvx2, kernels::Level::kAvx512,
                                      kernels::Level::kAmx};

class GoldenGradients : public TrainingGolden {
 protected:
  /// Mean loss and its gradient, `rows` rows of the batch at a time.
  template <typename T>
  double Gradients(bool recompute, size_t rows, std::vector<T>* gradients) const {
    Graph<T> graph(shape_, {.precision = Precision::kF32, .recompute = recompute});
    const std::vector<T> parameters = ParametersOf<T>(golden_.model, graph.layout());
    gradients->assign(parameters.size(), T(0));
    const auto targets = static_cast<T>(CountTargets(golden_.tokens));
    double loss = 0;
    for (size_t row = 0; row < golden_.tokens.size(); row += rows) {
      const TrainBatch batch = BatchOf(std::span(golden_.tokens).subspan(row, rows));
      GraphCall<T> call;
      call.batch = &batch;
      call.parameters = parameters;
      call.gradients = *gradients;
      call.loss_scale = T(1) / targets;
      loss += static_cast<double>(graph.Run(call));
    }
    return loss / static_cast<double>(targets);
  }

  template <typename T>
  void ExpectGolden(double loss, const std::vector<T>& gradients, double tolerance) const {
    EXPECT_NEAR(loss, golden_.loss, tolerance * golden_.loss);
    const ParameterLayout layout(shape_);
    for (const Parameter& p : layout.parameters()) {
      EXPECT_LT(RelativeError(Part(gradients, p), golden_.gradients.at(p.name)), tolerance) << p.name;
    }
  }

  /// ‖actual − expected‖ / ‖expected‖; infinite for other sizes.
  template <typename T>
  static double RelativeError(std::span<const T> actual, const std::vector<double>& expected) {
    if (actual.size() != expected.size()) return INFINITY;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
  }
};

TEST_P(GoldenGradients, HoldsAGradientOfEveryParameterAndNoOther) {
  const ParameterLayout layout(shape_);
  EXPECT_EQ(golden_.gradients.size(), layout.parameters().size());
  for (const Parameter& p : layout.parameters()) {
    ASSERT_TRUE(golden_.gradients.count(p.name)) << p.name;
    EXPECT_EQ(static_cast<int64_t>(golden_.gradients.at(p.name).size()), p.size) << p.name;
  }
}

TEST_P(GoldenGradients, GradientsInDouble) {
  for (const bool recompute : {false, true}) {
    SCOPED_TRACE(recompute ? "recomputing" : "keeping activations");
    std::vector<double> gradients;
    const double loss = Gradients<double>(recompute, golden_.tokens.size(), &gradients);
    ExpectGolden(loss, gradients, kDoubleTolerance);
  }
}

TEST_P(GoldenGradients, GradientsAccumulateOverRowsOfTheBatch) {
  std::vector<double> gradients;
  const double loss = Gradients<double>(false, 1, &gradients);
  ExpectGolden(loss, gradients, kDoubleTolerance);
}

TEST_P(GoldenGradients, GradientsInSinglePrecisionAtEveryKernelLevel) {
  const kernels::Level before = kernels::Kernels().level;
  for (const kernels::Level level : kLevels) {
    if (!kernels::UseLevel(level).ok()) continue;
    for (const bool recompute : {false, true}) {
      SCOPED_TRACE(std::string(kernels::Name(level)) +
                   (recompute ? ", recomputing" : ", keeping activations"));
      std::vector<float> gradients;
      const double loss = Gradients<float>(recompute, golden_.tokens.size(), &gradients);
      ExpectGolden(loss, gradients, kFloatTolerance);
    }
  }
  ASSERT_TRUE(kernels::UseLevel(before).ok());
}

INSTANTIATE_TEST_SUITE_P(Reference, GoldenGradients,
                         ::testing::Values("train-rwkv4.json", "train-rwkv7.json"),
                         [](const auto& test) { return std::string(test.param).substr(6, 5); });

}  // namespace
}  // namespace tern::train
