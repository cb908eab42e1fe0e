// What is set up before oneDNN is used: by everything in training that calls it.
#pragma once

#include <string>

namespace tern::train {

/// Before every other call of oneDNN. Where TERN_ISA restricts the kernels, oneDNN is restricted alike: ref to
/// SSE4.1, avx2 to AVX2, avx512 to AVX-512 with BF16, amx to all. Takes effect once per process. Thread-safe.
void PrepareOneDnn();

/// The instructions that oneDNN may use in this process: "avx512_core_bf16".
std::string OneDnnIsa();
/// Whether its bf16 products use instructions for bf16.
bool OneDnnHasBf16();

/// What the bits of a training step depend on beside the run's options: "avx512 (oneDNN: avx512_core_bf16)".
std::string KernelsInUse();

/// oneDNN asks OpenMP, per calling thread, how many threads to use. Sets that number for the calling thread.
void UseOpenMpThreads(int threads);

}  // namespace tern::train
