// The AMX level on every machine that has what the rest of that level needs.
#pragma once

#include "base/cpu.h"
#include "kernels/tables.h"
#include "tests/testing/amx_trap.h"

namespace tern::kernels {

/// The table of the AMX level; where the processor lacks AMX itself, its instructions are carried out in software from now on.
/// Null without AVX-512 and its BF16 and VNNI instructions.
inline const KernelTable* AmxTableAnywhere() {
#if defined(__x86_64__)
  if (const KernelTable* table = KernelsOf(Level::kAmx)) return table;
  const CpuFeatures& cpu = GetCpuFeatures();
  if (cpu.avx512_bf16 && cpu.avx512_vnni && testing::InstallAmxTrap()) return &AmxTable();
#endif
  return nullptr;
}

}  // namespace tern::kernels
