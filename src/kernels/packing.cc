#include "kernels/packing.h"

#include <algorithm>
#include <cstring>

#include "tensor/quant_blocks.h"

namespace tern::kernels {
namespace {

constexpr int kRows = static_cast<int>(kGroupRows);
constexpr size_t kQuadBytes = 4 * kGroupRows;
constexpr int kQuads = 8;

/// The integers of one row's block of 32 columns.
struct RowBlock {
  uint8_t q[kPackedBlock];
};

uint32_t QuadOf(const RowBlock& row, int quad) {
  uint32_t four;
  std::memcpy(&four, row.q + 4 * quad, sizeof four);
  return four;
}

void PutQuad(std::byte* vector, int row, uint32_t four) {
  std::memcpy(vector + static_cast<size_t>(row) * sizeof four, &four, sizeof four);
}

/// The integers of sixteen rows, in `bits` each (8, 4, 5 or 6); returns the end of what was written.
std::byte* PutIntegers(const RowBlock* rows, int bits, std::byte* to) {
  if (bits == 8) {
    for (int quad = 0; quad < kQuads; ++quad, to += kQuadBytes) {
      for (int row = 0; row < kRows; ++row) PutQuad(to, row, QuadOf(rows[row], quad));
    }
    return to;
  }
  if (bits == 5) {
    for (int row = 0; row < kRows; ++row) {
      uint32_t high = 0;
      for (int quad = 0; quad < kQuads; ++quad) high |= ((QuadOf(rows[row], quad) >> 4) & 0x01010101u) << quad;
      PutQuad(to, row, high);
    }
    to += kQuadBytes;
  }
  if (bits == 6) {
    for (int plane = 0; plane < 2; ++plane, to += kQuadBytes) {
      for (int row = 0; row < kRows; ++row) {
        uint32_t high = 0;
        for (int k = 0; k < 4; ++k) high |= ((QuadOf(rows[row], 4 * plane + k) >> 4) & 0x03030303u) << (2 * k);
        PutQuad(to, row, high);
      }
    }
  }
  for (int quad = 0; quad < kQuads / 2; ++quad, to += kQuadBytes) {
    for (int row = 0; row < kRows; ++row) {
      const uint32_t low = QuadOf(rows[row], quad) & 0x0f0f0f0fu;
      PutQuad(to, row, low | (QuadOf(rows[row], quad + kQuads / 2) & 0x0f0f0f0fu) << 4);
    }
  }
  return to;
}

void PutHalf(std::byte* to, int row, StoredFp16 value) { std::memcpy(to + 2 * row, &value, sizeof value); }

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

/// How a small type's block is packed.
template <typename Block>
struct SmallType {
  static constexpr bool kHasMin = requires(Block b) { b.m; };
  static constexpr int kBits = sizeof(Block::qs) == 32 ? 8 : requires(Block b) { b.qh; } ? 5 : 4;
  static constexpr int64_t kColumns = 32;
  static constexpr int64_t kGroupBytes = kRows * (kHasMin ? 4 : 2) + kRows * 4 * kBits;

  static void PackBlock(const Block* const* rows, std::byte* to) {
    RowBlock integers[kRows] = {};
    std::memset(to, 0, kRows * (kHasMin ? 4 : 2));
    for (int row = 0; row < kRows; ++row) {
      if (rows[row] == nullptr) continue;
      PutHalf(to, row, rows[row]->d);
      if constexpr (kHasMin) PutHalf(to + 2 * kRows, row, rows[row]->m);
      Integers(*rows[row], integers[row]);
    }
    PutIntegers(integers, kBits, to + kRows * (kHasMin ? 4 : 2));
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
  static constexpr int64_t kGroupBytes = 4 * kRows + 8 * (2 * kRows + kRows * 4 * kBits);

  static void PackBlock(const Block* const* rows, std::byte* to) {
    SixBitPairs pairs[kRows] = {};
    std::memset(to, 0, 4 * kRows);
    for (int row = 0; row < kRows; ++row) {
      if (rows[row] == nullptr) continue;
      PutHalf(to, row, rows[row]->d);
      PutHalf(to + 2 * kRows, row, rows[row]->dmin);
      pairs[row] = UnpackSixBitPairs(rows[row]->scales);
    }
    to += 4 * kRows;
    for (int sub = 0; sub < 8; ++sub) {
      RowBlock integers[kRows] = {};
      for (int row = 0; row < kRows; ++row) {
        to[row] = static_cast<std::byte>(pairs[row].scale[sub]);
        to[kRows + row] = static_cast<std::byte>(pairs[row].min[sub]);
        if (rows[row] != nullptr) SubBlock(*rows[row], sub, integers[row]);
      }
      to = PutIntegers(integers, kBits, to + 2 * kRows);
    }
  }
};

struct Q6K {
  static constexpr int64_t kColumns = 256;
  static constexpr int64_t kGroupBytes = 2 * kRows + 8 * (2 * kRows + kRows * 4 * 6);

