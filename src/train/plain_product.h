// A matrix product by plain loops: for number types that no library multiplies.
#pragma once

#include <bit>
#include <complex>
#include <cstdint>

#include "train/products.h"

namespace tern::train {

/// One block of a product: rows [row, row + rows) and columns [column, column + columns) of C.
struct ProductBlock {
  int64_t row, column, rows, columns;
};

/// The widened value of bf16 bits.
inline float FromHalf(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <typename T>
T Element(const Operand<T>& operand, int64_t index) {
  if (operand.half != nullptr) return static_cast<T>(FromHalf(operand.half[index]));
  return operand.wide[index];
}

/// x += a·b. (std::complex's own product looks for infinities in a call of its own.)
template <typename T>
void MultiplyAdd(T& x, T a, T b) {
  x += a * b;
}
inline void MultiplyAdd(std::complex<double>& x, std::complex<double> a, std::complex<double> b) {
  x += std::complex<double>(a.real() * b.real() - a.imag() * b.imag(),
                            a.real() * b.imag() + a.imag() * b.real());
}

/// The block of C, each element summed over k in ascending order.
template <typename T>
void PlainProduct(const Product<T>& product, const ProductBlock& block) {
  const auto& [m, n, k, a, b, transpose_a, transpose_b, c, accumulate] = product;
  for (int64_t i = block.row; i < block.row + block.rows; ++i) {
    T* const row = c + i * n;
    const int64_t end = block.column + block.columns;
    if (!accumulate) {
      for (int64_t j = block.column; j < end; ++j) row[j] = T(0);
    }
    for (int64_t p = 0; p < k; ++p) {
      const T x = Element(a, transpose_a ? p * m + i : i * k + p);
      for (int64_t j = block.column; j < end; ++j)
        MultiplyAdd(row[j], x, Element(b, transpose_b ? j * k + p : p * n + j));
    }
  }
}

}  // namespace tern::train
