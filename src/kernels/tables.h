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
void VnniColumnSegment(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums);
void VnniAddSegments(const PackedTile& tile, const float* sums);
void VnniQuantiseToken(const float* x, int64_t n, std::byte* tile, int T, int t);
/// And BF16.
const Bf16Products& Avx512Bf16();
/// Avx512Table with products in AMX's tiles, which take VNNI and BF16 for granted.
const KernelTable& AmxTable();

/// Makes a table the one in use, whether or not this processor has its instructions: for tests that carry these out
/// themselves. Not to be called while kernels run.
void UseTable(const KernelTable& table);

const TrainingTable<float>& RefTraining();
const TrainingTable<float>& Avx2Training();
const TrainingTable<float>& Avx512Training();
const OptimizerTable& RefOptimizer();
const OptimizerTable& Avx2Optimizer();
const OptimizerTable& Avx512Optimizer();

}  // namespace tern::kernels