  static void SubBlock(const BlockQ6_K& b, int sub, RowBlock& row) {
    const int half = sub / 4, k = sub % 4;  // 128·half + 32·k + l
    for (int l = 0; l < 32; ++l) {
      const uint8_t low = b.ql[64 * half + 32 * (k % 2) + l];
      row.q[l] = static_cast<uint8_t>((k < 2 ? low & 15 : low >> 4) | ((b.qh[32 * half + l] >> (2 * k)) & 3) << 4);
    }
  }

  static void PackBlock(const BlockQ6_K* const* rows, std::byte* to) {
    std::memset(to, 0, 2 * kRows);
    for (int row = 0; row < kRows; ++row) {
      if (rows[row] != nullptr) PutHalf(to, row, rows[row]->d);
    }
    to += 2 * kRows;
    for (int sub = 0; sub < 8; ++sub) {
      RowBlock integers[kRows] = {};
      std::memset(to, 0, 2 * kRows);
      for (int row = 0; row < kRows; ++row) {
        if (rows[row] == nullptr) continue;
        to[row] = static_cast<std::byte>(rows[row]->scales[2 * sub]);
        to[kRows + row] = static_cast<std::byte>(rows[row]->scales[2 * sub + 1]);
        SubBlock(*rows[row], sub, integers[row]);
      }
      to = PutIntegers(integers, 6, to + 2 * kRows);
    }
  }
};

template <typename Block, typename Type>
void PackGroup(const MatrixView& from, int64_t group, std::byte* to) {
  const int64_t blocks = from.cols / Type::kColumns;
  to += group * blocks * Type::kGroupBytes;
  for (int64_t block = 0; block < blocks; ++block, to += Type::kGroupBytes) {
    const Block* rows[kRows];
    for (int row = 0; row < kRows; ++row) {
      const int64_t r = group * kGroupRows + row;
      rows[row] = r < from.rows ? reinterpret_cast<const Block*>(from.data) + r * blocks + block : nullptr;
    }
    Type::PackBlock(rows, to);
  }
}

/// What packing needs to know of a type.
struct Packing {
  int64_t columns;
  int64_t group_bytes;  ///< of sixteen rows × `columns`
  void (*pack)(const MatrixView& from, int64_t group, std::byte* to);
};

template <typename Block, typename Type = SmallType<Block>>
constexpr Packing kPacking = {Type::kColumns, Type::kGroupBytes, PackGroup<Block, Type>};

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

}  // namespace

bool Packable(DType type) { return PackingOf(type) != nullptr; }

int64_t PackedBytes(DType type, int64_t rows, int64_t cols) {
  const Packing* packing = PackingOf(type);
  return packing == nullptr ? 0 : (rows + kGroupRows - 1) / kGroupRows * (cols / packing->columns) * packing->group_bytes;
}

void Pack(const MatrixView& from, int64_t group0, int64_t group1, std::byte* to) {
  const Packing* packing = PackingOf(from.dtype);
  if (packing == nullptr) return;
  for (int64_t group = group0; group < group1; ++group) packing->pack(from, group, to);
}

}  // namespace tern::kernels
