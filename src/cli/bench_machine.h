// What this machine can do at most: how fast it reads memory, and how fast its units multiply and add. The
// share of that which a model reaches is measured against these, in the same rounds.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/memory.h"

namespace tern {

/// Memory that is far larger than the caches: half a gigabyte, or eight times the last cache where that is
/// more, but at most a quarter of what is free. Every page is written to. Empty when there is no memory.
PageBuffer BandwidthBuffer();

/// Bytes per second at which NumThreads() threads together read the buffer, front to back in pieces of a
/// megabyte, for about `seconds`. Read twice: as the processor's own prefetchers manage, and with the program
/// asking ahead; the better of the two means counts.
double MeasureBandwidth(const PageBuffer& buffer, double seconds);

/// A number type that matrix units multiply.
enum class Arithmetic { kFp32, kBf16, kInt8 };
std::string_view Name(Arithmetic arithmetic);

/// A loop over one instruction on registers alone: nothing but the unit itself bounds it.
struct PeakLoop {
  Arithmetic arithmetic;
  std::string_view instruction;  ///< "vpdpbusd, 512 bits"
  double operations;             ///< of one turn; a multiply-add counts as two
  void (*run)(int64_t turns);
};

/// Of each arithmetic that this processor has, the widest instruction for it.
std::vector<PeakLoop> PeakLoops();

/// Operations per second of NumThreads() threads together over about `seconds`.
double MeasurePeak(const PeakLoop& loop, double seconds);

}  // namespace tern
