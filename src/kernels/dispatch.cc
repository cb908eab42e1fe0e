// Chooses the table of kernels, and the parallel front of the products.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/log.h"
#include "base/parallel.h"
#include "kernels/ops.h"
#include "kernels/packing.h"
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

/// Rows [row0, row1) of a job.
struct Chunk {
  const MatMulJob* job;
  int64_t row0, row1;
};

/// The rows per chunk depend on the shapes alone. `bf16`: of rows of tokens that are multiplied in bf16.
int64_t RowsPerChunk(const MatMulJob& job, bool bf16) {
  const auto row_bytes =
      static_cast<int64_t>(RowBytes(job.w.dtype, static_cast<uint64_t>(job.w.cols)).value_or(1));
  if (job.w.layout == Layout::kColumns) {
    // One token reads whole groups, in long pieces; with many, arithmetic dominates and shorter chunks end together.
    return job.T == 1 ? ColumnGroupRows(job.w.dtype, job.w.rows) : kStripRows;
  }
  if (job.w.layout == Layout::kPacked) {
    // Every token makes the bytes take longer, up to where the chunk's weights should stay in the second-level cache
    // while all tiles pass them.
    const int64_t cost = row_bytes * std::clamp<int64_t>(job.T / 8, 1, 4);
    // Logits begin anywhere in a cache line: with a group to a chunk, two threads would write to each of them.
    const int64_t least = job.w.rows >= 8192 ? 4 * kGroupRows : kGroupRows;
    return std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(1, cost) / kGroupRows * kGroupRows, least, 1024);
  }
  if (bf16) return kBf16Rows;
  // With many tokens the arithmetic dominates: count it as well, so that chunks stay short in time.
  const int64_t cost = row_bytes * std::max<int64_t>(1, job.T / 4);
  // Every chunk reads all of x: with many tokens, it should be worth that, if there are rows enough to
  // share out.
  const int64_t least = job.T > 16 && job.w.rows >= 1024 ? 32 : 8;
  return std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(1, cost) / 8 * 8, least, 1024);
}

/// Whether a job's activations are quantised, and not taken as floats (layout kColumns has both).
bool TakesIntegers(const MatrixView& w) { return w.layout != Layout::kRows && Packable(w.dtype); }

/// Whether a job's rows `many` are multiplied in bf16 at this level.
bool TakesBf16(const KernelTable& kernels, const MatMulJob& job) {
  return kernels.bf16_matmul != nullptr && !job.many.empty() && job.w.layout != Layout::kPacked &&
         (job.w.dtype == DType::kF16 || job.w.dtype == DType::kBF16);
}

