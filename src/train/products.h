// The matrix products of training: bf16 or fp32 through oneDNN, any number type by plain loops.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>

namespace tern::train {

enum class Precision {
  kF32,
  kBf16,  ///< operands rounded to bf16, sums in fp32
};

/// A row-major matrix that is read by products: `half` (bf16 bits) where it is given, `wide` else.
template <typename T>
struct Operand {
  const T* wide = nullptr;
  const uint16_t* half = nullptr;
};

/// One product C[m, n] (+)= A[m, k] · B[k, n], row-major and dense. A transposed operand is stored as the
/// other's shape says: transpose_a means a is stored [k, m].
template <typename T>
struct Product {
  int64_t m = 0, n = 0, k = 0;
  Operand<T> a = {}, b = {};
  bool transpose_a = false, transpose_b = false;
  T* c = nullptr;
  bool accumulate = false;  ///< add to c instead of setting it
};

/// What becomes of a product of bf16 operands.
enum class HalfProducts {
  kNative,  ///< the processor's bf16 instructions, where it has them
  kWiden,   ///< operands converted to fp32 first (exact): other processors, and tests of that path
};

/// Runs products on all threads (ParallelFor; oneDNN itself is called with one thread per call, so that no
/// second pool of threads spins beside ours: OpenMP's number of threads is set to 1 in every thread that
/// comes here). The result depends on the shapes alone, not on the number of threads. Keeps oneDNN's compiled
/// kernels by shape. Operands of a float product may be bf16, of one alone too (then both are multiplied as
/// fp32). Not for concurrent calls on one object.
template <typename T>
class Products {
 public:
  explicit Products(HalfProducts half = HalfProducts::kNative);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  void Run(const Product<T>& product);

  /// Seconds spent in Run and multiply-adds × 2 done since the last reset: for the bench's account of a step.
  double seconds() const { return seconds_; }
  double flop() const { return flop_; }
  void ResetCounters() { seconds_ = flop_ = 0; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  double seconds_ = 0, flop_ = 0;
};

extern template class Products<float>;
extern template class Products<double>;
extern template class Products<std::complex<double>>;

}  // namespace tern::train
