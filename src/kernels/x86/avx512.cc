// The AVX-512 level: every kernel over 16-lane vectors. Only here are this instruction set's flags on, so
// everything included below lives in anonymous namespaces and no template of the standard library is used (no
// copy of a shared inline function may be compiled with these flags: the linker could choose it for the whole
// program).
#include "base/cpu.h"
#include "kernels/packing.h"
#include "kernels/tables.h"
#include "kernels/x86/vec_avx512.h"
#include "tensor/quant.h"
// After the vector and in this order: each is written in terms of those before.
// clang-format off
#include "kernels/x86/vec_math.h"
#include "kernels/x86/loops.h"
#include "kernels/x86/elementwise.h"
#include "kernels/x86/expand.h"
#include "kernels/x86/matmul.h"
#include "kernels/x86/wkv.h"
#include "kernels/x86/training.h"
#include "kernels/x86/training_loss.h"
#include "kernels/x86/training_wkv.h"
#include "kernels/x86/training_tables.h"
// clang-format on

namespace tern::kernels {

const KernelTable& Avx512Table() {
  static const KernelTable table = {
      .level = Level::kAvx512,
      .matmul = MatMulRows,
      // Without VNNI, 512-bit registers gain little here; the levels share layouts and bits.
      .packed_matmul = GetCpuFeatures().avx512_vnni ? VnniPackedMatMul : Avx2Table().packed_matmul,
      .column_matmul = GetCpuFeatures().avx512_vnni ? VnniColumnMatMul : Avx2Table().column_matmul,
      .column_segment = GetCpuFeatures().avx512_vnni ? VnniColumnSegment : Avx2Table().column_segment,
      .add_segments = GetCpuFeatures().avx512_vnni ? VnniAddSegments : Avx2Table().add_segments,
      .bf16 = GetCpuFeatures().avx512_bf16 ? &Avx512Bf16() : nullptr,
      .quantise_token = GetCpuFeatures().avx512_vnni ? VnniQuantiseToken : Avx2Table().quantise_token,
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

const TrainingTable<float>& Avx512Training() { return kTrainingTable; }
const OptimizerTable& Avx512Optimizer() { return kOptimizerTable; }

}  // namespace tern::kernels
