// Prints the table of docs/quantisation.md: what each quantised type does to random weights, and how fast.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <vector>

#include "base/random.h"
#include "tensor/quant.h"
#include "tests/tensor/round_to_nearest.h"

namespace {

using tern::DType;

double RelativeRmse(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - y[i];
    error += difference * difference;
    power += static_cast<double>(x[i]) * x[i];
  }
  return std::sqrt(error / power);
}

/// Processor time, so that other programs on the machine count as little as possible.
template <typename F>
double BestSeconds(int repeats, F work) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const std::clock_t start = std::clock();
    work();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

struct Row {
  double nearest[2], ours[2], quantise, dequantise;
};

Row Measure(DType type, const std::vector<float> (&data)[2]) {
  Row row{};
  for (int i = 0; i < 2; ++i) {
    const auto n = static_cast<int64_t>(data[i].size());
    std::vector<std::byte> bytes(*tern::RowBytes(type, data[i].size()));
    std::vector<float> back(data[i].size());
    row.quantise = BestSeconds(7, [&] { tern::QuantizeRow(type, data[i].data(), bytes.data(), n); });
    row.dequantise = BestSeconds(20, [&] { tern::DequantizeRow(type, bytes.data(), back.data(), n); });
    row.ours[i] = RelativeRmse(data[i], back);
    row.nearest[i] = RelativeRmse(data[i], tern::testing::RoundToNearest(type, data[i]));
  }
  const auto n = static_cast<double>(data[0].size());
  row.quantise = n / row.quantise * 1e-6;
  row.dequantise = n / row.dequantise * 1e-9;
  return row;
}

}  // namespace

int main() {
  constexpr size_t kCount = 1 << 18;  // 1 MB of floats: the speed of computing, not of memory
  constexpr uint64_t kSeed = 1;
  tern::Random random(kSeed);
  std::vector<float> data[2];
  for (size_t i = 0; i < kCount; ++i) data[0].push_back(static_cast<float>(random.Normal()));
  for (size_t i = 0; i < kCount; ++i) {
    const double u = random.Uniform(-1, 1);
    data[1].push_back(static_cast<float>(std::copysign(std::log1p(-std::fabs(u)), u)));
  }
  fmt::print("{} weights, seed {}; errors are RMSE / RMS of the weights, in %\n", kCount, kSeed);
  fmt::print("                  gaussian                 laplacian              Mweights/s  Gweights/s\n");
  fmt::print("type   bits/w  nearest  ours   ratio   nearest  ours   ratio    quantise  dequantise\n");
  for (DType type : {DType::kQ8_0, DType::kQ5_1, DType::kQ5_0, DType::kQ4_1, DType::kQ4_0, DType::kQ6_K,
                     DType::kQ5_K, DType::kQ4_K}) {
    const Row r = Measure(type, data);
    const auto& t = tern::Traits(type);
    fmt::print("{:5} {:7.4f}   {:6.3f} {:6.3f}  {:.3f}    {:6.3f} {:6.3f}  {:.3f}    {:8.1f}  {:10.2f}\n",
               t.name, 8.0 * t.block_bytes / t.block, 100 * r.nearest[0], 100 * r.ours[0],
               r.ours[0] / r.nearest[0], 100 * r.nearest[1], 100 * r.ours[1], r.ours[1] / r.nearest[1],
               r.quantise, r.dequantise);
  }
  return 0;
}
