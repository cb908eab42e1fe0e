#include "kernels/packing.h"

#include <algorithm>
#include <cstring>

#include "tensor/quant_blocks.h"

namespace tern::kernels {
namespace {

constexpr int kRows = static_cast<int>(kGroupRows);
constexpr size_t kQuadBytes = 4 * kGroupRows;
constexpr int kQuads = 8;

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// Of an element of a float type that matrices are kept in; else 0.
int64_t FloatBytes(DType type) {
  switch (type) {
    case DType::kF32: return 4;
    case DType::kF16: case DType::kBF16: return 2;
    default: return 0;
  }
}

/// The integers of one row's block of 32 columns.
struct RowBlock {
  uint8_t q[kPackedBlock];
};

/// Where the rows that are packed together stand among those of a block: `rows` from `first` on, of `all`.
struct Part {
  int rows;
  int64_t first, all;
};

/// The order of layout kPacked: quads of sixteen rows.
struct Quads {
  static constexpr int kRowsAtOnce = kRows;

  static uint32_t QuadOf(const RowBlock& row, int quad) {
    uint32_t four;
    std::memcpy(&four, row.q + 4 * quad, sizeof four);
    return four;
  }
  static void PutQuad(std::byte* vector, int row, uint32_t four) {
    std::memcpy(vector + static_cast<size_t>(row) * sizeof four, &four, sizeof four);
  }
  static std::byte* PutFifthBits(const RowBlock* rows, std::byte* to);
  static std::byte* PutHighPairs(const RowBlock* rows, std::byte* to);
  /// The integers of sixteen rows, in `bits` each (8, 4, 5 or 6).
  static void Put(const RowBlock* rows, const Part&, int bits, std::byte* to);
};

std::byte* Quads::PutFifthBits(const RowBlock* rows, std::byte* to) {
  for (int row = 0; row < kRows; ++row) {
    uint32_t high = 0;
    for (int quad = 0; quad < kQuads; ++quad) high |= ((QuadOf(rows[row], quad) >> 4) & 0x01010101u) << quad;
    PutQuad(to, row, high);
  }
  return to + kQuadBytes;
}

std::byte* Quads::PutHighPairs(const RowBlock* rows, std::byte* to) {
  for (int plane = 0; plane < 2; ++plane, to += kQuadBytes) {
    for (int row = 0; row < kRows; ++row) {
      uint32_t high = 0;
      for (int k = 0; k < 4; ++k) high |= ((QuadOf(rows[row], 4 * plane + k) >> 4) & 0x03030303u) << (2 * k);
      PutQuad(to, row, high);
    }
  }
  return to;
}

void Quads::Put(const RowBlock* rows, const Part&, int bits, std::byte* to) {
  if (bits == 8) {
    for (int quad = 0; quad < kQuads; ++quad, to += kQuadBytes) {
      for (int row = 0; row < kRows; ++row) PutQuad(to, row, QuadOf(rows[row], quad));
    }
    return;
  }
  if (bits == 5) to = PutFifthBits(rows, to);
  if (bits == 6) to = PutHighPairs(rows, to);
  for (int quad = 0; quad < kQuads / 2; ++quad, to += kQuadBytes) {
    for (int row = 0; row < kRows; ++row) {
      const uint32_t low = QuadOf(rows[row], quad) & 0x0f0f0f0fu;
      PutQuad(to, row, low | (QuadOf(rows[row], quad + kQuads / 2) & 0x0f0f0f0fu) << 4);
    }
  }
}

/// Bits of a above `shift` that the mask selects in b change places with these.
void Exchange(uint64_t& a, uint64_t& b, int shift, uint64_t mask) {
  const uint64_t differing = ((a >> shift) ^ b) & mask;
  b ^= differing;
  a ^= differing << shift;
}

/// Eight rows become bytes 0 … 7 of each of 32 columns, `column_bytes` apart.
void TransposeRows(const RowBlock* const rows[8], std::byte* to, int64_t column_bytes) {
  for (int c = 0; c < kPackedBlock; c += 8) {
    uint64_t w[8];
    for (int i = 0; i < 8; ++i) std::memcpy(&w[i], rows[i]->q + c, 8);
    for (int i = 0; i < 4; ++i) Exchange(w[i], w[i + 4], 32, 0x00000000ffffffffu);
    for (int i = 0; i < 4; ++i) Exchange(w[i / 2 * 4 + i % 2], w[i / 2 * 4 + i % 2 + 2], 16, 0x0000ffff0000ffffu);
    for (int i = 0; i < 4; ++i) Exchange(w[2 * i], w[2 * i + 1], 8, 0x00ff00ff00ff00ffu);
    for (int i = 0; i < 8; ++i, to += column_bytes) std::memcpy(to, &w[i], 8);
  }
}

/// The order of layout kColumns.
struct Columns {
  static constexpr int kRowsAtOnce = static_cast<int>(kStripRows);

