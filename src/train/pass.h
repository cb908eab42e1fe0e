// What the layers of a training graph share during one forward and backward pass.
// Shapes: T tokens (all segments of the batch, one after the other), C channels.
#pragma once

#include <complex>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "kernels/training.h"
#include "train/arena.h"
#include "train/batch.h"
#include "train/graph.h"

namespace tern::train {

/// A matrix [T, columns] that products will read: fp32 (or the wider number), or rounded to bf16.
template <typename T>
struct Rows {
  T* wide = nullptr;
  uint16_t* half = nullptr;
  int64_t columns = 0;

  Operand<T> operand(int64_t row0 = 0) const {
    return {wide == nullptr ? nullptr : wide + row0 * columns, half == nullptr ? nullptr : half + row0 * columns};
  }
  /// Where to write row t (n = columns): in place, or in `scratch` until Commit rounds it.
  T* Stage(int64_t t, T* scratch) const { return wide != nullptr ? wide + t * columns : scratch; }
  void Commit(int64_t t, const T* row) const;
  /// Both in one, for a row that stands somewhere already.
  void Set(int64_t t, const T* row) const;
};

template <typename T>
struct Pass {
  const ModelShape& shape;
  const ParameterLayout& layout;
  const GraphOptions& options;
  const kernels::TrainingTable<T>& kernel;
  Products<T>& products;
  Arena& arena;
  const GraphCall<T>& call;
  bool counting = false;               ///< only the arena's peak is wanted: nothing is computed
  bool forward_again = false;          ///< layers run forward once more before their backward: nothing is kept yet
  int64_t tokens = 0;                  ///< T
  std::span<const Segment> segments;
  std::vector<int32_t> starts_segment; ///< [T] the segment that token t starts, or −1
  std::vector<bool> last_of_stream;    ///< [segments]
  StreamStates<T>* before = nullptr;   ///< the states as the batch found them; nullptr when every segment resets
  T* v_first = nullptr;                ///< [T, A] RWKV-7: layer 0's values
  T* dv_first = nullptr;               ///< [T, A] their gradient from the layers above 0
  std::string* non_finite = nullptr;   ///< where given, the first place with NaN or infinity is noted

  T* Take(int64_t n) { return arena.template Take<T>(n); }
  T* TakeRows(int64_t columns) { return Take(tokens * columns); }
  Rows<T> TakeOperand(int64_t columns, int64_t rows = -1);

  const T* Value(const Parameter* p) const { return call.parameters.data() + p->offset; }
  T* Gradient(const Parameter* p) const { return call.gradients.data() + p->offset; }
  Operand<T> Matrix(const Parameter* p) const;
  bool backward() const { return !call.gradients.empty(); }
  /// Whether a backward will read what a layer keeps now.
  bool keeps() const { return backward() && !forward_again; }

  // --- Products, by what they are to a linear map y = x Wᵀ with W [out, in] (or, low-rank, y = x W with W [in, out]) ---
  void Multiply(Rows<T> x, const Parameter* w, T* y, bool accumulate = false);
  /// dW += dyᵀ x.
  void WeightGradient(Rows<T> dy, Rows<T> x, const Parameter* w);
  /// dx = dy W (or dy Wᵀ).
  void InputGradient(Rows<T> dy, const Parameter* w, T* dx, bool accumulate = false);

  /// Calls fn(chunk, begin, end) for pieces of [0, T) that depend on T alone: what is summed over rows is summed per
  /// chunk, and then in the order of the chunks, so that no bit depends on the number of threads.
  void ForRows(FunctionRef<void(int64_t chunk, int64_t begin, int64_t end)> fn) const;
  int64_t chunks() const;

  /// Calls fn(segment, part) for every segment and part < parts.
  void ForSegments(int64_t parts, FunctionRef<void(int64_t segment, int64_t part)> fn) const;
  /// Notes `where` if x [T, columns] is not finite and nothing was noted before.
  void CheckFinite(const T* x, int64_t columns, const std::string& where) const;
};

/// Gradients of a layer's norms and vectors, summed over rows: one partial sum per chunk of rows.
template <typename T>
class VectorGradients {
 public:
  VectorGradients(Pass<T>& pass, int64_t layer);
  /// The partial sum of chunk `chunk` for parameter p, to add to.
  T* At(int64_t chunk, const Parameter* p) const { return partial_ + chunk * size_ + (p->offset - begin_); }
  /// Adds the sums to the gradient.
  void Flush();

 private:
  Pass<T>& pass_;
  int64_t begin_, size_;
  T* partial_;
};

/// Multiplies row t of a sub-block's output by its dropout mask; nothing when dropout is off. The mask depends on seed,
/// site, token and channel alone, so that backward and recomputation see the same.
template <typename T>
void Dropout(const Pass<T>& pass, int64_t site, int64_t t, T* row, int64_t n);

}  // namespace tern::train
