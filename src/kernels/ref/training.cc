// The reference tables of training, and the optimizer's reference.
#include "kernels/ref/training.h"

#include "kernels/ref/training_wkv.h"
#include "kernels/tables.h"
#include "kernels/training.h"
#include "tensor/dtype.h"

namespace tern::kernels {
namespace {

template <typename T>
constexpr TrainingTable<T> MakeTable() {
  return {
      .layer_norm = ref::TrainLayerNorm<T>,
      .layer_norm_backward = ref::NormBackward<T, true>,
      .group_norm = ref::TrainGroupNorm<T>,
      .group_norm_backward = ref::GroupNormBackward<T>,
      .shift_mix = ref::ShiftMix<T>,
      .shift_mix_backward = ref::ShiftMixBackward<T>,
      .sigmoid = ref::BiasedSigmoid<T>,
      .sigmoid_backward = ref::SigmoidBackward<T>,
      .tanh = ref::Map<T, ref::Tanh<T>>,
      .tanh_backward = ref::TanhBackward<T>,
      .relu_squared = ref::Map<T, ref::ReluSquared<T>>,
      .relu_squared_backward = ref::ReluSquaredBackward<T>,
      .decay7 = ref::DecayOfGate<T>,
      .decay7_backward = ref::DecayOfGateBackward<T>,
      .mul = ref::Product<T>,
      .mul_backward = ref::ProductBackward<T>,
      .lerp = ref::Lerp<T>,
      .lerp_backward = ref::LerpBackward<T>,
      .add = ref::Add<T>,
      .removal_key = ref::RemovalKey<T>,
      .removal_key_backward = ref::RemovalKeyBackward<T>,
      .replacement_key = ref::ReplacementKey<T>,
      .replacement_key_backward = ref::ReplacementKeyBackward<T>,
      .bonus = ref::Bonus<T>,
      .bonus_backward = ref::BonusBackward<T>,
      .cross_entropy = ref::CrossEntropy<T>,
      .wkv4 = ref::TrainWkv4<T>,
      .wkv4_backward = ref::Wkv4Backward<T>,
      .wkv7 = ref::TrainWkv7<T>,
      .wkv7_backward = ref::Wkv7Backward<T>,
  };
}

void Adam(const AdamArgs& args) {
  const float keep = 1.0f - args.learning_rate * args.decay;
  for (int64_t i = 0; i < args.n; ++i) {
    const float g = args.gradients[i] * args.gradient_scale;
    const float m = args.beta1 * args.m[i] + (1.0f - args.beta1) * g;
    const float v = args.beta2 * args.v[i] + (1.0f - args.beta2) * g * g;
    args.m[i] = m;
    args.v[i] = v;
    args.parameters[i] = args.parameters[i] * keep - args.learning_rate * (m * args.correction1) /
                                                         (std::sqrt(v * args.correction2) + args.eps);
  }
}

double SumSquares(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

void ToBf16(uint16_t* y, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = FloatToBf16(x[i]);
}

void FromBf16(float* y, const uint16_t* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = Bf16ToFloat(x[i]);
}

}  // namespace

const TrainingTable<float>& RefTraining() {
  static constexpr TrainingTable<float> table = MakeTable<float>();
  return table;
}

const OptimizerTable& RefOptimizer() {
  static constexpr OptimizerTable table = {
      .adam = Adam, .sum_squares = SumSquares, .to_bf16 = ToBf16, .from_bf16 = FromBf16};
  return table;
}

template <>
const TrainingTable<double>& Training<double>() {
  static constexpr TrainingTable<double> table = MakeTable<double>();
  return table;
}

template <>
const TrainingTable<std::complex<double>>& Training<std::complex<double>>() {
  static constexpr TrainingTable<std::complex<double>> table = MakeTable<std::complex<double>>();
  return table;
}

}  // namespace tern::kernels
