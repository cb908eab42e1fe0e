#include "train/pass.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/random.h"

namespace tern::train {
namespace {

/// Rows per chunk at least, and chunks at most: enough of them for many threads, few enough for the partial sums.
constexpr int64_t kChunkRows = 64, kMaxChunks = 64;

int64_t RowsPerChunk(int64_t tokens) { return std::max(kChunkRows, (tokens + kMaxChunks - 1) / kMaxChunks); }

}  // namespace

template <typename T>
void Rows<T>::Commit(int64_t t, const T* row) const {
  if constexpr (std::is_same_v<T, float>) {
    if (half != nullptr) kernels::Optimizer().to_bf16(half + t * columns, row, columns);
  }
}

template <typename T>
void Rows<T>::Set(int64_t t, const T* row) const {
  if (wide != nullptr) std::copy(row, row + columns, wide + t * columns);
  Commit(t, row);
}

template <typename T>
Rows<T> Pass<T>::TakeOperand(int64_t columns, int64_t rows) {
  const int64_t n = (rows < 0 ? tokens : rows) * columns;
  if (options.precision == Precision::kBf16) return {nullptr, arena.template Take<uint16_t>(n), columns};
  return {Take(n), nullptr, columns};
}

template <typename T>
Operand<T> Pass<T>::Matrix(const Parameter* p) const {
  if (options.precision == Precision::kBf16) return {nullptr, call.parameters_bf16 + p->offset};
  return {Value(p), nullptr};
}

template <typename T>
void Pass<T>::Multiply(Rows<T> x, const Parameter* w, T* y, bool accumulate) {
  if (counting) return;
  const bool low_rank = w->role == Role::kLowRank;  // stored [in, out]
  products.Run({.m = tokens, .n = w->shape[low_rank ? 1 : 0], .k = x.columns, .a = x.operand(), .b = Matrix(w),
                .transpose_b = !low_rank, .c = y, .accumulate = accumulate});
}

template <typename T>
void Pass<T>::WeightGradient(Rows<T> dy, Rows<T> x, const Parameter* w) {
  if (counting) return;
  const bool low_rank = w->role == Role::kLowRank;
  const Rows<T>&left = low_rank ? x : dy, &right = low_rank ? dy : x;
  products.Run({.m = left.columns, .n = right.columns, .k = tokens, .a = left.operand(), .b = right.operand(),
                .transpose_a = true, .c = Gradient(w), .accumulate = true});
}

template <typename T>
void Pass<T>::InputGradient(Rows<T> dy, const Parameter* w, T* dx, bool accumulate) {
  if (counting) return;
  const bool low_rank = w->role == Role::kLowRank;
  products.Run({.m = tokens, .n = w->shape[low_rank ? 0 : 1], .k = dy.columns, .a = dy.operand(), .b = Matrix(w),
                .transpose_b = low_rank, .c = dx, .accumulate = accumulate});
}

template <typename T>
int64_t Pass<T>::chunks() const {
  const int64_t rows = RowsPerChunk(tokens);
  return (tokens + rows - 1) / rows;
}

template <typename T>
void Pass<T>::ForRows(FunctionRef<void(int64_t, int64_t, int64_t)> fn) const {
  if (counting) return;
  const int64_t rows = RowsPerChunk(tokens);
  ParallelFor(chunks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) fn(c, c * rows, std::min(tokens, (c + 1) * rows));
  });
}

template <typename T>
void Pass<T>::ForSegments(int64_t parts, FunctionRef<void(int64_t, int64_t)> fn) const {
  if (counting) return;
  ParallelFor(static_cast<int64_t>(segments.size()) * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) fn(i / parts, i % parts);
  });
}

template <typename T>
void Pass<T>::CheckFinite(const T* x, int64_t columns, const std::string& where) const {
  if (counting || non_finite == nullptr || !non_finite->empty()) return;
  for (int64_t i = 0; i < tokens * columns; ++i) {
    if (std::isfinite(std::abs(x[i]))) continue;
    *non_finite = where;
    return;
  }
}

template <typename T>
VectorGradients<T>::VectorGradients(Pass<T>& pass, int64_t layer) : pass_(pass) {
  const ParameterLayout::Range range = pass.layout.VectorRange(layer);
  begin_ = range.begin;
  size_ = range.end - range.begin;
  partial_ = pass.Take(pass.chunks() * size_);
  if (!pass.counting) std::fill(partial_, partial_ + pass.chunks() * size_, T(0));
}

template <typename T>
void VectorGradients<T>::Flush() {
  if (pass_.counting) return;
  T* gradient = pass_.call.gradients.data() + begin_;
  for (int64_t c = 0; c < pass_.chunks(); ++c) pass_.kernel.add(gradient, partial_ + c * size_, size_);
}

template <typename T>
void Dropout(const Pass<T>& pass, int64_t site, int64_t t, T* row, int64_t n) {
  const double p = pass.options.dropout;
  if (p <= 0) return;
  const auto limit = static_cast<uint64_t>(p * 4294967296.0);
  const T keep = T(1 / (1 - p));
  const uint64_t key =
      Mix64(pass.call.dropout_seed + Mix64(static_cast<uint64_t>(site) << 40 | static_cast<uint64_t>(t)));
  for (int64_t i = 0; i < n; ++i)
    row[i] = (Mix64(key + static_cast<uint64_t>(i)) >> 32) < limit ? T(0) : row[i] * keep;
}

#define TERN_INSTANTIATE(T)        \
  template struct Rows<T>;         \
  template struct Pass<T>;         \
  template class VectorGradients<T>; \
  template void Dropout<T>(const Pass<T>&, int64_t, int64_t, T*, int64_t);
TERN_INSTANTIATE(float)
TERN_INSTANTIATE(double)
TERN_INSTANTIATE(std::complex<double>)
#undef TERN_INSTANTIATE

}  // namespace tern::train
