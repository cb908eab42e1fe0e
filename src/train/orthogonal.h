// Random matrices with orthonormal rows or columns.
#pragma once

#include <cstdint>
#include <span>

#include "train/products.h"

namespace tern::train {

/// Standard normal numbers, row by row from seeds of their own: the same for any number of threads.
void FillNormal(uint64_t seed, int64_t rows, int64_t columns, std::span<float> values);

/// Replaces `count` vectors of `length` (rows, contiguous; count ≤ length) by the orthonormal ones that Gram
/// and Schmidt make of them: the Q of a QR decomposition whose R has a positive diagonal. Linearly
/// independent vectors only, as random ones are. Inner products of the results are within about 1e-6 of 0
/// or 1.
void Orthonormalise(Products<float>& products, std::span<float> vectors, int64_t count, int64_t length);

/// A random [rows, columns] matrix, uniformly distributed over those whose rows (or, when it is taller than
/// wide, columns) are orthogonal and of length `gain`.
void FillOrthogonal(Products<float>& products, uint64_t seed, double gain, int64_t rows, int64_t columns,
                    std::span<float> values);

}  // namespace tern::train
