// The kernels' only public header: what RWKV needs computed, as plain functions over fp32 rows and stored weights.
//
// There is one table of function pointers per level (scalar reference, AVX2, AVX-512, AMX), chosen once at the
// first call of Kernels(): the best that this processor has, or the one that the environment variable TERN_ISA names
// (ref, avx2, avx512, amx). Table entries are single-threaded and pure: same input, same bits. Functions that
// use several threads (MatMul and its like) stand below the table and cut their work by index only, so that no result
// depends on the number of threads; and each row of a product is summed in an order that does not depend on the other
// rows, so that no sequence's result depends on who shares its batch.
//
// Shapes: T rows (tokens), C channels, H heads of N channels. All activations are fp32, row-major.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tern::kernels {

enum class Level { kRef, kAvx2, kAvx512, kAmx };
std::string_view Name(Level level);

/// How a matrix's weights lie in memory.
enum class Layout : uint8_t {
  kRows,    ///< row-major and dense, as in a file
  kPacked,  ///< quantised, in groups of sixteen rows (kernels/packing.h)
  kColumns, ///< column by column, for inputs that are mostly zero: what meets a zero is not read (packing.h)
};

/// Weights as they stand in memory: `rows` outputs × `cols` inputs, any alignment.
struct MatrixView {
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  const std::byte* data = nullptr;
  Layout layout = Layout::kRows;
};

/// What products with one token of x read of matrices in layout kColumns.
struct SparseReads {
  uint64_t inputs = 0, zero_inputs = 0;       ///< elements of x, and those that are zero (once quantised)
  uint64_t dense_bytes = 0, read_bytes = 0;   ///< of weights: all of them, and those that were read
};

/// Rows [begin, end) of x.
struct RowRange {
  int64_t begin = 0, end = 0;
};

/// Tokens of one sequence in one call from which on they may be multiplied in bf16 (MatMulJob::many).
inline constexpr int64_t kManyTokens = 16;

/// y[t, o] = scale · Σ_i w[o, i] · x[t, i]   for t < T, o < w.rows. x and y do not overlap.
struct MatMulJob {
  MatrixView w;                  ///< [rows, cols]
  const float* x = nullptr;      ///< [T, cols], rows x_stride apart
  int64_t x_stride = 0;
  float* y = nullptr;            ///< [T, rows], rows y_stride apart
  int64_t y_stride = 0;
  int64_t T = 0;
  float scale = 1.0f;
  SparseReads* reads = nullptr;  ///< where a product with w in layout kColumns adds what it read, if T is 1
  /// Of each sequence that has kManyTokens or more in this call, its rows: in order, not overlapping. At levels with bf16
  /// products, these round x and F16 or BF16 weights to bf16; where the level has matrix units, longer ones quantised weights
  /// besides (Bf16Products). A row's result depends on its own sequence's range alone.
  std::span<const RowRange> many = {};
};

/// RWKV-4's recurrence (reference: the paper's appendix on numerical stability) over channels [c0, c1):
///   q = max(p, u+k_t);   y_t = (e^{p−q}·a + e^{u+k_t−q}·v_t) / (e^{p−q}·b + e^{u+k_t−q})
///   q' = max(p+w, k_t);  a ← e^{p+w−q'}·a + e^{k_t−q'}·v_t;  b ← e^{p+w−q'}·b + e^{k_t−q'};  p ← q'
/// with w = −exp(time_decay) ≤ 0, as it is stored here.
struct Wkv4Args {
  int64_t T, c0, c1;
  const float* w;                ///< [C]  −exp(time_decay)
  const float* u;                ///< [C]  time_first
  const float* k;                ///< [T, C], rows `stride` apart; v and y likewise
  const float* v;
  float* y;                      ///< may be k or v
  int64_t stride;
  float *a, *b, *p;              ///< [C] state, updated in place; p starts at −1e38
};

/// RWKV-5 and RWKV-6, one head:
///   y_t[j] = Σ_i r_t[i]·(S[i,j] + u[i]·k_t[i]·v_t[j]);   S[i,j] ← w_t[i]·S[i,j] + k_t[i]·v_t[j]
struct Wkv6Args {
  int64_t T, N;
  const float *r, *k, *v;        ///< [T, N], rows `stride` apart
  const float* w;                ///< [T, N] with rows w_stride apart (0: one decay for every token), values in (0, 1)
  int64_t stride, w_stride;
  const float* u;                ///< [N]
  float* y;                      ///< [T, N], rows `stride` apart; may be r, k or v
  float* S;                      ///< [N (key i), N (value j)] state, updated in place
};

/// RWKV-7, one head:
///   S ← S·diag(w_t) − (S·kk_t)(kk_t⊙a_t)ᵀ + v_t·k_tᵀ;   y_t = S·r_t
struct Wkv7Args {
  int64_t T, N;
  const float *r, *w, *k, *v;    ///< [T, N], rows `stride` apart; w is the decay itself, in (0.545, 1)
  const float *kk, *a;           ///< [T, N]: the normalised removal key, and the in-context learning rate
  int64_t stride;
  float* y;                      ///< [T, N], rows `stride` apart; may be r
  float* S;                      ///< [N (value i), N (key j)] state, updated in place
};