/// The activations of the jobs in one call, but for those that plain rows of weights take as they are: cut into tiles, and
/// quantised for quantised weights or narrowed for products in bf16. Keeps its memory.
class PackedInputs {
 public:
  void Quantise(const KernelTable& kernels, std::span<const MatMulJob> jobs) {
    tiles_.clear();
    first_tile_.clear();
    plain_.clear();
    first_plain_.clear();
    jobs_ = jobs;
    Plan(kernels);
    int64_t floats = 0;
    for (const PackedTile& tile : tiles_) floats += tile.tokens * tile.w.cols;
    const auto quantise = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) FillTile(kernels, sources_[static_cast<size_t>(i)]);
    };
    if (floats >= kWorthSharing) {
      ParallelFor(static_cast<int64_t>(sources_.size()), 1, quantise);
    } else {
      quantise(0, static_cast<int64_t>(sources_.size()));
    }
    for (const MatMulJob& job : jobs) {
      if (job.w.layout == Layout::kColumns && job.T == 1 && job.reads != nullptr) {
        CountReads(TilesOf(job).front(), *job.reads);
      }
    }
  }

  std::span<const PackedTile> TilesOf(const MatMulJob& job) const {
    const size_t index = IndexOf(job);
    return std::span(tiles_).subspan(first_tile_[index], first_tile_[index + 1] - first_tile_[index]);
  }
  /// The parts of a job with plain rows of weights that take its activations as they are.
  std::span<const MatMulJob> PlainParts(const MatMulJob& job) const {
    const size_t index = IndexOf(job);
    return std::span(plain_).subspan(first_plain_[index], first_plain_[index + 1] - first_plain_[index]);
  }

 private:
  /// Activations from which on quantising is worth a parallel region (about 5 µs on one thread).
  static constexpr int64_t kWorthSharing = 16384;

  struct Source {
    const float* x;
    int64_t x_stride;
    size_t tile;
  };

  size_t IndexOf(const MatMulJob& job) const { return static_cast<size_t>(&job - jobs_.data()); }

  void Plan(const KernelTable& kernels) {
    sources_.clear();
    bytes_ = 0;
    for (const MatMulJob& job : jobs_) {
      first_tile_.push_back(tiles_.size());
      first_plain_.push_back(plain_.size());
      int64_t t = 0;
      if (TakesBf16(kernels, job)) {
        for (const RowRange& range : job.many) {
          PlanRows(job, t, range.begin);
          CutIntoTiles(job, range.begin, range.end, kMostBf16Tokens, true);
          t = range.end;
        }
      }
      PlanRows(job, t, job.T);
    }
    first_tile_.push_back(tiles_.size());
    first_plain_.push_back(plain_.size());
    if (buffer_.size() < bytes_ + kAlignment) buffer_.resize(bytes_ + kAlignment);
    std::byte* start = buffer_.data() + (kAlignment - reinterpret_cast<uintptr_t>(buffer_.data()) % kAlignment);
    for (PackedTile& tile : tiles_) tile.x = start + reinterpret_cast<uintptr_t>(tile.x);
  }

  /// Rows [begin, end) of x that are not multiplied in bf16.
  void PlanRows(const MatMulJob& job, int64_t begin, int64_t end) {
    if (begin >= end) return;
    if (job.w.layout == Layout::kRows) {
      plain_.push_back(job);
      plain_.back().x += begin * job.x_stride;
      plain_.back().y += begin * job.y_stride;
      plain_.back().T = end - begin;
    } else {
      CutIntoTiles(job, begin, end, TakesIntegers(job.w) ? kMostTileTokens : kMostColumnTileTokens, false);
    }
  }

  /// Tiles of nearly equal size.
  void CutIntoTiles(const MatMulJob& job, int64_t begin, int64_t end, int64_t most, bool bf16) {
    const int64_t tokens = end - begin, count = (tokens + most - 1) / most;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t t0 = begin + tokens * i / count, t1 = begin + tokens * (i + 1) / count;
      sources_.push_back({job.x + t0 * job.x_stride, job.x_stride, tiles_.size()});
      tiles_.push_back({.w = job.w,
                        .x = reinterpret_cast<const std::byte*>(bytes_),  // an offset until all sizes are known
                        .tokens = static_cast<int>(t1 - t0),
                        .y = job.y + t0 * job.y_stride,
                        .y_stride = job.y_stride,
                        .scale = job.scale,
                        .bf16 = bf16,
                        .fetch = i == 0});
      bytes_ += (TileBytes(tiles_.back()) + kAlignment - 1) / kAlignment * kAlignment;
    }
  }

  static size_t TileBytes(const PackedTile& tile) {
    const auto bf16 = static_cast<size_t>(Bf16TileTokens(tile.tokens) * ((tile.w.cols + 1) / 2) * 4);
    const auto floats = static_cast<size_t>(ColumnTileTokens(tile.tokens) * tile.w.cols) * sizeof(float);
    if (tile.bf16) return tile.w.layout == Layout::kColumns ? std::max(bf16, floats) : bf16;  // see FillTile
    if (!TakesIntegers(tile.w)) return floats;
    return static_cast<size_t>(TileTokens(tile.tokens) * kTokenBlockBytes * (tile.w.cols / kPackedBlock));
  }

  void FillTile(const KernelTable& kernels, const Source& source) {
    PackedTile& tile = tiles_[source.tile];
    if (tile.bf16 && tile.w.layout == Layout::kColumns) {
      // Mostly zeros: fewer columns in fp32 are less than all of them in bf16.
      tile.nonzeros = CountNonZeros(source, tile);
      tile.bf16 = !TokenByToken(tile);
    }
    if (tile.bf16) {
      kernels.bf16_tile(source.x, source.x_stride, tile.w.cols, tile.tokens, const_cast<std::byte*>(tile.x));
      return;
    }
    if (TakesIntegers(tile.w)) {
      QuantiseTile(kernels, source);
    } else {
      TransposeTile(source);
    }
    if (tile.w.layout == Layout::kColumns) tile.nonzeros = kernels::CountNonZeros(tile);
  }

  static int64_t CountNonZeros(const Source& source, const PackedTile& tile) {
    int64_t count = 0;
    for (int64_t t = 0; t < tile.tokens; ++t) {
      const float* x = source.x + t * source.x_stride;
      count += std::count_if(x, x + tile.w.cols, [](float value) { return value != 0; });
    }
    return count;
  }

  /// [tokens, cols] → [cols][tokens], with zeros for tokens that aren't there.
  void TransposeTile(const Source& source) {
    constexpr int64_t kBlock = 64;
    const PackedTile& tile = tiles_[source.tile];
    const int64_t T = ColumnTileTokens(tile.tokens), cols = tile.w.cols;
    auto* to = reinterpret_cast<float*>(const_cast<std::byte*>(tile.x));
    if (T > tile.tokens) std::fill_n(to, T * cols, 0.0f);
    for (int64_t i0 = 0; i0 < cols; i0 += kBlock) {
      const int64_t i1 = std::min(cols, i0 + kBlock);
      for (int64_t t = 0; t < tile.tokens; ++t) {
        const float* x = source.x + t * source.x_stride;
        for (int64_t i = i0; i < i1; ++i) to[i * T + t] = x[i];
      }
    }
  }

  void QuantiseTile(const KernelTable& kernels, const Source& source) {
    const PackedTile& tile = tiles_[source.tile];
    auto* x = const_cast<std::byte*>(tile.x);
    const int T = TileTokens(tile.tokens);
    if (T > tile.tokens) std::memset(x, 0, TileBytes(tile));
    for (int t = 0; t < tile.tokens; ++t) {
      kernels.quantise_token(source.x + t * source.x_stride, tile.w.cols, x, T, t);
    }
  }

  static constexpr size_t kAlignment = 64;
  std::span<const MatMulJob> jobs_;
  std::vector<PackedTile> tiles_;
  std::vector<size_t> first_tile_;  ///< per job, and the end
  std::vector<MatMulJob> plain_;
  std::vector<size_t> first_plain_;
  std::vector<Source> sources_;
  std::vector<std::byte> buffer_;
  size_t bytes_ = 0;                ///< of it that tiles take
};

