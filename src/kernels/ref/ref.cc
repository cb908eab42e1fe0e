// The reference table: plain scalar code, the oracle of every other level.
#include <vector>

#include "kernels/ref/columns.h"
#include "kernels/ref/elementwise.h"
#include "kernels/ref/packed.h"
#include "kernels/ref/wkv.h"
#include "kernels/tables.h"
#include "tensor/quant.h"

namespace tern::kernels {
namespace {

/// Sums in double: a product of two floats is exact there, so the result is the true sum rounded once, or
/// nearly so.
void MatMulRows(const MatMulJob& job, int64_t row0, int64_t row1) {
  const int64_t cols = job.w.cols;
  const auto row_bytes = static_cast<int64_t>(RowBytes(job.w.dtype, static_cast<uint64_t>(cols)).value_or(0));
  std::vector<float> w(static_cast<size_t>(cols));
  for (int64_t o = row0; o < row1; ++o) {
    DequantizeRow(job.w.dtype, job.w.data + o * row_bytes, w.data(), cols);
    for (int64_t t = 0; t < job.T; ++t) {
      const float* x = job.x + t * job.x_stride;
      double sum = 0;
      for (int64_t i = 0; i < cols; ++i)
        sum += static_cast<double>(w[static_cast<size_t>(i)]) * static_cast<double>(x[i]);
      job.y[t * job.y_stride + o] = job.scale * static_cast<float>(sum);
    }
  }
}

}  // namespace

const KernelTable& RefTable() {
  static constexpr KernelTable table = {
      .level = Level::kRef,
      .matmul = MatMulRows,
      .packed_matmul = ref::PackedMatMul,
      .column_matmul = ref::ColumnMatMul,
      .column_segment = ref::ColumnSegment,
      .add_segments = ref::AddSegments,
      .bf16 = nullptr,
      .quantise_token = ref::QuantiseToken,
      .layer_norm = ref::LayerNorm<float>,
      .group_norm = ref::GroupNorm<float>,
      .shift_mix = ref::ShiftMix<float>,
      .shift_mix_dynamic = ref::ShiftMixDynamic<float>,
      .sigmoid = ref::Map<float, ref::Sigmoid<float>>,
      .tanh = ref::Map<float, ref::Tanh<float>>,
      .silu = ref::Map<float, ref::Silu<float>>,
      .relu_squared = ref::Map<float, ref::ReluSquared<float>>,
      .exp_neg_exp = ref::Map<float, ref::ExpNegExp<float>>,
      .decay7 = ref::Map<float, ref::Decay7<float>>,
      .add = ref::Add<float>,
      .mul = ref::Mul<float>,
      .wkv4 = ref::Wkv4<Wkv4Args>,
      .wkv6 = ref::Wkv6<Wkv6Args>,
      .wkv7 = ref::Wkv7<Wkv7Args>,
  };
  return table;
}

}  // namespace tern::kernels
