// Speed of the kernels, level by level. Build with -DTERN_BENCH=ON and the release preset:
//   kernels_bench --benchmark_filter='matmul/avx512/f16'
// Arguments: matmul/LEVEL/TYPE/T (2048×2048, one thread), packed/, columns/, packed_memory/ and
// columns_memory/LEVEL/TYPE/T (256×2048, one thread, in the cache and not), bf16/TYPE/LEVEL/T, front/TYPE/T (MatMul on all
// threads),
// wkvG/LEVEL/N/T.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/ops.h"
#include "kernels/packing.h"
#include "tensor/quant.h"

namespace tern::kernels {
namespace {

using benchmark::Counter;
using benchmark::State;

std::vector<float> Normal(int64_t n, uint64_t seed = 1) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = static_cast<float>(random.Uniform(-1, 1));
  return values;
}

std::vector<float> Filled(int64_t n, float value) {
  return std::vector<float>(static_cast<size_t>(n), value);
}

/// What a core can do: independent reads of a buffer far larger than the caches, on all threads.
void ReadMemory(State& state) {
  SetNumThreads(static_cast<int>(state.range(0)));
  const std::vector<uint64_t> buffer((size_t{512} << 20) / 8, 3);
  for (auto _ : state) {
    ParallelFor(static_cast<int64_t>(buffer.size()), 1 << 17, [&](int64_t begin, int64_t end) {
      uint64_t x = 0;
      for (int64_t i = begin; i < end; ++i) x ^= buffer[static_cast<size_t>(i)];
      benchmark::DoNotOptimize(x);
    });
  }
  SetNumThreads(0);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(buffer.size() * 8));
}

struct Product {
  RowRange one_sequence;
  std::vector<std::byte> weights;
  std::vector<float> x, y;
  std::vector<MatMulJob>
      jobs;  ///< the same shape over `copies` matrices, so that a cache does not hold them all
};

std::unique_ptr<Product> MakeProduct(DType type, int64_t rows, int64_t cols, int64_t T, int64_t copies) {
  auto p = std::make_unique<Product>();
  const size_t row_bytes = RowBytes(type, static_cast<uint64_t>(cols)).value();
  p->weights.resize(row_bytes * static_cast<size_t>(rows * copies));
  const std::vector<float> row = Normal(cols);
  QuantizeRow(type, row.data(), p->weights.data(), cols);
  for (size_t at = row_bytes; at < p->weights.size(); at += row_bytes) {
    std::memcpy(p->weights.data() + at, p->weights.data(), row_bytes);
  }
  p->x = Normal(T * cols, 2);
  p->y.resize(static_cast<size_t>(T * rows));
  p->one_sequence = {0, T};
  for (int64_t c = 0; c < copies; ++c) {
    const std::byte* data = p->weights.data() + row_bytes * static_cast<size_t>(rows * c);
    p->jobs.push_back({{type, rows, cols, data}, p->x.data(), cols, p->y.data(), rows, T, 1.0f});
    if (T >= kManyTokens) p->jobs.back().many = {&p->one_sequence, 1};
  }
  return p;
}

void Report(State& state, const Product& p) {
  const MatMulJob& job = p.jobs.front();
  const double work = 2.0 * static_cast<double>(job.w.rows * job.w.cols * job.T);
  const double rounds = static_cast<double>(state.iterations()) * static_cast<double>(p.jobs.size());
  state.counters["FLOPS"] = Counter(work * rounds, Counter::kIsRate);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(p.weights.size()));
}

constexpr int64_t kSide = 2048;
/// Few tokens are bound by memory: as many matrices as no cache holds. Many are not: one.
int64_t Copies(int64_t T) { return T <= 16 ? 64 : 1; }

void MatMulKernel(State& state, const KernelTable& table, DType type) {
  const int64_t T = state.range(0);
  const auto p = MakeProduct(type, kSide, kSide, T, Copies(T));
  for (auto _ : state) {
    for (const MatMulJob& job : p->jobs) table.matmul(job, 0, job.w.rows);
  }
  Report(state, *p);
}

/// Weights of 256 × 2048 in another layout, `copies` matrices of them: one comes from the cache and shows what the
/// instructions can do, many come from memory. One tile of tokens, none of whose activations are zero.
struct LaidOut {
  const char* name;
  Layout layout;
  int64_t copies;
};
constexpr LaidOut kLaidOut[] = {{"packed", Layout::kPacked, 1},
                                {"columns", Layout::kColumns, 1},
                                {"packed_memory", Layout::kPacked, 256},
                                {"columns_memory", Layout::kColumns, 256}};