struct PackedTile;  // kernels/packing.h

/// Products in bf16 of the rows MatMulJob::many, as one level has them.
struct Bf16Products {
  /// Rows [row0, row1) (row0 a multiple of kBf16Rows; in layout kColumns of kStripRows) of a product of weights in any layout
  /// (kPacked: quantised, kRows: not) with each of `count` tiles of bf16 activations of the same matrix.
  void (*matmul)(const PackedTile* tiles, int64_t count, int64_t row0, int64_t row1);
  /// Writes x [tokens, n], rows x_stride apart, as a tile of bf16 activations, in an order of the level's own.
  void (*tile)(const float* x, int64_t x_stride, int64_t n, int tokens, std::byte* tile);
  /// Bytes of a tile.
  int64_t (*tile_bytes)(int64_t n, int tokens);
  int64_t most_tokens;      ///< of a tile: kMostTileTokens or less
  int64_t most_rows;        ///< that one call gains from, a multiple of kBf16Rows
  /// Tokens of one sequence from which on quantised weights that are packed (layouts kPacked and kColumns) are multiplied in
  /// bf16 too; 0: never.
  int64_t least_quantised;
  /// What a column of layout kColumns costs a single token, as a multiple of what it costs a tile in bf16.
  int64_t sparse_cost;
};

/// The single-threaded kernels of one level.
struct KernelTable {
  Level level;

  /// Rows [row0, row1) of a product, for every t; w in layout kRows.
  void (*matmul)(const MatMulJob& job, int64_t row0, int64_t row1);
  /// Groups [group0, group1) of sixteen rows of a product with packed weights. Every level gives the same bits.
  void (*packed_matmul)(const PackedTile& tile, int64_t group0, int64_t group1);
  /// Strips [strip0, strip1) of a product with weights in layout kColumns, for each of `count` tiles of the same matrix.
  /// Every level gives the same bits.
  void (*column_matmul)(const PackedTile* tiles, int64_t count, int64_t strip0, int64_t strip1);
  /// The same for a tile of one token and one segment of its columns alone (kernels/packing.h), kMostStrips strips at most:
  /// sums [rows of the strips], not scaled.
  void (*column_segment)(const PackedTile& tile, int segment, int64_t strip0, int64_t strip1, float* sums);
  /// y of a tile of one token from sums [segment][ColumnRows]: what column_matmul gives.
  void (*add_segments)(const PackedTile& tile, const float* sums);
  /// Null at levels that have no products in bf16.
  const Bf16Products* bf16;
  /// Writes x [n] (n a multiple of 32) as token t of a tile for T tokens. Every level gives the same bits.
  void (*quantise_token)(const float* x, int64_t n, std::byte* tile, int T, int t);

  /// y = (x − mean)/√(var + eps)·weight + bias over n channels (var is the biased variance). y may be x.
  void (*layer_norm)(float* y, const float* x, const float* weight, const float* bias, int64_t n, float eps);
  /// The same over each of `groups` equal parts of n channels.
  void (*group_norm)(float* y, const float* x, const float* weight, const float* bias, int64_t n, int64_t groups,
                     float eps);
  /// Token shift: y = x + (x_prev − x)⊙mu. y may be x or x_prev.
  void (*shift_mix)(float* y, const float* x, const float* x_prev, const float* mu, int64_t n);
  /// Token shift with a part that depends on the data (RWKV-6): y = x + (x_prev − x)⊙(mu + d). y may be d.
  void (*shift_mix_dynamic)(float* y, const float* x, const float* x_prev, const float* mu, const float* d, int64_t n);

  void (*sigmoid)(float* y, const float* x, int64_t n);        ///< y may be x, here and below
  void (*tanh)(float* y, const float* x, int64_t n);
  void (*silu)(float* y, const float* x, int64_t n);
  void (*relu_squared)(float* y, const float* x, int64_t n);   ///< max(x, 0)²
  void (*exp_neg_exp)(float* y, const float* x, int64_t n);    ///< exp(−exp(x)): RWKV-5's and RWKV-6's decay
  void (*decay7)(float* y, const float* x, int64_t n);         ///< exp(−e^{−1/2}·σ(x)): RWKV-7's decay
  void (*add)(float* y, const float* x, int64_t n);            ///< y += x
  void (*mul)(float* y, const float* x, int64_t n);            ///< y *= x

  void (*wkv4)(const Wkv4Args& args);
  void (*wkv6)(const Wkv6Args& args);
  void (*wkv7)(const Wkv7Args& args);
};

/// The table in use. Thread-safe.
const KernelTable& Kernels();
/// The table of one level, or nullptr when this build or processor has not got it (kRef is always there).
const KernelTable* KernelsOf(Level level);
/// Makes `level` the one in use (tests, benchmarks). Not to be called while kernels run.
Status UseLevel(Level level);

/// All jobs in one parallel region: products that do not depend on each other should be given together, since every
/// region costs a barrier.
void MatMul(std::span<const MatMulJob> jobs);

}  // namespace tern::kernels
