#include "cli/bench_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/parallel.h"

namespace tern {
namespace {

// --- memory
// -----------------------------------------------------------------------------------------------

/// Bytes of the largest cache that the first core sees, as Linux has it; 0 when it does not say. (sysconf's
/// number is ten times the truth on some virtual machines.)
size_t LargestCache() {
  size_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream in(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    size_t kilobytes = 0;  // "32768K"
    if (in >> kilobytes) largest = std::max(largest, std::min<size_t>(kilobytes, size_t{4} << 20) * 1024);
  }
  return largest;
}

typedef long long Words __attribute__((vector_size(16), may_alias));

constexpr size_t kPiece = size_t{1} << 20;
/// How far ahead of its reading the program asks: what a miss takes at full speed, and a little more.
constexpr size_t kAhead = 4096;

/// Reads a piece and returns something that depends on all of it.
template <bool kAsk>
long long ReadPiece(const std::byte* data) {
  Words a{}, b{}, c{}, d{};
  for (size_t at = 0; at < kPiece; at += 256) {
    for (size_t line = 0; line < 256; line += 64) {
      if (kAsk) __builtin_prefetch(data + at + line + kAhead);
      const auto* words = reinterpret_cast<const Words*>(data + at + line);
      a ^= words[0], b ^= words[1], c ^= words[2], d ^= words[3];
    }
  }
  a = (a ^ b) ^ (c ^ d);
  return a[0] ^ a[1];
}

/// Bytes per second of whole passes until `seconds` are over.
template <bool kAsk>
double ReadFor(const PageBuffer& buffer, double seconds) {
  const auto pieces = static_cast<int64_t>(buffer.size() / kPiece);
  std::atomic<long long> sink{0};
  int64_t passes = 0;
  const auto start = Clock::now();
  double spent = 0;
  do {
    ParallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        sink.fetch_xor(ReadPiece<kAsk>(buffer.data() + static_cast<size_t>(i) * kPiece),
                       std::memory_order_relaxed);
      }
    });
    ++passes;
    spent = SecondsSince(start);
  } while (spent < seconds);
  return static_cast<double>(passes * pieces) * static_cast<double>(kPiece) / spent;
}

// --- arithmetic
// -----------------------------------------------------------------------------------------------

#if defined(__x86_64__)

// Written in assembly, since a compiler would see that nothing comes of the numbers. Every register is an
// accumulator of its own, so that the latency of one is hidden behind the others.
#define TERN_EACH_12(op) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define TERN_EACH_24(op)                                                                                 \
  op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15) op(16) op(17) op(18) op(19) op(20) op(21) op(22) \
      op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
#define TERN_CLOBBER_16                                                                                      \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"
#define TERN_CLOBBER_32                                                                                      \
  TERN_CLOBBER_16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", \
      "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"

#define TERN_ZERO_YMM(n) "vpxor %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n"
#define TERN_ZERO_ZMM(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n"
#define TERN_FMA_YMM(n) "vfmadd231ps %%ymm0, %%ymm1, %%ymm" #n "\n"
#define TERN_FMA_ZMM(n) "vfmadd231ps %%zmm0, %%zmm1, %%zmm" #n "\n"
#define TERN_BF16_ZMM(n) "vdpbf16ps %%zmm0, %%zmm1, %%zmm" #n "\n"
#define TERN_INT8_ZMM(n) "vpdpbusd %%zmm0, %%zmm1, %%zmm" #n "\n"
// Bytes without a dot product: pairs to 16 bits, pairs of those to 32, and a sum.
#define TERN_INT8_YMM(t, n)                \
  "vpmaddubsw %%ymm0, %%ymm1, %%ymm" #t    \
  "\n"                                     \
  "vpmaddwd %%ymm2, %%ymm" #t ", %%ymm" #t \
  "\n"                                     \
  "vpaddd %%ymm" #t ", %%ymm" #n ", %%ymm" #n "\n"

// A list of registers cannot be an argument: it comes in as several.
#define TERN_LOOP_16(zeros, body) TERN_LOOP_(zeros, body, TERN_CLOBBER_16)
#define TERN_LOOP_32(zeros, body) TERN_LOOP_(zeros, body, TERN_CLOBBER_32)
#define TERN_LOOP_(zeros, body, ...) \
  asm volatile(zeros "1:\n" body "dec %0\njnz 1b\nvzeroupper\n" : "+r"(turns) : : "cc", __VA_ARGS__)

__attribute__((target("avx2,fma"))) void Fp32Avx2(int64_t turns) {
  TERN_LOOP_16(TERN_ZERO_YMM(0) TERN_ZERO_YMM(1) TERN_EACH_12(TERN_ZERO_YMM), TERN_EACH_12(TERN_FMA_YMM));
}
__attribute__((target("avx2"))) void Int8Avx2(int64_t turns) {
  TERN_LOOP_16(TERN_ZERO_YMM(0) TERN_ZERO_YMM(1) TERN_ZERO_YMM(2) TERN_EACH_12(TERN_ZERO_YMM),
               TERN_INT8_YMM(4, 10) TERN_INT8_YMM(5, 11) TERN_INT8_YMM(6, 12) TERN_INT8_YMM(7, 13)
                   TERN_INT8_YMM(8, 14) TERN_INT8_YMM(9, 15));
}
__attribute__((target("avx512f"))) void Fp32Avx512(int64_t turns) {
  TERN_LOOP_32(TERN_ZERO_ZMM(0) TERN_ZERO_ZMM(1) TERN_EACH_24(TERN_ZERO_ZMM), TERN_EACH_24(TERN_FMA_ZMM));
}
__attribute__((target("avx512f,avx512bf16"))) void Bf16Avx512(int64_t turns) {
  TERN_LOOP_32(TERN_ZERO_ZMM(0) TERN_ZERO_ZMM(1) TERN_EACH_24(TERN_ZERO_ZMM), TERN_EACH_24(TERN_BF16_ZMM));
}
__attribute__((target("avx512f,avx512vnni"))) void Int8Avx512(int64_t turns) {
  TERN_LOOP_32(TERN_ZERO_ZMM(0) TERN_ZERO_ZMM(1) TERN_EACH_24(TERN_ZERO_ZMM), TERN_EACH_24(TERN_INT8_ZMM));
}

