// What this processor can do.
#pragma once

#include <string>

namespace tern {

/// Instruction sets that the operating system lets this process use.
struct CpuFeatures {
  bool avx2 = false;         ///< AVX2, FMA and F16C
  bool avx512 = false;       ///< AVX-512 F, BW, DQ and VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_bf16 = false;     ///< AMX's tiles and their products; Linux has given them to this process
  bool amx_int8 = false;
};

/// Asked once, at the first call. Thread-safe. Asks Linux for AMX's tiles, too, which it keeps from programs that don't: the
/// permission holds for all threads, those already there as well, and for processes forked from now on.
const CpuFeatures& GetCpuFeatures();

/// "Intel(R) Xeon(R) … , 2 cores, avx2 avx512 vnni bf16", for reports.
std::string DescribeCpu();

}  // namespace tern
