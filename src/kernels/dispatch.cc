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

/// Rows [row0, row1) of a job; where it is shared out by segments of columns, of one of these.
struct Chunk {
  const MatMulJob* job;
  int64_t row0, row1;
  int segment = -1;
};

/// Whether the threads share out the columns of the weights.
bool BySegments(const MatMulJob& job) { return job.T == 1 && job.w.layout == Layout::kColumns; }

/// Strips for a chunk out of `pieces` times those of a matrix: long runs of memory, but something for each thread.
int64_t StripsPerChunk(const MatrixView& w, int64_t pieces, int64_t most) {
  const int64_t strips = ColumnRows(w.rows) / kStripRows, threads = NumThreads();
  return std::clamp<int64_t>((strips * pieces + threads - 1) / threads, 1, most);
}

/// The rows per chunk. No result depends on them. `bf16`: what multiplies some of the tokens in bf16, if anything does.
int64_t RowsPerChunk(const MatMulJob& job, const Bf16Products* bf16) {
  const auto row_bytes =
      static_cast<int64_t>(RowBytes(job.w.dtype, static_cast<uint64_t>(job.w.cols)).value_or(1));
  if (job.w.layout == Layout::kColumns) {
    return StripsPerChunk(job.w, 1, StripsTogether(job.T)) * kStripRows;
  }
  // Rows that share what is read of x, as far as there are enough of them for many threads.
  if (bf16 != nullptr) return std::clamp(job.w.rows / 32 / kBf16Rows * kBf16Rows, kBf16Rows, bf16->most_rows);
  if (job.w.layout == Layout::kPacked) {
    // Every token makes the bytes take longer, up to where the chunk's weights should stay in the second-level cache
    // while all tiles pass them.
    const int64_t cost = row_bytes * std::clamp<int64_t>(job.T / 8, 1, 4);
    // Logits begin anywhere in a cache line: with a group to a chunk, two threads would write to each of them.
    const int64_t least = job.w.rows >= 8192 ? 4 * kGroupRows : kGroupRows;
    return std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(1, cost) / kGroupRows * kGroupRows, least, 1024);
  }
  // With many tokens the arithmetic dominates: count it as well, so that chunks stay short in time.
  const int64_t cost = row_bytes * std::max<int64_t>(1, job.T / 4);
  // Every chunk reads all of x: with many tokens, it should be worth that, if there are rows enough to
  // share out.
  const int64_t least = job.T > 16 && job.w.rows >= 1024 ? 32 : 8;
  return std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(1, cost) / 8 * 8, least, 1024);
}

/// Whether a job's activations are quantised, and not taken as floats (layout kColumns has both).
bool TakesIntegers(const MatrixView& w) { return w.layout != Layout::kRows && Packable(w.dtype); }

