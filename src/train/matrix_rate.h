// How fast this machine multiplies matrices of a model's shapes: what a training step is measured against.
#pragma once

#include <cstdint>
#include <vector>

#include "train/products.h"
#include "train/shape.h"

namespace tern::train {

/// A product of a training step, C[m, n] = A[m, k]·B[k, n], and how often it comes in one.
struct StepProduct {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t count = 0;
  double flop() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

/// The products of forward and backward over `tokens` tokens: three per matrix. The head is cut to
/// `head_rows` rows.
std::vector<StepProduct> StepProducts(const ParameterLayout& layout, int64_t tokens, int64_t head_rows);
/// The one with the most FLOP.
StepProduct LargestProduct(const std::vector<StepProduct>& products);

/// FLOP per second of oneDNN's own matrix product on all threads, the best of repeated calls that take about
/// `seconds` in all. 0 when oneDNN refuses the shape.
double MeasureMatrixRate(const StepProduct& product, Precision precision, double seconds);

/// 6 per matrix element and token: what a step is counted as.
double StepFlop(const ParameterLayout& layout, int64_t tokens);

}  // namespace tern::train
