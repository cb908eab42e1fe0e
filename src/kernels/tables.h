// Internal: the tables that the levels' files define.
#pragma once

#include "kernels/ops.h"
#include "kernels/training.h"

namespace tern::kernels {

const KernelTable& RefTable();
const KernelTable& Avx2Table();
const KernelTable& Avx512Table();

const TrainingTable<float>& RefTraining();
const TrainingTable<float>& Avx2Training();
const TrainingTable<float>& Avx512Training();
const OptimizerTable& RefOptimizer();
const OptimizerTable& Avx2Optimizer();
const OptimizerTable& Avx512Optimizer();

}  // namespace tern::kernels
