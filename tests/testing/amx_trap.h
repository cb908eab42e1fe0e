// AMX in software, so that code compiled for it can be tested on any processor: what the instructions do (Intel's manual,
// volume 2), and a handler of SIGILL that carries them out where the processor does not know them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::testing {

/// What the hardware would do instead of carrying an instruction out.
enum class TileFault {
  kNone,
  kInvalidOpcode,  ///< #UD: tiles are not configured, not so, or no such instruction
  kProtection,     ///< #GP: an impossible configuration
};

/// A thread's tiles. Trivial, so that a handler of signals may use one of a thread.
struct TileFile {
  static constexpr int kTiles = 8, kRows = 16, kRowBytes = 64, kConfigBytes = 64;

  uint8_t palette;  ///< 0: not configured
  uint8_t start_row;
  uint16_t row_bytes[kTiles];
  uint8_t rows[kTiles];
  std::byte data[kTiles][kRows][kRowBytes];

  TileFault LoadConfig(const std::byte* config);
  void StoreConfig(std::byte* config) const;
  void Release();
  TileFault Zero(int tile);
  /// Rows `stride` bytes apart.
  TileFault Load(int tile, const std::byte* base, int64_t stride);
  TileFault Store(int tile, std::byte* base, int64_t stride);
  /// TDPBF16PS: sum [m, n] += a [m, k pairs] · b [k pairs, n].
  TileFault MultiplyBf16(int sum, int a, int b);

 private:
  bool Usable(int tile) const;
  void ZeroRows(int tile, int row0);
};

/// The registers that an instruction's operands name.
struct TileOperands {
  uint64_t general[16];  ///< rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 … r15
  uint64_t instruction;  ///< rip: the address of the instruction itself
};

/// Carries out the AMX instruction at `code`; returns its length, or 0 when it is none of those above or would fault.
int ExecuteTileInstruction(const std::byte* code, const TileOperands& operands, TileFile& tiles);

/// From now on AMX instructions work in every thread of this process, in software. Anything else that raises SIGILL goes to
/// whom it went before. False when the processor has AMX itself, or this build can't.
bool InstallAmxTrap();

}  // namespace tern::testing
