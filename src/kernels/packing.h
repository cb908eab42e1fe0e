// Quantised weights in the order that the integer kernels read them, and the activations that they meet there.
//
// Packed weights. Sixteen rows (outputs) stand together as a group; rows past the last are zero. In a group, blocks of
// 32 columns follow one another, so that a product reads memory from one end to the other. A block's weights are small
// unsigned integers q in eight *quads*: quad i holds columns 4i … 4i+3 of all sixteen rows, byte 4·row + (column mod 4),
// 64 bytes in all: what one VNNI instruction (or AMX's tile row) multiplies with four activations. In memory:
//
//   8 bits (Q8_0: q = stored value + 128)     512 bytes: quad 0 … quad 7
//   4 bits                                    256 bytes: byte b of vector v has quad v in its low nibble, quad v+4 in the high
//   5 bits                                    64 bytes before these: bit i of byte b is bit 4 of byte b of quad i
//   6 bits                                    128 bytes before these: vector p, bits 2k and 2k+1 of byte b: bits 4 and 5 of
//                                             byte b of quad 4p + k
//
//   Q8_0, Q4_0, Q5_0     | d: 16 fp16 | q |                       weight = d·(q − z),  z = 128, 8, 16
//   Q4_1, Q5_1           | d: 16 fp16 | m: 16 fp16 | q |          weight = d·q + m
//   Q4_K, Q5_K           | d: 16 fp16 | dmin: 16 fp16 | and 8 times:  | s: 16 u8 | m: 16 u8 | q | |
//                                                                 weight = d·s·q − dmin·m
//   Q6_K                 | d: 16 fp16 | and 8 times:  | s: 16 int8 for columns 0 … 15, 16 for 16 … 31 | q | |
//                                                                 weight = d·s·(q − 32)
//
// Activations. x is cut into blocks of 32 as well; each becomes integers in [−127, 127] and a scale d = max|x| / 127. The
// integer sums of a block are exact, so only the order of the blocks decides a result's bits, and that order is the
// same for one token and for many: a token's result does not depend on its batch, and every level gives the same bits.
//
// Columns (layout kColumns), for matrices whose input is mostly zero: a column that meets a zero is never read. All rows,
// filled up with zeros to n, a whole number of strips of 128, stand together: a column is one long run of memory, since
// many short ones read at half the speed. The matrix is laid out as above with n in place of 16, but a block's integers are
// column after column:
//
//   8 bits       n bytes for each column; 64 rows in 64 bytes, row r in byte ColumnByte(r)
//   4 bits       n/2 bytes: a strip in 64 bytes, rows 0 … 63 in the low nibbles, 64 … 127 in the high, ordered likewise
//   5 bits       n/8 bytes after these, 16 for each strip: bit v of byte i is bit 4 of row 16v + i
//   6 bits       n/4 bytes after these, 32 for each strip: bits 2k and 2k+1 of byte 16u + i: bits 4 and 5 of row 16(4u+k) + i
//
// Bytes of four columns, interleaved (two rounds of unpack instructions), give quads of sixteen rows each; ColumnByte is
// the order that makes these rows come out in sequence. Float types have no blocks: n elements for each column, one
// column after the other.
//
// A zero activation adds nothing to a block's integer sum, and a block of zeros nothing to the result (as long as the
// weights are finite), so leaving them out changes no bit. Float columns are added one by one, in order, a fused
// multiply-add each. Both start anew in each segment of columns (SegmentBegin).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace tern::kernels {

inline constexpr int64_t kGroupRows = 16;  ///< rows of a packed group
inline constexpr int64_t kPackedBlock = 32;  ///< columns of a block

/// Whether the type can be packed at all (Q2_K and Q3_K, rarely used, cannot: they are expanded to fp32 instead).
bool Packable(DType type);
/// Bytes of a packed matrix. `cols` must be a multiple of the type's block.
int64_t PackedBytes(DType type, int64_t rows, int64_t cols);
/// Packs the rows of groups [group0, group1) of a row-major matrix to where they belong in `to` (PackedBytes in all).
/// Thread-safe for distinct groups.
void Pack(const MatrixView& from, int64_t group0, int64_t group1, std::byte* to);

