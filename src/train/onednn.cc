#include "train/onednn.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <dnnl.hpp>
#include <mutex>

#include "base/log.h"
#include "kernels/ops.h"

namespace tern::train {
namespace {

dnnl::cpu_isa MostFor(kernels::Level level) {
  switch (level) {
    case kernels::Level::kRef:
      return dnnl::cpu_isa::sse41;
    case kernels::Level::kAvx2:
      return dnnl::cpu_isa::avx2;
    case kernels::Level::kAvx512:
      return dnnl::cpu_isa::avx512_core_bf16;
    case kernels::Level::kAmx:
      break;
  }
  return dnnl::cpu_isa::all;
}

}  // namespace

void PrepareOneDnn() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* wanted = std::getenv("TERN_ISA");
    if (wanted == nullptr || *wanted == '\0') return;
    if (dnnl::set_max_cpu_isa(MostFor(kernels::Kernels().level)) != dnnl::status::success)
      LogWarning("oneDNN cannot be restricted to TERN_ISA={}: it chooses its instructions itself", wanted);
  });
}

std::string OneDnnIsa() {
  PrepareOneDnn();
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  switch (isa) {
    case dnnl::cpu_isa::all:
      return "all";
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return fmt::format("{:#x}", static_cast<unsigned>(isa));
  }
}

bool OneDnnHasBf16() {
  PrepareOneDnn();
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
}

std::string KernelsInUse() {
  return fmt::format("{} (oneDNN: {})", kernels::Name(kernels::Kernels().level), OneDnnIsa());
}

// Found at run time: it must be the OpenMP library that oneDNN has loaded, whichever compiler this is built with; where
// oneDNN came without one there is nothing to set.
void UseOpenMpThreads(int threads) {
  static const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set != nullptr) set(threads);
}

}  // namespace tern::train