void LaidOutKernel(State& state, const KernelTable& table, DType type, const LaidOut& laid) {
  constexpr int64_t kRows = 256;
  const bool columns = laid.layout == Layout::kColumns;
  const auto T = static_cast<int>(state.range(0));
  const auto p = MakeProduct(type, kRows, kSide, T, 1);
  const auto bytes = static_cast<size_t>((columns ? ColumnBytes : PackedBytes)(type, kRows, kSide));
  PageBuffer weights(bytes * static_cast<size_t>(laid.copies));  // in huge pages, as a model's are
  (columns ? PackColumns : Pack)(p->jobs.front().w, 0,
                                  kRows / (columns ? kStripRows : kGroupRows), weights.data());
  for (size_t at = bytes; at < weights.size(); at += bytes) std::memcpy(weights.data() + at, weights.data(), bytes);
  std::vector<std::byte> x(static_cast<size_t>(TileTokens(T) * kTokenBlockBytes * kSide / kPackedBlock));
  for (int t = 0; t < T; ++t) table.quantise_token(p->x.data() + t * kSide, kSide, x.data(), TileTokens(T), t);
  PackedTile tile = {.w = p->jobs.front().w, .x = x.data(), .tokens = T, .y = p->y.data(), .y_stride = kRows,
                     .nonzeros = T * kSide, .fetch = laid.copies > 1};
  tile.w.layout = laid.layout;
  for (auto _ : state) {
    for (int64_t copy = 0; copy < laid.copies; ++copy) {
      tile.w.data = weights.data() + static_cast<size_t>(copy) * bytes;
      if (columns) {
        table.column_matmul(&tile, 1, 0, kRows / kStripRows);
      } else {
        table.packed_matmul(tile, 0, kRows / kGroupRows);
      }
    }
    benchmark::ClobberMemory();
  }
  const double products = static_cast<double>(kRows * kSide * T * laid.copies);
  state.counters["MACS"] = Counter(products, Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(weights.size()));
}

/// Many tokens of one sequence in bf16; quantised weights are packed.
void Bf16Kernel(State& state, const KernelTable& table, DType type) {
  const int64_t T = state.range(0), most = table.bf16->most_tokens, count = (T + most - 1) / most;
  const auto p = MakeProduct(type, kSide, kSide, T, 1);
  MatrixView w = p->jobs.front().w;
  std::vector<std::byte> packed(static_cast<size_t>(Packable(type) ? PackedBytes(type, kSide, kSide) : 0));
  if (Packable(type)) {
    Pack(w, 0, kSide / kGroupRows, packed.data());
    w.data = packed.data();
    w.layout = Layout::kPacked;
  }
  const auto bytes = static_cast<size_t>(table.bf16->tile_bytes(kSide, static_cast<int>(most)) + 63) / 64 * 64;
  std::vector<std::byte> x(bytes * static_cast<size_t>(count));
  std::vector<PackedTile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t t0 = T * i / count;
    const auto tokens = static_cast<int>(T * (i + 1) / count - t0);
    std::byte* at = x.data() + static_cast<size_t>(i) * bytes;
    table.bf16->tile(p->x.data() + t0 * kSide, kSide, kSide, tokens, at);
    tiles.push_back({.w = w, .x = at, .tokens = tokens, .y = p->y.data() + t0 * kSide, .y_stride = kSide, .bf16 = true});
  }
  for (auto _ : state) {
    table.bf16->matmul(tiles.data(), count, 0, kSide);
    benchmark::ClobberMemory();
  }
  state.counters["FLOPS"] = Counter(static_cast<double>(2 * kSide * kSide * T), Counter::kIsIterationInvariantRate);
}

void MatMulFront(State& state, DType type) {
  const int64_t T = state.range(0);
  const auto p = MakeProduct(type, kSide, kSide, T, Copies(T));
  for (auto _ : state) {
    for (const MatMulJob& job : p->jobs) MatMul({&job, 1});  // a region each, as in a model
  }
  Report(state, *p);
}

void Wkv4Kernel(State& state, const KernelTable& table) {
  const int64_t T = state.range(0), C = 1024;
  const auto w = Filled(C, -0.5f), u = Normal(C), k = Normal(T * C), v = Normal(T * C);
  auto y = Normal(T * C), a = Filled(C, 0), b = Filled(C, 0), p = Filled(C, -1e38f);
  for (auto _ : state) {
    table.wkv4({T, 0, C, w.data(), u.data(), k.data(), v.data(), y.data(), C, a.data(), b.data(), p.data()});
  }
  state.SetItemsProcessed(state.iterations() * T * C);
}