inline constexpr int64_t kStripRows = 128;     ///< what a product with layout kColumns is cut into
inline constexpr int64_t kMostStrips = 16;     ///< that one token goes through together
/// How many strips several tokens go through together: long runs of memory for few tokens, whose arithmetic is done before
/// the next weights are there; for many, sums (128 fp32 for each token and strip) that stay near.
constexpr int64_t StripsTogether(int64_t tokens) { return tokens <= 8 ? 8 : tokens <= 16 ? 4 : tokens <= 32 ? 2 : 1; }

/// Such a product adds up some segments of its columns apart, and then their sums in order (empty ones left out). So threads
/// can share one token's product by its columns, whose long runs of memory are best read by one of them.
inline constexpr int kColumnSegments = 4;
inline constexpr int64_t kSegmentUnit = 256;   ///< columns
/// Where segment s begins; segment kColumnSegments is the end.
constexpr int64_t SegmentBegin(int64_t cols, int s) {
  const int64_t units = (cols + kSegmentUnit - 1) / kSegmentUnit;
  const int64_t begin = (units * s + kColumnSegments - 1) / kColumnSegments * kSegmentUnit;
  return begin < cols ? begin : cols;
}

/// Where row r of 64 stands in its 64 bytes: the two-bit fields r/4 and r/16 change places.
constexpr int64_t ColumnByte(int64_t r) { return r % 4 + r / 16 * 4 + r / 4 % 4 * 16; }
/// Whether there is a layout kColumns for the type: all but Q2_K and Q3_K.
bool HasColumns(DType type);
/// Rows of a matrix in layout kColumns: filled up to whole strips.
int64_t ColumnRows(int64_t rows);
/// Bytes of a matrix in layout kColumns.
int64_t ColumnBytes(DType type, int64_t rows, int64_t cols);
/// Like Pack, for the rows of strips [strip0, strip1).
void PackColumns(const MatrixView& from, int64_t strip0, int64_t strip1, std::byte* to);

/// Tokens of one tile of quantised activations. A tile holds, for every block of 32 columns:
///   int8 q[T][32];  float d[T];  float d_sum[T] (d·Σq);
///   int32 start[T][2]: −128·Σq over the whole block, and over its first half
/// start, over 128 / z, is what a sum of products begins with so that it ends as Σ (q_w − z)·q.
/// so that a kernel that is compiled for T reads one stream at fixed distances.
inline constexpr int kMostTileTokens = 16;
inline constexpr int64_t kTokenBlockBytes = kPackedBlock + 2 * sizeof(float) + 2 * sizeof(int32_t);

/// The sizes of tile that kernels are compiled for. Others are filled up with rows of zeros.
constexpr int TileTokens(int tokens) { return tokens <= 8 ? tokens : (tokens + 1) / 2 * 2; }

/// Float types in layout kColumns take tiles of floats instead: x[cols][ColumnTileTokens(tokens)].
inline constexpr int kMostColumnTileTokens = 12;
constexpr int ColumnTileTokens(int tokens) { return tokens == 1 ? 1 : (tokens + 1) / 2 * 2; }

/// Products in bf16 take tiles in an order of their level's own (Bf16Products in ops.h).
inline constexpr int64_t kBf16Rows = 32;  ///< of weights that they take at once

/// y[t, o] = scale · Σ_i w[o, i] · x[t, i] for the tokens of one tile.
struct PackedTile {
  MatrixView w;                  ///< layout kPacked or kColumns; for bf16 any
  const std::byte* x = nullptr;  ///< a tile for TileTokens(tokens) or ColumnTileTokens(tokens), or of bf16
  int tokens = 0;                ///< 1 … kMostTileTokens
  float* y = nullptr;            ///< [tokens, rows], rows y_stride apart
  int64_t y_stride = 0;
  float scale = 1.0f;
  int64_t nonzeros = 0;          ///< in layout kColumns: activations of all tokens that are not zero
  bool bf16 = false;             ///< x holds bf16
  bool fetch = false;            ///< in layout kPacked: the first to meet its weights, which it asks for ahead
};

/// Whether each token is multiplied with its own non-zero columns, rather than all with every column. One token always
/// is; several are when they read no more than the whole matrix together.
bool TokenByToken(const PackedTile& tile);
/// The non-zero activations of a finished tile.
int64_t CountNonZeros(const PackedTile& tile);
/// Adds what a tile of one token reads of its matrix in layout kColumns.
void CountReads(const PackedTile& tile, SparseReads& reads);

}  // namespace tern::kernels
