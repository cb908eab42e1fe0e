// The AVX2 level: every kernel over 8-lane vectors. Only here are this instruction set's flags on, so
// everything included below lives in anonymous namespaces and no template of the standard library is used (no
// copy of a shared inline function may be compiled with these flags: the linker could choose it for the whole
// program).
#include "kernels/packing.h"
#include "kernels/tables.h"
#include "kernels/x86/vec_avx2.h"
#include "tensor/quant.h"
// After the vector and in this order: each is written in terms of those before.
// clang-format off
#include "kernels/x86/vec_math.h"
#include "kernels/x86/loops.h"
#include "kernels/x86/elementwise.h"
#include "kernels/x86/expand.h"
#include "kernels/x86/matmul.h"
#include "kernels/x86/quads_avx2.h"
#include "kernels/x86/packed.h"
#include "kernels/x86/columns.h"
#include "kernels/x86/wkv.h"
#include "kernels/x86/training.h"
#include "kernels/x86/training_loss.h"
#include "kernels/x86/training_wkv.h"
#include "kernels/x86/training_tables.h"
// clang-format on

namespace tern::kernels {

const KernelTable& Avx2Table() {
  static constexpr KernelTable table = {
      .level = Level::kAvx2,
      .matmul = MatMulRows,
      .packed_matmul = PackedMatMul,
      .column_matmul = ColumnMatMul,
      .column_segment = ColumnSegment,
      .add_segments = AddSegments,
      .bf16 = nullptr,
      .quantise_token = QuantiseToken,
      .layer_norm = LayerNorm,
      .group_norm = GroupNorm,
      .shift_mix = ShiftMix,
      .shift_mix_dynamic = ShiftMixDynamic,
      .sigmoid = Map<Sigmoid>,
      .tanh = Map<Tanh>,
      .silu = Map<Silu>,
      .relu_squared = Map<ReluSquared>,
      .exp_neg_exp = Map<ExpNegExp>,
      .decay7 = Map<Decay7>,
      .add = Add,
      .mul = Mul,
      .wkv4 = Wkv4,
      .wkv6 = Wkv6,
      .wkv7 = Wkv7,
  };
  return table;
}

const TrainingTable<float>& Avx2Training() { return kTrainingTable; }
const OptimizerTable& Avx2Optimizer() { return kOptimizerTable; }

}  // namespace tern::kernels
