// What needs VNNI besides the AVX-512 level's instruction sets: products of packed weights. The rules of avx512.cc hold.
#include "kernels/packing.h"
#include "kernels/tables.h"
#include "kernels/x86/vec_avx512.h"
// clang-format off
#include "kernels/x86/loops.h"
#include "kernels/x86/quads_avx512.h"
#include "kernels/x86/packed.h"
#include "kernels/x86/columns.h"
// clang-format on

namespace tern::kernels {

void VnniPackedMatMul(const PackedTile& tile, int64_t group0, int64_t group1) { PackedMatMul(tile, group0, group1); }
void VnniColumnMatMul(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1) {
  ColumnMatMul(tiles, count, strip0, strip1);
}
void VnniColumnSegment(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums) {
  ColumnSegment(tile, segment, strip0, strip1, sums);
}
void VnniAddSegments(const PackedTile& tile, const float* sums) { AddSegments(tile, sums); }
void VnniQuantiseToken(const float* x, int64_t n, std::byte* tile, int T, int t) { QuantiseToken(x, n, tile, T, t); }

}  // namespace tern::kernels
