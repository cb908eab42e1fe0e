#include "base/cpu.h"

#include <fstream>

#include <fmt/format.h>

#include "base/parallel.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tern {
namespace {

#if defined(__x86_64__)
/// Whether the operating system saves AMX's tiles and lets this process use them.
bool TilesAllowed() {
  unsigned low = 0, high = 0;  // XCR0: what the operating system saves; bits 17 and 18 are the tiles'
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTiles = 3u << 17;
  if ((low & kTiles) != kTiles) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

CpuFeatures Detect() {
  CpuFeatures f;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // __builtin_cpu_supports also checks that the operating system saves the wider registers.
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  f.avx512_vnni = f.avx512 && __builtin_cpu_supports("avx512vnni");
  unsigned eax = 7, ebx = 0, ecx = 1, edx = 0;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  f.avx512_bf16 = f.avx512 && ((eax >> 5) & 1);
  eax = 7;
  ecx = 0;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  // (With AVX-512 in use, the processor has XGETBV.)
  const bool tiles = f.avx512 && ((edx >> 24) & 1) && TilesAllowed();
  f.amx_bf16 = tiles && ((edx >> 22) & 1);
  f.amx_int8 = tiles && ((edx >> 25) & 1);
  // F16C has been in every processor with AVX2.
#endif
  return f;
}

}  // namespace

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = Detect();
  return features;
}

std::string DescribeCpu() {
  std::string model = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) {
      model = line.substr(line.find(": ") + 2);
      break;
    }
  }
  const CpuFeatures& f = GetCpuFeatures();
  std::string sets;
  if (f.avx2) sets += " avx2";
  if (f.avx512) sets += " avx512";
  if (f.avx512_vnni) sets += " vnni";
  if (f.avx512_bf16) sets += " bf16";
  if (f.amx_bf16 || f.amx_int8) sets += " amx";
  return fmt::format("{}, {} threads,{}", model, NumThreads(), sets.empty() ? " no vector extensions used" : sets);
}

}  // namespace tern
