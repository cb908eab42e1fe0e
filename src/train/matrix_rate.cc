#include "train/matrix_rate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <dnnl.hpp>
#include <map>
#include <thread>
#include <tuple>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/training.h"
#include "train/onednn.h"

namespace tern::train {
namespace {

/// Small numbers in memory for one matrix, as fp32 or bf16.
PageBuffer Filled(int64_t elements, bool half) {
  PageBuffer buffer(static_cast<size_t>(elements) * (half ? sizeof(uint16_t) : sizeof(float)));
  if (buffer.data() == nullptr) return buffer;
  for (int64_t i = 0; i < elements; ++i) {
    const float value = 0.01f * static_cast<float>(i % 17 - 8);
    if (half) {
      kernels::Optimizer().to_bf16(reinterpret_cast<uint16_t*>(buffer.data()) + i, &value, 1);
    } else {
      reinterpret_cast<float*>(buffer.data())[i] = value;
    }
  }
  return buffer;
}

dnnl::memory::desc Describe(int64_t rows, int64_t columns, bool transposed, dnnl::memory::data_type type) {
  return {{rows, columns}, type, transposed ? dnnl::memory::dims{1, rows} : dnnl::memory::dims{columns, 1}};
}

/// FLOP per second of the fastest of the calls that fit into `seconds`, three at least.
double Measure(const StepProduct& p, bool half, double seconds) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = half ? memory::data_type::bf16 : memory::data_type::f32;
  const auto a = Describe(p.m, p.k, p.transpose_a, type), b = Describe(p.k, p.n, p.transpose_b, type);
  const auto c = Describe(p.m, p.n, false, memory::data_type::f32);
  const dnnl::matmul matmul(dnnl::matmul::primitive_desc({a, b, c}, engine));
  const PageBuffer a_values = Filled(p.m * p.k, half), b_values = Filled(p.k * p.n, half),
                   c_values = Filled(p.m * p.n, false);
  if (a_values.data() == nullptr || b_values.data() == nullptr || c_values.data() == nullptr) return 0;
  const std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, memory(a, engine, a_values.data())},
                                                     {DNNL_ARG_WEIGHTS, memory(b, engine, b_values.data())},
                                                     {DNNL_ARG_DST, memory(c, engine, c_values.data())}};
  double best = 1e300, spent = 0;
  for (int calls = 0; calls < 3 || spent < seconds; ++calls) {
    const auto start = std::chrono::steady_clock::now();
    matmul.execute(stream, arguments);
    stream.wait();
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, took);
    spent += took;
  }
  return p.flop() / best;
}

}  // namespace

std::vector<StepProduct> StepProducts(const ParameterLayout& layout, int64_t tokens, int64_t head_rows) {
  using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool>;
  std::map<Key, int64_t> counts;
  for (const Parameter& p : layout.parameters()) {
    if (!p.is_matrix() || p.role == Role::kEmbedding) continue;
    const bool low_rank = p.role == Role::kLowRank;  // stored [in, out]
    const int64_t out = p.shape[low_rank ? 1 : 0], in = p.shape[low_rank ? 0 : 1];
    const int64_t rows = p.role == Role::kHead ? std::min(tokens, head_rows) : tokens;
    const int64_t times = p.role == Role::kHead ? (tokens + rows - 1) / rows : 1;
    counts[{rows, out, in, false, !low_rank}] += times;  // y = x·W
    counts[{rows, in, out, false, low_rank}] += times;   // dx = dy·W
    if (low_rank) {
      counts[{in, out, rows, true, false}] += times;  // dW = xᵀ·dy
    } else {
      counts[{out, in, rows, true, false}] += times;  // dW = dyᵀ·x
    }
  }
  std::vector<StepProduct> products;
  for (const auto& [key, count] : counts) {
    const auto& [m, n, k, transpose_a, transpose_b] = key;
    products.push_back({m, n, k, transpose_a, transpose_b, count});
  }
  return products;
}

StepProduct LargestProduct(const std::vector<StepProduct>& products) {
  return *std::max_element(products.begin(), products.end(),
                           [](const StepProduct& x, const StepProduct& y) { return x.flop() < y.flop(); });
}

double MeasureMatrixRate(const StepProduct& product, Precision precision, double seconds) {
  double rate = 0;
  PrepareOneDnn();
  std::thread thread([&] {  // of its own, so that nobody else's number of OpenMP threads changes
    UseOpenMpThreads(NumThreads());
    try {
      rate = Measure(product, precision == Precision::kBf16 && OneDnnHasBf16(), seconds);
    } catch (const std::exception&) {
      rate = 0;  // a shape that oneDNN does not take
    }
  });
  thread.join();
  return rate;
}

double StepFlop(const ParameterLayout& layout, int64_t tokens) {
  return 6.0 * static_cast<double>(layout.matrix_count()) * static_cast<double>(tokens);
}

}  // namespace tern::train