  /// 64 rows, in ColumnByte's order (which is its own inverse).
  static void PutRows(const RowBlock* rows, std::byte* to, int64_t column_bytes) {
    for (int64_t at = 0; at < 64; at += 8) {
      const RowBlock* eight[8];
      for (int i = 0; i < 8; ++i) eight[i] = rows + ColumnByte(at + i);
      TransposeRows(eight, to + at, column_bytes);
    }
  }
  static void PutNibbles(const RowBlock* rows, std::byte* to, int64_t column_bytes) {
    RowBlock both[64];
    for (int r = 0; r < 64; ++r) {
      for (int c = 0; c < kPackedBlock; ++c) {
        both[r].q[c] = static_cast<uint8_t>((rows[r].q[c] & 15) | (rows[64 + r].q[c] << 4));
      }
    }
    PutRows(both, to, column_bytes);
  }
  /// `width` bits of each integer from bit 4 on, of 128 / width rows: row 16k + i in bits width·k … of byte i.
  static void PutPlane(const RowBlock* rows, int width, std::byte* to, int64_t column_bytes) {
    RowBlock planes[16] = {};
    for (int r = 0; r < 128 / width; ++r) {
      uint8_t* plane = planes[r % 16].q;
      for (int c = 0; c < kPackedBlock; ++c) {
        plane[c] = static_cast<uint8_t>(plane[c] | (rows[r].q[c] >> 4) << (width * (r / 16)));
      }
    }
    for (int i = 0; i < 16; i += 8) {
      const RowBlock* eight[8];
      for (int k = 0; k < 8; ++k) eight[k] = planes + i + k;
      TransposeRows(eight, to + i, column_bytes);
    }
  }

  static void Put(const RowBlock* rows, const Part& part, int bits, std::byte* to) {
    const int64_t n = part.all, strip = part.first / kStripRows, column_bytes = n * bits / 8;
    if (bits == 8) {
      PutRows(rows, to + strip * kStripRows, column_bytes);
      PutRows(rows + 64, to + strip * kStripRows + 64, column_bytes);
      return;
    }
    PutNibbles(rows, to + strip * 64, column_bytes);
    std::byte* planes = to + n / 2 + strip * 16 * (bits - 4);
    if (bits == 5) PutPlane(rows, 1, planes, column_bytes);
    if (bits == 6) PutPlane(rows, 2, planes, column_bytes), PutPlane(rows + 64, 2, planes + 16, column_bytes);
  }
};

void PutHalf(std::byte* to, int64_t row, StoredFp16 value) { std::memcpy(to + 2 * row, &value, sizeof value); }

/// Weight j in the low nibble of byte j, weight j + 16 in the high one.
void Nibbles(const uint8_t* qs, RowBlock& row) {
  for (int j = 0; j < 16; ++j) {
    row.q[j] = qs[j] & 15;
    row.q[j + 16] = qs[j] >> 4;
  }
}

/// Bit j of qh is bit 4 of weight j.
void FifthBits(const uint8_t* qh, RowBlock& row) {
  for (int j = 0; j < 32; ++j) row.q[j] = static_cast<uint8_t>(row.q[j] | ((qh[j / 8] >> (j % 8)) & 1) << 4);
}

void Integers(const BlockQ8_0& b, RowBlock& row) {
  for (int j = 0; j < 32; ++j) row.q[j] = static_cast<uint8_t>(b.qs[j] ^ 0x80);
}
void Integers(const BlockQ4_0& b, RowBlock& row) { Nibbles(b.qs, row); }
void Integers(const BlockQ4_1& b, RowBlock& row) { Nibbles(b.qs, row); }
void Integers(const BlockQ5_0& b, RowBlock& row) {
  Nibbles(b.qs, row);
  FifthBits(b.qh, row);
}
void Integers(const BlockQ5_1& b, RowBlock& row) {
  Nibbles(b.qs, row);
  FifthBits(b.qh, row);
}

/// How a small type's block is packed. In each type, PackBlock takes one block each of a part's rows (null: a row of zeros),
/// and Order is Quads or Columns.
template <typename Block>
struct SmallType {
  static constexpr bool kHasMin = requires(Block b) { b.m; };
  static constexpr int kBits = sizeof(Block::qs) == 32 ? 8 : requires(Block b) { b.qh; } ? 5 : 4;
  static constexpr int64_t kColumns = 32;
  static constexpr int64_t kHead = kHasMin ? 4 : 2;
  static constexpr int64_t kRowBytes = kHead + 4 * kBits;  ///< of a block

