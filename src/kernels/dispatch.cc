// Chooses the table of kernels, and the parallel front of the products.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/log.h"
#include "base/parallel.h"
#include "kernels/ops.h"
#include "kernels/tables.h"

namespace tern::kernels {
namespace {

std::atomic<const KernelTable*> g_table{nullptr};

const KernelTable* Best() {
  for (Level level : {Level::kAmx, Level::kAvx512, Level::kAvx2}) {
    if (const KernelTable* table = KernelsOf(level)) return table;
  }
  return KernelsOf(Level::kRef);
}

const KernelTable* FromEnvironment() {
  const char* wanted = std::getenv("TERN_ISA");
  if (wanted == nullptr || *wanted == '\0') return Best();
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512, Level::kAmx}) {
    if (Name(level) != wanted) continue;
    if (const KernelTable* table = KernelsOf(level)) return table;
  }
  const KernelTable* best = Best();
  LogWarning("TERN_ISA={} is not available here; using {}", wanted, Name(best->level));
  return best;
}

/// Weight bytes per chunk: enough to hide the cost of taking one (about 100 ns), little enough that the
/// slowest thread finishes soon after the others.
constexpr int64_t kChunkBytes = 64 << 10;

}  // namespace

std::string_view Name(Level level) {
  switch (level) {
    case Level::kRef:
      return "ref";
    case Level::kAvx2:
      return "avx2";
    case Level::kAvx512:
      return "avx512";
    case Level::kAmx:
      return "amx";
  }
  return "?";
}

const KernelTable* KernelsOf(Level level) {
  [[maybe_unused]] const CpuFeatures& cpu = GetCpuFeatures();
  switch (level) {
    case Level::kRef:
      return &RefTable();
#if defined(TERN_X86)
    case Level::kAvx2:
      return cpu.avx2 ? &Avx2Table() : nullptr;
    case Level::kAvx512:
      return cpu.avx512 ? &Avx512Table() : nullptr;
#endif
    default:
      return nullptr;
  }
}

const KernelTable& Kernels() {
  const KernelTable* table = g_table.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = FromEnvironment();
    g_table.store(table, std::memory_order_release);
  }
  return *table;
}

Status UseLevel(Level level) {
  const KernelTable* table = KernelsOf(level);
  if (table == nullptr)
    return Unsupported(fmt::format("this processor or build has no {} kernels", Name(level)));
  g_table.store(table, std::memory_order_release);
  return OkStatus();
}

void MatMul(std::span<const MatMulJob> jobs) {
  const KernelTable& kernels = Kernels();
  // One list of chunks over all jobs. The rows per chunk depend on the shapes alone.
  struct Chunk {
    const MatMulJob* job;
    int64_t row0, row1;
  };
  thread_local std::vector<Chunk> chunks;
  chunks.clear();
  for (const MatMulJob& job : jobs) {
    const auto row_bytes =
        static_cast<int64_t>(RowBytes(job.w.dtype, static_cast<uint64_t>(job.w.cols)).value_or(1));
    // With many tokens the arithmetic dominates: count it as well, so that chunks stay short in time.
    const int64_t cost = row_bytes * std::max<int64_t>(1, job.T / 4);
    // Every chunk reads all of x: with many tokens, it should be worth that, if there are rows enough to
    // share out.
    const int64_t least = job.T > 16 && job.w.rows >= 1024 ? 32 : 8;
    const int64_t rows = std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(1, cost) / 8 * 8, least, 1024);
    for (int64_t row = 0; row < job.w.rows; row += rows)
      chunks.push_back({&job, row, std::min(job.w.rows, row + rows)});
  }
  const std::span<const Chunk> list =
      chunks;  // a thread_local must not be named inside the other threads' code
  ParallelFor(static_cast<int64_t>(list.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Chunk& c = list[static_cast<size_t>(i)];
      kernels.matmul(*c.job, c.row0, c.row1);
    }
  });
}

}  // namespace tern::kernels
