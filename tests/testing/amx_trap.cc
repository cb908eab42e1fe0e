#include "tests/testing/amx_trap.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>
#include <signal.h>
#include <ucontext.h>

#include "base/cpu.h"
#endif

namespace tern::testing {

// --- the tiles
// -----------------------------------------------------------------------------------------------

bool TileFile::Usable(int tile) const {
  return palette != 0 && tile < kTiles && rows[tile] != 0 && row_bytes[tile] != 0;
}

void TileFile::ZeroRows(int tile, int row0) {
  std::memset(data[tile][row0], 0, static_cast<size_t>((kRows - row0) * kRowBytes));
}

TileFault TileFile::LoadConfig(const std::byte* config) {
  uint8_t bytes[kConfigBytes];
  std::memcpy(bytes, config, sizeof bytes);
  if (bytes[0] == 0) {
    Release();
    return TileFault::kNone;
  }
  if (bytes[0] != 1) return TileFault::kProtection;
  const auto all_zero = [&](int begin, int end) {
    return std::all_of(bytes + begin, bytes + end, [](int b) { return b == 0; });
  };
  if (!all_zero(2, 16) || !all_zero(32, 48) || !all_zero(56, 64)) return TileFault::kProtection;
  TileFile wanted = {};
  wanted.palette = 1;
  wanted.start_row = bytes[1];
  for (int tile = 0; tile < kTiles; ++tile) {
    wanted.row_bytes[tile] = static_cast<uint16_t>(bytes[16 + 2 * tile] | bytes[17 + 2 * tile] << 8);
    wanted.rows[tile] = bytes[48 + tile];
    if (wanted.row_bytes[tile] > kRowBytes || wanted.rows[tile] > kRows) return TileFault::kProtection;
    if ((wanted.row_bytes[tile] == 0) != (wanted.rows[tile] == 0)) return TileFault::kProtection;
  }
  *this = wanted;
  return TileFault::kNone;
}

void TileFile::StoreConfig(std::byte* config) const {
  uint8_t bytes[kConfigBytes] = {palette, start_row};
  for (int tile = 0; tile < kTiles; ++tile) {
    bytes[16 + 2 * tile] = static_cast<uint8_t>(row_bytes[tile]);
    bytes[48 + tile] = rows[tile];
  }
  std::memcpy(config, bytes, sizeof bytes);
}

void TileFile::Release() { *this = TileFile{}; }

TileFault TileFile::Zero(int tile) {
  if (!Usable(tile)) return TileFault::kInvalidOpcode;
  ZeroRows(tile, 0);
  start_row = 0;
  return TileFault::kNone;
}

TileFault TileFile::Load(int tile, const std::byte* base, int64_t stride) {
  if (!Usable(tile)) return TileFault::kInvalidOpcode;
  for (int row = start_row; row < rows[tile]; ++row) {
    std::memcpy(data[tile][row], base + row * stride, row_bytes[tile]);
    std::memset(data[tile][row] + row_bytes[tile], 0, static_cast<size_t>(kRowBytes - row_bytes[tile]));
  }
  if (rows[tile] < kRows) ZeroRows(tile, rows[tile]);
  start_row = 0;
  return TileFault::kNone;
}

TileFault TileFile::Store(int tile, std::byte* base, int64_t stride) {
  if (!Usable(tile)) return TileFault::kInvalidOpcode;
  for (int row = start_row; row < rows[tile]; ++row) std::memcpy(base + row * stride, data[tile][row], row_bytes[tile]);
  start_row = 0;
  return TileFault::kNone;
}

#if defined(__x86_64__) && defined(__linux__)

namespace {

/// sum [16] += Σ over k of a's pair k with b's row k: the even columns' products in one chain, the odd ones' in another, both
/// from zero, in order. Rounding, and what happens to subnormals, is what MXCSR says.
__attribute__((target("avx512f"), noinline)) void MultiplyRow(const std::byte* a, int pairs,
                                                             const std::byte (*b)[TileFile::kRowBytes], std::byte* sum) {
  __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int k = 0; k < pairs; ++k) {
    int32_t two;
    std::memcpy(&two, a + 4 * k, sizeof two);
    const __m512i x = _mm512_set1_epi32(two), w = _mm512_loadu_si512(b[k]);
    even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)),
                           even);
    odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)), _mm512_castsi512_ps(_mm512_and_si512(w, high)),
                          odd);
  }
  _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), _mm512_add_ps(even, odd)));
}