  template <typename Order>
  static void PackBlock(const Block* const* rows, const Part& part, std::byte* to) {
    RowBlock integers[Order::kRowsAtOnce] = {};
    for (int row = 0; row < part.rows; ++row) {
      const Block* block = rows[row];
      PutHalf(to, part.first + row, block != nullptr ? block->d : StoredFp16{});
      if constexpr (kHasMin) PutHalf(to + 2 * part.all, part.first + row, block != nullptr ? block->m : StoredFp16{});
      if (block != nullptr) Integers(*block, integers[row]);
    }
    Order::Put(integers, part, kBits, to + part.all * kHead);
  }
};

void SubBlock(const BlockQ4_K& b, int sub, RowBlock& row) {
  const uint8_t* qs = b.qs + 32 * (sub / 2);
  for (int l = 0; l < 32; ++l) row.q[l] = sub % 2 == 0 ? qs[l] & 15 : qs[l] >> 4;
}
void SubBlock(const BlockQ5_K& b, int sub, RowBlock& row) {
  const uint8_t* qs = b.qs + 32 * (sub / 2);
  for (int l = 0; l < 32; ++l) {
    row.q[l] = static_cast<uint8_t>((sub % 2 == 0 ? qs[l] & 15 : qs[l] >> 4) | ((b.qh[l] >> sub) & 1) << 4);
  }
}

template <typename Block>
struct SuperType {
  static constexpr int kBits = requires(Block b) { b.qh; } ? 5 : 4;
  static constexpr int64_t kColumns = 256;
  static constexpr int64_t kHead = 4;
  static constexpr int64_t kRowBytes = kHead + 8 * (2 + 4 * kBits);

  template <typename Order>
  static void PackBlock(const Block* const* rows, const Part& part, std::byte* to) {
    SixBitPairs pairs[Order::kRowsAtOnce] = {};
    for (int row = 0; row < part.rows; ++row) {
      const Block* block = rows[row];
      PutHalf(to, part.first + row, block != nullptr ? block->d : StoredFp16{});
      PutHalf(to + 2 * part.all, part.first + row, block != nullptr ? block->dmin : StoredFp16{});
      if (block != nullptr) pairs[row] = UnpackSixBitPairs(block->scales);
    }
    to += 4 * part.all;
    for (int sub = 0; sub < 8; ++sub, to += part.all * (2 + 4 * kBits)) {
      RowBlock integers[Order::kRowsAtOnce] = {};
      for (int row = 0; row < part.rows; ++row) {
        to[part.first + row] = static_cast<std::byte>(pairs[row].scale[sub]);
        to[part.all + part.first + row] = static_cast<std::byte>(pairs[row].min[sub]);
        if (rows[row] != nullptr) SubBlock(*rows[row], sub, integers[row]);
      }
      Order::Put(integers, part, kBits, to + 2 * part.all);
    }
  }
};

struct Q6K {
  static constexpr int64_t kColumns = 256;
  static constexpr int kBits = 6;
  static constexpr int64_t kHead = 2;
  static constexpr int64_t kRowBytes = kHead + 8 * (2 + 4 * 6);

  static void SubBlock(const BlockQ6_K& b, int sub, RowBlock& row) {
    const int half = sub / 4, k = sub % 4;  // 128·half + 32·k + l
    for (int l = 0; l < 32; ++l) {
      const uint8_t low = b.ql[64 * half + 32 * (k % 2) + l];
      row.q[l] = static_cast<uint8_t>((k < 2 ? low & 15 : low >> 4) | ((b.qh[32 * half + l] >> (2 * k)) & 3) << 4);
    }
  }