void Wkv6Kernel(State& state, const KernelTable& table) {
  const int64_t T = state.range(0), N = 64;
  const auto r = Normal(T * N), k = Normal(T * N), v = Normal(T * N), w = Filled(T * N, 0.9f), u = Normal(N);
  auto y = Normal(T * N), S = Normal(N * N);
  for (auto _ : state) {
    table.wkv6({T, N, r.data(), k.data(), v.data(), w.data(), N, N, u.data(), y.data(), S.data()});
  }
  state.SetItemsProcessed(state.iterations() * T * N * N);
}

void Wkv7Kernel(State& state, const KernelTable& table) {
  const int64_t T = state.range(0), N = 64;
  const auto r = Normal(T * N), w = Filled(T * N, 0.9f), k = Normal(T * N), v = Normal(T * N),
             a = Filled(T * N, 0.5f);
  const auto kk = Filled(T * N, 0.125f);
  auto y = Normal(T * N), S = Normal(N * N);
  for (auto _ : state) {
    table.wkv7({T, N, r.data(), w.data(), k.data(), v.data(), kk.data(), a.data(), N, y.data(), S.data()});
  }
  state.SetItemsProcessed(state.iterations() * T * N * N);
}

void UnaryKernel(State& state, void (*kernel)(float*, const float*, int64_t)) {
  const auto x = Normal(4096);
  auto y = x;
  for (auto _ : state) {
    kernel(y.data(), x.data(), 4096);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * 4096);
}

void LayerNormKernel(State& state, const KernelTable& table) {
  const auto x = Normal(4096), weight = Normal(4096), bias = Normal(4096);
  auto y = x;
  for (auto _ : state) {
    table.layer_norm(y.data(), x.data(), weight.data(), bias.data(), 4096, 1e-5f);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * 4096);
}

void RegisterLevel(const KernelTable& table) {
  const std::string level(Name(table.level));
  const auto add = [&](const std::string& name, auto&& function) {
    return benchmark::RegisterBenchmark((name + "/" + level).c_str(), function);
  };
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    auto* b = benchmark::RegisterBenchmark(("matmul/" + level + "/" + std::string(tern::Name(type))).c_str(),
                                           [&table, type](State& s) { MatMulKernel(s, table, type); });
    for (int64_t T : {1, 2, 4, 8, 16, 24, 32, 64, 512}) b->Arg(T);
  }
  for (const LaidOut& laid : kLaidOut) {
    for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_K, DType::kQ5_1, DType::kQ6_K}) {
      const std::string name = std::string(laid.name) + "/" + level + "/" + std::string(tern::Name(type));
      auto* b = benchmark::RegisterBenchmark(
          name.c_str(), [&table, &laid, type](State& s) { LaidOutKernel(s, table, type, laid); });
      for (int64_t T : {1, 4, 8, 16}) b->Arg(T);
    }
  }
  for (DType type : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    if (table.bf16 == nullptr || (Packable(type) && table.bf16->least_quantised == 0)) continue;
    auto* b = add("bf16/" + std::string(tern::Name(type)), [&table, type](State& s) { Bf16Kernel(s, table, type); });
    for (int64_t T : {24, 264, 512}) b->Arg(T);
  }
  add("wkv4", [&table](State& s) { Wkv4Kernel(s, table); })->Arg(1)->Arg(256);
  add("wkv6", [&table](State& s) { Wkv6Kernel(s, table); })->Arg(1)->Arg(256);
  add("wkv7", [&table](State& s) { Wkv7Kernel(s, table); })->Arg(1)->Arg(256);
  add("sigmoid", [&table](State& s) { UnaryKernel(s, table.sigmoid); });
  add("tanh", [&table](State& s) { UnaryKernel(s, table.tanh); });
  add("exp_neg_exp", [&table](State& s) { UnaryKernel(s, table.exp_neg_exp); });
  add("decay7", [&table](State& s) { UnaryKernel(s, table.decay7); });
  add("layer_norm", [&table](State& s) { LayerNormKernel(s, table); });
}

const bool g_registered = [] {
  benchmark::RegisterBenchmark("read_memory", ReadMemory)->Arg(1)->Arg(2)->UseRealTime();
  for (Level level : {Level::kRef, Level::kAvx2, Level::kAvx512, Level::kAmx}) {
    if (const KernelTable* table = KernelsOf(level)) RegisterLevel(*table);
  }
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    auto* b = benchmark::RegisterBenchmark(("front/" + std::string(tern::Name(type))).c_str(),
                                           [type](State& s) { MatMulFront(s, type); });
    for (int64_t T : {1, 2, 4, 8, 16, 64, 512}) b->Arg(T)->UseRealTime();
  }
  return true;
}();

}  // namespace
}  // namespace tern::kernels