/// One list of chunks over all jobs.
void CutIntoChunks(std::span<const MatMulJob> jobs, const KernelTable& kernels, std::vector<Chunk>& chunks) {
  chunks.clear();
  for (const MatMulJob& job : jobs) {
    const int64_t rows = RowsPerChunk(job, TakesBf16(kernels, job));
    for (int64_t row = 0; row < job.w.rows; row += rows)
      chunks.push_back({&job, row, std::min(job.w.rows, row + rows)});
  }
}

/// Tiles of one matrix in layout kColumns or kRows, some of which may hold bf16.
void MultiplyTiles(const KernelTable& kernels, std::span<const PackedTile> tiles, int64_t row0, int64_t row1) {
  for (size_t begin = 0, end; begin < tiles.size(); begin = end) {
    for (end = begin + 1; end < tiles.size() && tiles[end].bf16 == tiles[begin].bf16;) ++end;
    const auto count = static_cast<int64_t>(end - begin);
    if (tiles[begin].bf16) {
      kernels.bf16_matmul(&tiles[begin], count, row0, row1);
    } else {
      kernels.column_matmul(&tiles[begin], count, row0 / kStripRows, (row1 + kStripRows - 1) / kStripRows);
    }
  }
}

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
  thread_local PackedInputs inputs_of_thread;
  thread_local std::vector<Chunk> chunks_of_thread;
  // A thread_local must not be named inside the other threads' code.
  PackedInputs& inputs = inputs_of_thread;
  inputs.Quantise(kernels, jobs);
  CutIntoChunks(jobs, kernels, chunks_of_thread);
  const std::span<const Chunk> list = chunks_of_thread;
  ParallelFor(static_cast<int64_t>(list.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Chunk& c = list[static_cast<size_t>(i)];
      for (const MatMulJob& part : inputs.PlainParts(*c.job)) kernels.matmul(part, c.row0, c.row1);
      const std::span<const PackedTile> tiles = inputs.TilesOf(*c.job);
      if (c.job->w.layout != Layout::kPacked) {
        MultiplyTiles(kernels, tiles, c.row0, c.row1);
        continue;
      }
      for (const PackedTile& tile : tiles) {
        kernels.packed_matmul(tile, c.row0 / kGroupRows, (c.row1 + kGroupRows - 1) / kGroupRows);
      }
    }
  });
}

}  // namespace tern::kernels
