// Internal: the tables that the levels' files define.
#pragma once

#include "kernels/ops.h"
#include "kernels/training.h"

namespace tern::kernels {

const KernelTable& RefTable();
const KernelTable& Avx2Table();
const KernelTable& Avx512Table();
/// The parts of the AVX-512 level that need VNNI besides.
void VnniPackedMatMul(const PackedTile& tile, int64_t group0, int64_t group1);
void VnniColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1);
void VnniQuantiseToken(const float* x, int64_t n, std::byte* tile, int T, int t);
/// And BF16.
void Bf16MatMul(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1);
void Bf16Tile(const float* x, int64_t x_stride, int64_t n, int tokens, std::byte* tile);

const TrainingTable<float>& RefTraining();
const TrainingTable<float>& Avx2Training();
const TrainingTable<float>& Avx512Training();
const OptimizerTable& RefOptimizer();
const OptimizerTable& Avx2Optimizer();
const OptimizerTable& Avx512Optimizer();

}  // namespace tern::kernels
