#include "train/orthogonal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"

namespace tern::train {
namespace {

/// Vectors that are treated one by one; more are halved.
constexpr int64_t kLeaf = 8;

/// In double, and in eight sums: a single one would wait for each addition.
double Dot(const float* x, const float* y, int64_t n) {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t j = 0; j < 8; ++j)
      sums[static_cast<size_t>(j)] += static_cast<double>(x[i + j]) * static_cast<double>(y[i + j]);
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

void OrthonormaliseFew(float* vectors, int64_t count, int64_t length) {
  for (int64_t i = 0; i < count; ++i) {
    float* const x = vectors + i * length;
    for (int64_t j = 0; j < i; ++j) {
      const float* const q = vectors + j * length;
      const auto along = static_cast<float>(Dot(x, q, length));
      for (int64_t n = 0; n < length; ++n) x[n] -= along * q[n];
    }
    const auto scale = static_cast<float>(1 / std::sqrt(Dot(x, x, length)));
    for (int64_t n = 0; n < length; ++n) x[n] *= scale;
  }
}

/// One pass of Gram and Schmidt, halves before wholes, so that nearly all work is in large products.
class GramSchmidtPass {
 public:
  GramSchmidtPass(Products<float>& products, int64_t length) : products_(products), length_(length) {}

  void Run(float* vectors, int64_t count) {
    if (count <= kLeaf) return OrthonormaliseFew(vectors, count, length_);
    const int64_t half = count / 2;
    float* const rest = vectors + half * length_;
    Run(vectors, half);
    Project(rest, count - half, vectors, half);
    Run(rest, count - half);
  }

 private:
  /// Takes from x what lies along the orthonormal q: x −= (x qᵀ) q.
  void Project(float* x, int64_t count, const float* q, int64_t basis) {
    along_.resize(static_cast<size_t>(count * basis));
    products_.Run({.m = count,
                   .n = basis,
                   .k = length_,
                   .a = {.wide = x},
                   .b = {.wide = q},
                   .transpose_b = true,
                   .c = along_.data()});
    for (float& value : along_) value = -value;
    products_.Run({.m = count,
                   .n = length_,
                   .k = basis,
                   .a = {.wide = along_.data()},
                   .b = {.wide = q},
                   .c = x,
                   .accumulate = true});
  }

  Products<float>& products_;
  int64_t length_;
  std::vector<float> along_;
};

/// to[columns, rows] = scale · the transpose of from[rows, columns].
void Transpose(const float* from, int64_t rows, int64_t columns, float scale, float* to) {
  constexpr int64_t kTile = 32;
  ParallelFor(columns, kTile, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; row += kTile) {
      const int64_t last = std::min(rows, row + kTile);
      for (int64_t j = begin; j < end; ++j) {
        for (int64_t i = row; i < last; ++i) to[j * rows + i] = scale * from[i * columns + j];
      }
    }
  });
}

}  // namespace

void FillNormal(uint64_t seed, int64_t rows, int64_t columns, std::span<float> values) {
  std::vector<uint64_t> seeds(static_cast<size_t>(rows));
  Random source(seed);
  for (uint64_t& row_seed : seeds) row_seed = source.NextU64();
  ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Random random(seeds[static_cast<size_t>(row)]);
      float* const out = values.data() + row * columns;
      // Box and Muller's pair.
      for (int64_t i = 0; i < columns; i += 2) {
        const double radius = std::sqrt(-2 * std::log(1 - random.Uniform()));
        const double angle = 2 * std::numbers::pi * random.Uniform();
        out[i] = static_cast<float>(radius * std::cos(angle));
        if (i + 1 < columns) out[i + 1] = static_cast<float>(radius * std::sin(angle));
      }
    }
  });
}

void Orthonormalise(Products<float>& products, std::span<float> vectors, int64_t count, int64_t length) {
  // One pass leaves errors that grow with how nearly dependent the vectors are (a square random matrix: some
  // thousand times fp32's). The second starts from nearly orthonormal ones and leaves rounding errors alone.
  GramSchmidtPass pass(products, length);
  pass.Run(vectors.data(), count);
  pass.Run(vectors.data(), count);
}

void FillOrthogonal(Products<float>& products, uint64_t seed, double gain, int64_t rows, int64_t columns,
                    std::span<float> values) {
  const auto scale = static_cast<float>(gain);
  if (rows <= columns) {
    FillNormal(seed, rows, columns, values);
    Orthonormalise(products, values, rows, columns);
    for (float& value : values) value *= scale;
    return;
  }
  std::vector<float> vectors(values.size());
  FillNormal(seed, columns, rows, vectors);
  Orthonormalise(products, vectors, columns, rows);
  Transpose(vectors.data(), columns, rows, scale, values.data());
}

}  // namespace tern::train
