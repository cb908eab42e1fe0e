// Small runs for the tests of training.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/run_checkpoint.h"
#include "train/trainer.h"

namespace tern::testing {

/// Tokens with something to learn: each follows from the one before, with a little noise. Three documents.
class LearnableTokens final : public train::TokenData {
 public:
  explicit LearnableTokens(int64_t tokens, uint64_t noise = 1, int32_t vocab = 16) {
    uint64_t z = noise;
    int32_t token = 0;
    for (int64_t i = 0; i < tokens; ++i) {
      z = z * 6364136223846793005u + 1442695040888963407u;
      token = (z >> 33) % 8 == 0 ? static_cast<int32_t>((z >> 40) % static_cast<uint64_t>(vocab))
                                 : (token * 5 + 3) % vocab;
      tokens_.push_back(token);
    }
    documents_ = {0, tokens / 3, tokens / 2};
    largest_token_ = vocab - 1;
  }
  int64_t tokens() const override { return static_cast<int64_t>(tokens_.size()); }
  std::span<const int64_t> documents() const override { return documents_; }
  void Read(int64_t begin, std::span<int32_t> out) const override {
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }

 private:
  std::vector<int32_t> tokens_;
  std::vector<int64_t> documents_;
};

/// Everything that makes resuming hard: dropout, accumulation, carried streams.
inline train::TrainOptions SmallRun(int64_t generation) {
  train::TrainOptions options;
  options.generation = generation;
  options.layers = 2;
  options.width = 32;
  options.head_size = 16;
  options.vocab = 16;
  options.context = 12;
  options.batch = 5;
  options.micro_batch = 2;
  options.order = "streams";
  options.dropout = 0.1;
  options.steps = 10;
  options.warmup = 3;
  options.lr = 1e-2;
  return options;
}

inline train::ModelShape ShapeOf(const train::TrainOptions& o) {
  auto shape = train::MakeShape(o.generation == 4 ? Generation::kRwkv4 : Generation::kRwkv7, o.vocab,
                                o.layers, o.width, o.head_size);
  EXPECT_TRUE(shape.ok()) << shape.status().message();
  return *shape;
}

inline std::unique_ptr<train::Trainer> MakeTrainer(const train::TrainOptions& options,
                                                   std::shared_ptr<const train::TokenData> data) {
  static train::SingleProcess alone;
  auto trainer = train::Trainer::Create(options, ShapeOf(options), std::move(data), &alone);
  EXPECT_TRUE(trainer.ok()) << trainer.status().message();
  return std::move(*trainer);
}

inline std::vector<double> TakeSteps(train::Trainer& trainer, int64_t count) {
  std::vector<double> losses;
  for (int64_t i = 0; i < count; ++i) {
    const auto report = trainer.Step();
    EXPECT_TRUE(report.ok()) << report.status().message();
    if (report.ok()) losses.push_back(report->loss);
  }
  return losses;
}

inline train::RunRecord RecordOf(const train::Trainer& trainer, const train::TokenData& data) {
  train::RunRecord record;
  record.step = trainer.step();
  record.options = trainer.options();
  record.data = train::Identify(data);
  return record;
}

}  // namespace tern::testing
