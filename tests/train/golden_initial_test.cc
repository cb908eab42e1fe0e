// Initial values against those of the public reference training code (tests/golden/README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/train/train_golden.h"
#include "train/recipe.h"

namespace tern::train {
namespace {

// The reference computes in fp32 what is up to 6 in size: 6e-7 off the formulas in double.
constexpr double kTolerance = 1e-6;

class GoldenInitialValues : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto golden = testing::LoadGoldenInitial(testing::SourceDir() + "/tests/golden/" + GetParam());
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    golden_ = *golden;
    const auto generation = golden_.head_size > 0 ? Generation::kRwkv7 : Generation::kRwkv4;
    auto shape = MakeShape(generation, golden_.vocab, golden_.layers, golden_.width,
                           golden_.head_size > 0 ? golden_.head_size : 64);
    ASSERT_TRUE(shape.ok()) << shape.status().message();
    layout_ = std::make_unique<ParameterLayout>(*shape);
    values_.resize(static_cast<size_t>(layout_->total()));
    Initialise(*layout_, 5, values_);
  }

  /// Row (or, of a tall matrix, column) i · row j.
  static double Dot(std::span<const float> m, int64_t rows, int64_t columns, int64_t i, int64_t j) {
    const bool tall = rows > columns;
    const int64_t n = tall ? rows : columns, step = tall ? columns : 1, line = tall ? 1 : columns;
    double sum = 0;
    for (int64_t k = 0; k < n; ++k) {
      sum +=
          double{m[static_cast<size_t>(i * line + k * step)]} * m[static_cast<size_t>(j * line + k * step)];
    }
    return sum;
  }

  testing::GoldenInitial golden_;
  std::unique_ptr<ParameterLayout> layout_;
  std::vector<float> values_;
};

TEST_P(GoldenInitialValues, KnowTheStartOfEveryParameter) {
  EXPECT_EQ(golden_.values.size() + golden_.singular_values.size() + golden_.uniform.size(),
            layout_->parameters().size());
}

TEST_P(GoldenInitialValues, VectorsAreTheReferences) {
  for (const auto& [name, expected] : golden_.values) {
    const Parameter* p = layout_->Find(name);
    ASSERT_NE(p, nullptr) << name;
    const std::span<const float> actual = Part(values_, *p);
    ASSERT_EQ(actual.size(), expected.size()) << name;
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], kTolerance) << name << " element " << i;
    }
  }
}

TEST_P(GoldenInitialValues, MatricesAreOrthogonalWithTheReferencesGain) {
  for (const auto& [name, gain] : golden_.singular_values) {
    const Parameter* p = layout_->Find(name);
    ASSERT_NE(p, nullptr) << name;
    const std::span<const float> m = Part(values_, *p);
    const auto rows = static_cast<int64_t>(p->shape[0]), columns = static_cast<int64_t>(p->shape[1]);
    const int64_t lines = std::min(rows, columns);
    for (int64_t i = 0; i < lines; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        // Gains in the file have six digits.
        ASSERT_NEAR(Dot(m, rows, columns, i, j), i == j ? gain * gain : 0, 1e-5 * gain * gain)
            << name << " " << i << ", " << j;
      }
    }
  }
}

TEST_P(GoldenInitialValues, EmbeddingIsUniformWithinTheReferencesRange) {
  for (const auto& [name, range] : golden_.uniform) {
    const std::span<const float> m = Part(values_, layout_->Get(name));
    double largest = 0, squares = 0;
    for (const float x : m) {
      largest = std::max(largest, std::abs(double{x}));
      squares += double{x} * x;
    }
    // At least 2560 values: the variance's own standard deviation is 1.8 % of it, and the largest lies within
    // 1 % of the range but in one case in 10^11.
    EXPECT_LE(largest, range * (1 + 1e-6)) << name;
    EXPECT_GT(largest, 0.99 * range) << name;
    EXPECT_NEAR(squares / static_cast<double>(m.size()), range * range / 3, 0.09 * range * range / 3) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, GoldenInitialValues,
                         ::testing::Values("init-rwkv4.json", "init-rwkv7.json"),
                         [](const auto& test) { return std::string(test.param).substr(5, 5); });

}  // namespace
}  // namespace tern::train