/// Whether rows of a sequence with so many tokens are multiplied in bf16.
bool TakesBf16(const Bf16Products* bf16, const MatrixView& w, int64_t tokens) {
  if (bf16 == nullptr) return false;
  if (TakesIntegers(w)) return bf16->least_quantised != 0 && tokens >= bf16->least_quantised;
  return w.dtype == DType::kF16 || w.dtype == DType::kBF16;
}
/// What multiplies some of a job's rows in bf16, or null.
const Bf16Products* Bf16Of(const KernelTable& kernels, const MatMulJob& job) {
  const bool any = std::any_of(job.many.begin(), job.many.end(), [&](const RowRange& range) {
    return TakesBf16(kernels.bf16, job.w, range.end - range.begin);
  });
  return any ? kernels.bf16 : nullptr;
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
    bf16_ = kernels.bf16;
    Plan();
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
  /// Where a job that is shared out by segments of columns gathers their sums: [segment][ColumnRows].
  float* SegmentSums(const MatMulJob& job) const { return segment_sums_[IndexOf(job)]; }
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

  void Plan() {
    sources_.clear();
    bytes_ = 0;
    size_t sums = 0;
    for (const MatMulJob& job : jobs_) {
      if (BySegments(job)) sums += static_cast<size_t>(kColumnSegments * ColumnRows(job.w.rows));
      first_tile_.push_back(tiles_.size());
      first_plain_.push_back(plain_.size());
      int64_t t = 0;
      for (const RowRange& range : job.many) {
        if (!TakesBf16(bf16_, job.w, range.end - range.begin)) continue;
        PlanRows(job, t, range.begin);
        CutIntoTiles(job, range.begin, range.end, bf16_->most_tokens, true);
        t = range.end;
      }
      PlanRows(job, t, job.T);
    }
    first_tile_.push_back(tiles_.size());
    first_plain_.push_back(plain_.size());
    if (buffer_.size() < bytes_ + kAlignment) buffer_.resize(bytes_ + kAlignment);
    std::byte* start = buffer_.data() + (kAlignment - reinterpret_cast<uintptr_t>(buffer_.data()) % kAlignment);
    for (PackedTile& tile : tiles_) tile.x = start + reinterpret_cast<uintptr_t>(tile.x);
    if (sums_.size() < sums) sums_.resize(sums);
    segment_sums_.clear();
    for (float* next = sums_.data(); const MatMulJob& job : jobs_) {
      segment_sums_.push_back(next);
      if (BySegments(job)) next += kColumnSegments * ColumnRows(job.w.rows);
    }
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

  /// Of a tile in numbers of other kinds than bf16.
  static size_t ExactBytes(const PackedTile& tile) {
    if (!TakesIntegers(tile.w)) return static_cast<size_t>(ColumnTileTokens(tile.tokens) * tile.w.cols) * sizeof(float);
    return static_cast<size_t>(TileTokens(tile.tokens) * kTokenBlockBytes * (tile.w.cols / kPackedBlock));
  }
  size_t TileBytes(const PackedTile& tile) const {
    if (!tile.bf16) return ExactBytes(tile);
    const auto bytes = static_cast<size_t>(bf16_->tile_bytes(tile.w.cols, tile.tokens));
    return tile.w.layout == Layout::kColumns ? std::max(bytes, ExactBytes(tile)) : bytes;  // see FillTile
  }

  void FillTile(const KernelTable& kernels, const Source& source) {
    PackedTile& tile = tiles_[source.tile];
    if (tile.bf16 && tile.w.layout == Layout::kColumns) {
      // Mostly zeros: each token's own columns are less than all of them in bf16. (TokenByToken says so too then.)
      tile.nonzeros = CountNonZeros(source, tile);
      tile.bf16 = tile.nonzeros * bf16_->sparse_cost > tile.w.cols;
    }
    if (tile.bf16) {
      bf16_->tile(source.x, source.x_stride, tile.w.cols, tile.tokens, const_cast<std::byte*>(tile.x));
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
    if (T > tile.tokens) std::memset(x, 0, ExactBytes(tile));
    for (int t = 0; t < tile.tokens; ++t) {
      kernels.quantise_token(source.x + t * source.x_stride, tile.w.cols, x, T, t);
    }
  }

  static constexpr size_t kAlignment = 64;
  std::span<const MatMulJob> jobs_;
  const Bf16Products* bf16_ = nullptr;
  std::vector<PackedTile> tiles_;
  std::vector<size_t> first_tile_;  ///< per job, and the end
  std::vector<MatMulJob> plain_;
  std::vector<size_t> first_plain_;
  std::vector<Source> sources_;
  std::vector<std::byte> buffer_;
  size_t bytes_ = 0;                ///< of it that tiles take
  std::vector<float> sums_;
  std::vector<float*> segment_sums_;  ///< per job, in sums_
};

void CutIntoSegments(const MatMulJob& job, std::vector<Chunk>& chunks) {
  const int64_t rows = StripsPerChunk(job.w, kColumnSegments, kMostStrips) * kStripRows;
  for (int segment = 0; segment < kColumnSegments; ++segment) {
    if (segment > 0 && SegmentBegin(job.w.cols, segment) == job.w.cols) break;
    for (int64_t row = 0; row < job.w.rows; row += rows) {
      chunks.push_back({&job, row, std::min(job.w.rows, row + rows), segment});
    }
  }
}

/// One list of chunks over all jobs.
void CutIntoChunks(std::span<const MatMulJob> jobs, const KernelTable& kernels, std::vector<Chunk>& chunks) {
  chunks.clear();
  for (const MatMulJob& job : jobs) {
    if (BySegments(job)) {
      CutIntoSegments(job, chunks);
      continue;
    }
    const int64_t rows = RowsPerChunk(job, Bf16Of(kernels, job));
    for (int64_t row = 0; row < job.w.rows; row += rows)
      chunks.push_back({&job, row, std::min(job.w.rows, row + rows)});
  }
}

int64_t StripsOf(int64_t rows) { return (rows + kStripRows - 1) / kStripRows; }

/// Tiles of one matrix, some of which may hold bf16.
void MultiplyTiles(const KernelTable& kernels, std::span<const PackedTile> tiles, int64_t row0, int64_t row1) {
  for (size_t begin = 0, end; begin < tiles.size(); begin = end) {
    for (end = begin + 1; end < tiles.size() && tiles[end].bf16 == tiles[begin].bf16;) ++end;
    const auto count = static_cast<int64_t>(end - begin);
    if (tiles[begin].bf16) {
      kernels.bf16->matmul(&tiles[begin], count, row0, row1);
    } else if (tiles[begin].w.layout == Layout::kPacked) {
      for (const PackedTile& tile : tiles.subspan(begin, end - begin)) {
        kernels.packed_matmul(tile, row0 / kGroupRows, (row1 + kGroupRows - 1) / kGroupRows);
      }
    } else {
      kernels.column_matmul(&tiles[begin], count, row0 / kStripRows, StripsOf(row1));
    }
  }
}

void MultiplyChunk(const KernelTable& kernels, const PackedInputs& inputs, const Chunk& c) {
  if (c.segment >= 0) {
    kernels.column_segment(inputs.TilesOf(*c.job).front(), c.segment, c.row0 / kStripRows, StripsOf(c.row1),
                           inputs.SegmentSums(*c.job) + c.segment * ColumnRows(c.job->w.rows) + c.row0);
    return;
  }
  for (const MatMulJob& part : inputs.PlainParts(*c.job)) kernels.matmul(part, c.row0, c.row1);
  MultiplyTiles(kernels, inputs.TilesOf(*c.job), c.row0, c.row1);
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
    case Level::kAmx:
      return cpu.amx_bf16 && cpu.avx512_bf16 && cpu.avx512_vnni ? &AmxTable() : nullptr;
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
  UseTable(*table);
  return OkStatus();
}

void UseTable(const KernelTable& table) { g_table.store(&table, std::memory_order_release); }

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
      MultiplyChunk(kernels, inputs, list[static_cast<size_t>(i)]);
    }
  });
  for (const MatMulJob& job : jobs) {
    if (BySegments(job)) kernels.add_segments(inputs.TilesOf(job).front(), inputs.SegmentSums(job));
  }
}

}  // namespace tern::kernels