  template <typename Order>
  static void PackBlock(const BlockQ6_K* const* rows, const Part& part, std::byte* to) {
    for (int row = 0; row < part.rows; ++row) {
      PutHalf(to, part.first + row, rows[row] != nullptr ? rows[row]->d : StoredFp16{});
    }
    to += 2 * part.all;
    for (int sub = 0; sub < 8; ++sub, to += part.all * (2 + 4 * 6)) {
      RowBlock integers[Order::kRowsAtOnce] = {};
      for (int row = 0; row < part.rows; ++row) {
        const BlockQ6_K* block = rows[row];
        std::byte* scale = to + part.first + row;
        scale[0] = block != nullptr ? static_cast<std::byte>(block->scales[2 * sub]) : std::byte{0};
        scale[part.all] = block != nullptr ? static_cast<std::byte>(block->scales[2 * sub + 1]) : std::byte{0};
        if (block != nullptr) SubBlock(*block, sub, integers[row]);
      }
      Order::Put(integers, part, 6, to + 2 * part.all);
    }
  }
};

/// Packs the rows of a part; row 0 of its blocks is row `row0` of the matrix.
template <typename Block, typename Type, typename Order>
void PackPart(const MatrixView& from, int64_t row0, const Part& part, std::byte* to) {
  const int64_t blocks = from.cols / Type::kColumns;
  for (int64_t block = 0; block < blocks; ++block, to += part.all * Type::kRowBytes) {
    const Block* rows[Order::kRowsAtOnce];
    for (int row = 0; row < part.rows; ++row) {
      const int64_t r = row0 + part.first + row;
      rows[row] = r < from.rows ? reinterpret_cast<const Block*>(from.data) + r * blocks + block : nullptr;
    }
    Type::template PackBlock<Order>(rows, part, to);
  }
}

/// What packing needs to know of a type.
struct Packing {
  int64_t columns;
  int64_t row_bytes;  ///< of so many columns
  int64_t head;       ///< of these, the scales that all of the columns share
  int bits;
  void (*pack)(const MatrixView& from, int64_t row0, const Part& part, std::byte* to);
  void (*pack_columns)(const MatrixView& from, int64_t row0, const Part& part, std::byte* to);
};

template <typename Block, typename Type = SmallType<Block>>
constexpr Packing kPacking = {Type::kColumns, Type::kRowBytes, Type::kHead, Type::kBits, PackPart<Block, Type, Quads>,
                              PackPart<Block, Type, Columns>};

const Packing* PackingOf(DType type) {
  switch (type) {
    case DType::kQ8_0: return &kPacking<BlockQ8_0>;
    case DType::kQ5_1: return &kPacking<BlockQ5_1>;
    case DType::kQ5_0: return &kPacking<BlockQ5_0>;
    case DType::kQ4_1: return &kPacking<BlockQ4_1>;
    case DType::kQ4_0: return &kPacking<BlockQ4_0>;
    case DType::kQ4_K: return &kPacking<BlockQ4_K, SuperType<BlockQ4_K>>;
    case DType::kQ5_K: return &kPacking<BlockQ5_K, SuperType<BlockQ5_K>>;
    case DType::kQ6_K: return &kPacking<BlockQ6_K, Q6K>;
    default: return nullptr;
  }
}

/// Rows [row0, row0 + kStripRows) of a float matrix to where they belong in its columns of `all` rows.
void PackFloatColumns(const MatrixView& from, int64_t row0, int64_t all, std::byte* to) {
  const auto transpose = [&]<typename Bits>(Bits) {
    constexpr int64_t kBlock = 32;  // columns of all rows that fit into the first-level cache
    constexpr auto kBytes = static_cast<int64_t>(sizeof(Bits));
    for (int64_t c0 = 0; c0 < from.cols; c0 += kBlock) {
      const int64_t c1 = std::min(from.cols, c0 + kBlock);
      for (int64_t r = row0; r < row0 + kStripRows; ++r) {
        const std::byte* row = from.data + r * from.cols * kBytes;
        for (int64_t c = c0; c < c1; ++c) {
          Bits bits{};
          if (r < from.rows) std::memcpy(&bits, row + c * kBytes, sizeof bits);
          std::memcpy(to + (c * all + r) * kBytes, &bits, sizeof bits);
        }
      }
    }
  };
  if (FloatBytes(from.dtype) == 4) {
    transpose(uint32_t{});
  } else {
    transpose(uint16_t{});
  }
}

int64_t NonZeroBytes(const std::byte* p, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += p[i] != std::byte{0};
  return count;
}

}  // namespace

bool Packable(DType type) { return PackingOf(type) != nullptr; }

int64_t PackedBytes(DType type, int64_t rows, int64_t cols) {
  const Packing* packing = PackingOf(type);
  return packing == nullptr ? 0 : RoundUp(rows, kGroupRows) * (cols / packing->columns) * packing->row_bytes;
}

void Pack(const MatrixView& from, int64_t group0, int64_t group1, std::byte* to) {
  const Packing* packing = PackingOf(from.dtype);
  if (packing == nullptr) return;
  for (int64_t group = group0; group < group1; ++group) {
    packing->pack(from, group * kGroupRows, {.rows = kRows, .first = 0, .all = kRows},
                  to + PackedBytes(from.dtype, group * kGroupRows, from.cols));
  }
}

bool HasColumns(DType type) { return Packable(type) || FloatBytes(type) != 0; }

int64_t ColumnRows(int64_t rows) { return RoundUp(rows, kStripRows); }

int64_t ColumnBytes(DType type, int64_t rows, int64_t cols) {
  const int64_t all = ColumnRows(rows);
  return Packable(type) ? PackedBytes(type, all, cols) : all * cols * FloatBytes(type);
}

void PackColumns(const MatrixView& from, int64_t strip0, int64_t strip1, std::byte* to) {
  const Packing* packing = PackingOf(from.dtype);
  const int64_t all = ColumnRows(from.rows);
  for (int64_t row = strip0 * kStripRows; row < strip1 * kStripRows; row += kStripRows) {
    if (packing == nullptr) {
      PackFloatColumns(from, row, all, to);
    } else {
      packing->pack_columns(from, 0, {.rows = static_cast<int>(kStripRows), .first = row, .all = all}, to);
    }
  }
}

bool TokenByToken(const PackedTile& tile) {
  return tile.tokens == 1 || tile.nonzeros <= tile.w.cols;
}

int64_t CountNonZeros(const PackedTile& tile) {
  int64_t count = 0;
  if (!Packable(tile.w.dtype)) {
    const int64_t floats = tile.w.cols * ColumnTileTokens(tile.tokens);
    for (int64_t i = 0; i < floats; ++i) {
      float value;
      std::memcpy(&value, tile.x + i * static_cast<int64_t>(sizeof value), sizeof value);
      count += value != 0;
    }
    return count;
  }
  const int64_t T = TileTokens(tile.tokens);
  for (int64_t block = 0; block < tile.w.cols / kPackedBlock; ++block) {
    count += NonZeroBytes(tile.x + block * T * kTokenBlockBytes, T * kPackedBlock);
  }
  return count;
}

void CountReads(const PackedTile& tile, SparseReads& reads) {
  const MatrixView& w = tile.w;
  const auto rows = static_cast<uint64_t>(RoundUp(w.rows, kStripRows));
  const auto nonzeros = static_cast<uint64_t>(tile.nonzeros), cols = static_cast<uint64_t>(w.cols);
  reads.inputs += cols;
  reads.zero_inputs += cols - nonzeros;
  reads.dense_bytes += static_cast<uint64_t>(ColumnBytes(w.dtype, w.rows, w.cols));
  const Packing* packing = PackingOf(w.dtype);
  if (packing == nullptr) {
    reads.read_bytes += rows * nonzeros * static_cast<uint64_t>(FloatBytes(w.dtype));
    return;
  }
  // Each row's share: the scales of the blocks that are not all zero, and the integers.
  const int64_t blocks_of_scale = packing->columns / kPackedBlock;
  const uint64_t eighths = nonzeros * static_cast<uint64_t>(packing->bits);
  uint64_t scales = 0;
  for (int64_t block = 0; block < w.cols / kPackedBlock; block += blocks_of_scale) {
    int64_t used = 0;
    for (int64_t b = block; b < block + blocks_of_scale; ++b) {
      used += NonZeroBytes(tile.x + b * kTokenBlockBytes, kPackedBlock) != 0;
    }
    if (used == 0) continue;
    scales += static_cast<uint64_t>(packing->head + (blocks_of_scale > 1 ? 2 * used : 0));
  }
  reads.read_bytes += rows * (scales + eighths / 8);
}

}  // namespace tern::kernels
