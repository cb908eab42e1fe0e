// The tables of training, of whichever Vec was included before.
#pragma once

namespace tern::kernels {
namespace {

constexpr TrainingTable<float> kTrainingTable = {
    .layer_norm = TrainLayerNorm,
    .layer_norm_backward = NormBackward<true>,
    .group_norm = TrainGroupNorm,
    .group_norm_backward = GroupNormBackward,
    .shift_mix = ShiftMix,
    .shift_mix_backward = ShiftMixBackward,
    .sigmoid = BiasedSigmoid,
    .sigmoid_backward = SigmoidBackward,
    .tanh = Map<Tanh>,
    .tanh_backward = TanhBackward,
    .relu_squared = Map<ReluSquared>,
    .relu_squared_backward = ReluSquaredBackward,
    .decay7 = Map<DecayOfGate>,
    .decay7_backward = DecayOfGateBackward,
    .mul = Product,
    .mul_backward = ProductBackward,
    .lerp = ShiftMix,  // the same function
    .lerp_backward = LerpBackward,
    .add = Add,
    .removal_key = RemovalKey,
    .removal_key_backward = RemovalKeyBackward,
    .replacement_key = ReplacementKey,
    .replacement_key_backward = ReplacementKeyBackward,
    .bonus = Bonus,
    .bonus_backward = BonusBackward,
    .cross_entropy = CrossEntropy,
    .wkv4 = TrainWkv4,
    .wkv4_backward = Wkv4Backward,
    .wkv7 = TrainWkv7,
    .wkv7_backward = Wkv7Backward,
};

constexpr OptimizerTable kOptimizerTable = {
    .adam = Adam, .sum_squares = SumSquares, .to_bf16 = ToBf16, .from_bf16 = FromBf16};

}  // namespace
}  // namespace tern::kernels
