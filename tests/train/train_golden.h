// Golden models of tests/golden as the training room's own types.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/testing/golden.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_data.h"
#include "train/batch.h"
#include "train/shape.h"

namespace tern::train {

inline ModelShape ShapeOf(const testing::RandomModel& model) {
  ModelShape shape;
  shape.generation = model.generation;
  shape.vocab = model.vocab;
  shape.layers = model.layers;
  shape.width = shape.att_width = model.width;
  shape.ffn_width = model.ffn;
  shape.head_size = model.head_size;
  shape.heads = model.head_size > 0 ? model.width / model.head_size : 0;
  shape.rank_w = model.decay_rank;
  shape.rank_a = model.iclr_rank;
  shape.rank_v = model.value_rank;
  shape.rank_g = model.gate_rank;
  return shape;
}

/// All parameters, as the flat array that the layout says.
template <typename T>
std::vector<T> ParametersOf(const testing::RandomModel& model, const ParameterLayout& layout) {
  std::vector<T> flat(static_cast<size_t>(layout.total()));
  for (const Parameter& p : layout.parameters()) {
    const std::vector<float> values = testing::RandomValues(model, p.name, p.shape);
    std::copy(values.begin(), values.end(), flat.begin() + p.offset);
  }
  return flat;
}

/// Every row a text of its own; its last token is a target only.
inline TrainBatch BatchOf(std::span<const std::vector<int32_t>> rows) {
  TrainBatch batch;
  for (const std::vector<int32_t>& row : rows) {
    const int64_t begin = batch.tokens();
    batch.inputs.insert(batch.inputs.end(), row.begin(), row.end() - 1);
    batch.targets.insert(batch.targets.end(), row.begin() + 1, row.end());
    batch.segments.push_back({.begin = begin,
                              .end = batch.tokens(),
                              .stream = static_cast<int64_t>(batch.segments.size()),
                              .reset = true});
  }
  return batch;
}

/// The values of one parameter within a flat array.
template <typename T>
std::span<const T> Part(const std::vector<T>& flat, const Parameter& p) {
  return std::span(flat).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size));
}

inline int64_t CountTargets(const std::vector<std::vector<int32_t>>& rows) {
  int64_t count = 0;
  for (const auto& row : rows) count += static_cast<int64_t>(row.size()) - 1;
  return count;
}

/// A test for each of the golden trainings, by the file's name.
class TrainingGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto golden = testing::LoadGoldenTraining(testing::SourceDir() + "/tests/golden/" + GetParam());
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    golden_ = *golden;
    shape_ = ShapeOf(golden_.model);
  }

  testing::GoldenTraining golden_;
  ModelShape shape_;
};

}  // namespace tern::train