/// Rounding to nearest even, subnormals are zero, no exceptions: what the instruction does whatever MXCSR says.
constexpr unsigned kTileArithmetic = 0x9fc0;

}  // namespace

TileFault TileFile::MultiplyBf16(int sum, int a, int b) {
  const bool distinct = sum != a && sum != b && a != b;
  if (!distinct || !Usable(sum) || !Usable(a) || !Usable(b)) return TileFault::kInvalidOpcode;
  if (rows[a] != rows[sum] || row_bytes[b] != row_bytes[sum] || row_bytes[a] != 4 * rows[b] || row_bytes[sum] % 4 != 0) {
    return TileFault::kInvalidOpcode;
  }
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kTileArithmetic);
  for (int row = 0; row < rows[sum]; ++row) {
    MultiplyRow(data[a][row], row_bytes[a] / 4, data[b], data[sum][row]);
    std::memset(data[sum][row] + row_bytes[sum], 0, static_cast<size_t>(kRowBytes - row_bytes[sum]));
  }
  _mm_setcsr(before);
  if (rows[sum] < kRows) ZeroRows(sum, rows[sum]);
  start_row = 0;
  return TileFault::kNone;
}

// --- the instructions
// -----------------------------------------------------------------------------------------------

namespace {

/// A VEX instruction of three bytes of prefix and map 0F 38.
struct Instruction {
  int opcode;
  int prefix;         ///< 0: none, 1: 66, 2: F3, 3: F2
  int third;          ///< the register in the prefix (vvvv)
  int mod, reg, rm;   ///< with their extension bits
  int length;
  // Of operands in memory: base + displacement, and index · scale (0 when there is no index).
  bool has_sib;
  uint64_t base, index;
};

template <typename Int>
int64_t Displacement(const std::byte* p) {
  Int value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// What follows ModRM, when it names memory.
void DecodeMemory(const std::byte* code, int index_bit, int base_bit, const TileOperands& operands, Instruction& in) {
  const int mod = in.mod, low = in.rm;
  in.has_sib = low == 4;
  int base = low | base_bit << 3;
  bool has_base = !(mod == 0 && low == 5);
  if (in.has_sib) {
    const int sib = std::to_integer<int>(code[in.length++]);
    const int index = ((sib >> 3) & 7) | index_bit << 3;
    if (index != 4) in.index = operands.general[index] << (sib >> 6);
    base = (sib & 7) | base_bit << 3;
    has_base = !(mod == 0 && (sib & 7) == 5);
  }
  int64_t displacement = 0;
  if (mod == 1) {
    displacement = Displacement<int8_t>(code + in.length);
    in.length += 1;
  } else if (mod == 2 || !has_base) {
    displacement = Displacement<int32_t>(code + in.length);
    in.length += 4;
  }
  if (has_base) {
    in.base = operands.general[base];
  } else if (!in.has_sib) {
    in.base = operands.instruction + static_cast<uint64_t>(in.length);  // relative to the next instruction
  }
  in.base += static_cast<uint64_t>(displacement);
}

/// False when it is something else, or names a register that does not exist.
bool Decode(const std::byte* code, const TileOperands& operands, Instruction& in) {
  const auto byte = [&](int i) { return std::to_integer<int>(code[i]); };
  if (byte(0) != 0xc4 || (byte(1) & 31) != 2) return false;
  const int reg_bit = ~byte(1) >> 7 & 1, index_bit = ~byte(1) >> 6 & 1, base_bit = ~byte(1) >> 5 & 1;
  const bool wide = byte(2) >> 7 != 0, long_vector = (byte(2) >> 2 & 1) != 0;
  const int modrm = byte(4);
  in = {.opcode = byte(3), .prefix = byte(2) & 3, .third = ~byte(2) >> 3 & 15, .mod = modrm >> 6,
        .reg = (modrm >> 3 & 7) | reg_bit << 3, .rm = modrm & 7, .length = 5, .has_sib = false, .base = 0, .index = 0};
  if (wide || long_vector) return false;
  if (in.mod == 3) {
    in.rm |= base_bit << 3;
  } else {
    DecodeMemory(code, index_bit, base_bit, operands, in);
  }
  return in.reg < TileFile::kTiles;
}

/// 49: LDTILECFG, STTILECFG, TILERELEASE, TILEZERO.
TileFault Configure(const Instruction& in, TileFile& tiles) {
  if (in.third != 0) return TileFault::kInvalidOpcode;
  if (in.mod == 3) {
    if (in.prefix == 3 && in.rm == 0) return tiles.Zero(in.reg);
    if (in.prefix != 0 || in.rm != 0 || in.reg != 0) return TileFault::kInvalidOpcode;
    tiles.Release();
    return TileFault::kNone;
  }
  auto* address = reinterpret_cast<std::byte*>(in.base + in.index);
  if (in.reg != 0 || in.prefix > 1) return TileFault::kInvalidOpcode;
  if (in.prefix == 0) return tiles.LoadConfig(address);
  tiles.StoreConfig(address);
  return TileFault::kNone;
}

/// 4B: TILELOADD, TILELOADDT1, TILESTORED.
TileFault Move(const Instruction& in, TileFile& tiles) {
  if (in.third != 0 || in.mod == 3 || !in.has_sib) return TileFault::kInvalidOpcode;
  auto* address = reinterpret_cast<std::byte*>(in.base);
  const auto stride = static_cast<int64_t>(in.index);
  if (in.prefix == 2) return tiles.Store(in.reg, address, stride);
  return in.prefix == 0 ? TileFault::kInvalidOpcode : tiles.Load(in.reg, address, stride);
}

}  // namespace

int ExecuteTileInstruction(const std::byte* code, const TileOperands& operands, TileFile& tiles) {
  Instruction in;
  if (!Decode(code, operands, in)) return 0;
  TileFault fault = TileFault::kInvalidOpcode;
  if (in.opcode == 0x49) fault = Configure(in, tiles);
  if (in.opcode == 0x4b) fault = Move(in, tiles);
  if (in.opcode == 0x5c && in.prefix == 2 && in.mod == 3 && in.rm < TileFile::kTiles && in.third < TileFile::kTiles) {
    fault = tiles.MultiplyBf16(in.reg, in.rm, in.third);
  }
  return fault == TileFault::kNone ? in.length : 0;
}

// --- the handler
// -----------------------------------------------------------------------------------------------

namespace {

thread_local TileFile t_tiles;
struct sigaction g_previous;

void PassOn(int signal, siginfo_t* info, void* context) {
  if ((g_previous.sa_flags & SA_SIGINFO) != 0) {
    g_previous.sa_sigaction(signal, info, context);
  } else if (g_previous.sa_handler == SIG_DFL || g_previous.sa_handler == SIG_IGN) {
    sigaction(signal, &g_previous, nullptr);  // the instruction comes again, and ends the process
  } else {
    g_previous.sa_handler(signal);
  }
}

void OnIllegalInstruction(int signal, siginfo_t* info, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  TileOperands operands;
  for (int i = 0; i < 16; ++i) operands.general[i] = static_cast<uint64_t>(registers[kOrder[i]]);
  const auto first = static_cast<uint64_t>(registers[REG_RIP]);
  operands.instruction = first;
  // And those that follow: they leave the registers alone, and a signal takes far longer than an instruction.
  while (const int length =
             ExecuteTileInstruction(reinterpret_cast<const std::byte*>(operands.instruction), operands, t_tiles)) {
    operands.instruction += static_cast<uint64_t>(length);
  }
  if (operands.instruction == first) return PassOn(signal, info, context);
  registers[REG_RIP] = static_cast<greg_t>(operands.instruction);
}

}  // namespace

bool InstallAmxTrap() {
  if (GetCpuFeatures().amx_bf16) return false;
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = OnIllegalInstruction;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGILL, &action, &g_previous) == 0;
  }();
  return installed;
}

#else

TileFault TileFile::MultiplyBf16(int, int, int) { return TileFault::kInvalidOpcode; }
int ExecuteTileInstruction(const std::byte*, const TileOperands&, TileFile&) { return 0; }
bool InstallAmxTrap() { return false; }

#endif

}  // namespace tern::testing
