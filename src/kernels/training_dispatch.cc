// The tables of training follow the level that Kernels() has chosen.
#include "kernels/tables.h"
#include "kernels/training.h"

namespace tern::kernels {

const TrainingTable<float>* TrainingOf(Level level) {
  if (KernelsOf(level) == nullptr) return nullptr;  // asks the processor
  switch (level) {
    case Level::kRef:
      return &RefTraining();
#if defined(TERN_X86)
    case Level::kAvx2:
      return &Avx2Training();
    case Level::kAvx512:
    case Level::kAmx:  // has no training kernels of its own
      return &Avx512Training();
#endif
    default:
      return nullptr;
  }
}

const OptimizerTable* OptimizerOf(Level level) {
  if (KernelsOf(level) == nullptr) return nullptr;
  switch (level) {
    case Level::kRef:
      return &RefOptimizer();
#if defined(TERN_X86)
    case Level::kAvx2:
      return &Avx2Optimizer();
    case Level::kAvx512:
    case Level::kAmx:
      return &Avx512Optimizer();
#endif
    default:
      return nullptr;
  }
}

template <>
const TrainingTable<float>& Training<float>() {
  const TrainingTable<float>* table = TrainingOf(Kernels().level);
  return table != nullptr ? *table : RefTraining();
}

const OptimizerTable& Optimizer() {
  const OptimizerTable* table = OptimizerOf(Kernels().level);
  return table != nullptr ? *table : RefOptimizer();
}

}  // namespace tern::kernels