/// Eight tiles of 16 rows of 64 bytes.
struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// Two tiles of each factor and their four products, as a kernel would hold them.
#define TERN_LOOP_TILES(instruction)                                                                     \
  const TileConfig config;                                                                               \
  asm volatile(                                                                                          \
      "ldtilecfg %1\n"                                                                                   \
      "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"                             \
      "tilezero %%tmm4\ntilezero %%tmm5\ntilezero %%tmm6\ntilezero %%tmm7\n"                             \
      "1:\n" instruction " %%tmm6, %%tmm4, %%tmm0\n" instruction " %%tmm7, %%tmm4, %%tmm1\n" instruction \
      " %%tmm6, %%tmm5, %%tmm2\n" instruction                                                            \
      " %%tmm7, %%tmm5, %%tmm3\n"                                                                        \
      "dec %0\njnz 1b\ntilerelease\n"                                                                    \
      : "+r"(turns)                                                                                      \
      : "m"(config)                                                                                      \
      : "cc", "memory")

__attribute__((target("amx-tile,amx-bf16"))) void Bf16Amx(int64_t turns) { TERN_LOOP_TILES("tdpbf16ps"); }
__attribute__((target("amx-tile,amx-int8"))) void Int8Amx(int64_t turns) { TERN_LOOP_TILES("tdpbusd"); }

#endif  // __x86_64__

}  // namespace

PageBuffer BandwidthBuffer() {
  constexpr size_t kUsual = size_t{512} << 20;
  size_t size = std::max(kUsual, 8 * LargestCache());
  if (const uint64_t free = AvailableMemory(); free > 0) size = std::min<size_t>(size, free / 4);
  PageBuffer buffer(std::max<size_t>(1, size / kPiece) * kPiece);
  if (buffer.data() == nullptr) return buffer;
  ParallelFor(static_cast<int64_t>(buffer.size() / kPiece), 1, [&](int64_t begin, int64_t end) {
    std::memset(buffer.data() + static_cast<size_t>(begin) * kPiece, 1,
                static_cast<size_t>(end - begin) * kPiece);
  });
  return buffer;
}

double MeasureBandwidth(const PageBuffer& buffer, double seconds) {
  return std::max(ReadFor<false>(buffer, seconds / 2), ReadFor<true>(buffer, seconds / 2));
}

std::string_view Name(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kFp32:
      return "fp32";
    case Arithmetic::kBf16:
      return "bf16";
    case Arithmetic::kInt8:
      return "int8";
  }
  return "?";
}

std::vector<PeakLoop> PeakLoops() {
  std::vector<PeakLoop> loops;
#if defined(__x86_64__)
  const CpuFeatures& cpu = GetCpuFeatures();
  if (cpu.avx512) {
    loops.push_back({Arithmetic::kFp32, "vfmadd231ps, 512 bits", 24 * 2 * 16, Fp32Avx512});
  } else if (cpu.avx2) {
    loops.push_back({Arithmetic::kFp32, "vfmadd231ps, 256 bits", 12 * 2 * 8, Fp32Avx2});
  }
  constexpr double kTile = 4 * 2 * 16 * 16;  // four products of 16 × 16 sums
  if (cpu.amx_bf16) {
    loops.push_back({Arithmetic::kBf16, "tdpbf16ps", kTile * 32, Bf16Amx});
  } else if (cpu.avx512_bf16) {
    loops.push_back({Arithmetic::kBf16, "vdpbf16ps, 512 bits", 24 * 2 * 32, Bf16Avx512});
  }
  if (cpu.amx_int8) {
    loops.push_back({Arithmetic::kInt8, "tdpbusd", kTile * 64, Int8Amx});
  } else if (cpu.avx512_vnni) {
    loops.push_back({Arithmetic::kInt8, "vpdpbusd, 512 bits", 24 * 2 * 64, Int8Avx512});
  } else if (cpu.avx2) {
    loops.push_back({Arithmetic::kInt8, "vpmaddubsw + vpmaddwd + vpaddd, 256 bits", 6 * 2 * 32, Int8Avx2});
  }
#endif
  return loops;
}

double MeasurePeak(const PeakLoop& loop, double seconds) {
  constexpr int64_t kTurns = 5000;  // tens of microseconds: a stolen core delays by that much
  const int64_t chunks = 32 * NumThreads();
  loop.run(kTurns);  // wide units need a moment to wake up
  int64_t done = 0;
  double spent = 0;
  const auto start = Clock::now();
  do {
    ParallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) loop.run(kTurns);
    });
    done += chunks * kTurns;
    spent = SecondsSince(start);
  } while (spent < seconds);
  return static_cast<double>(done) * loop.operations / spent;
}

}  // namespace tern
