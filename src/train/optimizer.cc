#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/training.h"
#include "train/recipe.h"

namespace tern::train {
namespace {

/// Elements that one thread takes at a time: half a megabyte of parameters and moments.
constexpr int64_t kChunk = 1 << 15;

}  // namespace

ParameterGroup GroupOf(const ModelShape& shape, const Parameter& parameter) {
  ParameterGroup group;
  const auto is = [&](std::string_view name) { return parameter.name.ends_with(name); };
  if (shape.generation == Generation::kRwkv4) {
    if (is(".att.time_decay")) group.rate_factor = 2;
    if (is(".att.time_first")) group.rate_factor = 3;
  } else if (is(".att.w0")) {
    group.rate_factor = 2;
  }
  group.decays =
      parameter.role == Role::kEmbedding || parameter.role == Role::kHead || parameter.role == Role::kMatrix;
  return group;
}

AdamOptions DefaultAdam(Generation generation) {
  AdamOptions options;
  options.eps = generation == Generation::kRwkv4 ? 1e-8 : 1e-18;
  return options;
}

AdamOptimizer::AdamOptimizer(const ParameterLayout& layout, const AdamOptions& options, int64_t begin,
                             int64_t end)
    : options_(options),
      begin_(begin),
      m_(static_cast<size_t>(end - begin)),
      v_(static_cast<size_t>(end - begin)) {
  for (const Parameter& parameter : layout.parameters()) {
    const ParameterGroup group = GroupOf(layout.shape(), parameter);
    const int64_t last = std::min(end, parameter.offset + parameter.size);
    for (int64_t at = std::max(begin, parameter.offset); at < last; at += kChunk)
      pieces_.push_back({at, std::min(last, at + kChunk), group});
  }
}

void AdamOptimizer::Step(std::span<float> parameters, std::span<const float> gradients, double learning_rate,
                         double gradient_scale) {
  ++steps_;
  const auto t = static_cast<double>(steps_);
  kernels::AdamArgs common{};
  common.gradient_scale = static_cast<float>(gradient_scale);
  common.beta1 = static_cast<float>(options_.beta1);
  common.beta2 = static_cast<float>(options_.beta2);
  common.eps = static_cast<float>(options_.eps);
  common.correction1 = static_cast<float>(1 / (1 - std::pow(options_.beta1, t)));
  common.correction2 = static_cast<float>(1 / (1 - std::pow(options_.beta2, t)));
  const kernels::AdamStep adam = kernels::Optimizer().adam;
  ParallelFor(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Piece& piece = pieces_[static_cast<size_t>(i)];
      kernels::AdamArgs args = common;
      args.n = piece.end - piece.begin;
      args.parameters = parameters.data() + piece.begin;
      args.gradients = gradients.data() + piece.begin;
      args.m = m_.data() + (piece.begin - begin_);
      args.v = v_.data() + (piece.begin - begin_);
      args.learning_rate = static_cast<float>(learning_rate * piece.group.rate_factor);
      args.decay = piece.group.decays ? static_cast<float>(options_.weight_decay) : 0.0f;
      adam(args);
    }
  });
}

double SquaredNorm(std::span<const float> values) {
  const auto n = static_cast<int64_t>(values.size());
  std::vector<double> sums(static_cast<size_t>((n + kChunk - 1) / kChunk));
  ParallelFor(n, kChunk, [&](int64_t begin, int64_t end) {
    sums[static_cast<size_t>(begin / kChunk)] =
        kernels::Optimizer().sum_squares(values.data() + begin, end - begin);
  });
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

const Parameter* FindNonFinite(const ParameterLayout& layout, std::span<const float> values) {
  for (const Parameter& parameter : layout.parameters()) {
    // Squares of floats are far from overflowing a double: their sum is finite exactly when all of them are.
    const auto part =
        values.subspan(static_cast<size_t>(parameter.offset), static_cast<size_t>(parameter.size));
    if (!std::isfinite(SquaredNorm(part))) return &parameter;
  }
  return nullptr;
}

}  // namespace tern::train
