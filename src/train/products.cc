#include "train/products.h"

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <map>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/log.h"
#include "base/parallel.h"
#include "train/onednn.h"
#include "train/plain_product.h"

namespace tern::train {
namespace {

// How C is cut: into blocks small enough for threads to end together, large enough that packing the operands,
// which every block does for itself, stays below a few percent.
constexpr int64_t kRows = 256, kColumns = 1024;  ///< no block is larger
constexpr int64_t kBlocks = 8;                   ///< at least so many, down to kSmallest a side
constexpr int64_t kSmallest = 64;
/// Multiply-adds of a block that is not cut further (some 40 µs).
constexpr int64_t kSmallWork = 1 << 22;
/// Multiply-adds of a block that is cut as long as its longer side keeps kGoodSide.
constexpr int64_t kLargeWork = 1 << 28;
constexpr int64_t kGoodSide = 256;

/// A side of `length` in `pieces` equal parts, but for the last: multiples of 32 keep rows of vectors whole.
int64_t PieceLength(int64_t length, int64_t pieces) {
  const int64_t exact = (length + pieces - 1) / pieces;
  return std::min(length, (exact + 31) / 32 * 32);
}

/// Cuts by the shape alone, so that no bit of a result depends on the number of threads.
std::vector<ProductBlock> Cut(int64_t m, int64_t n, int64_t k) {
  int64_t rows = (m + kRows - 1) / kRows, columns = (n + kColumns - 1) / kColumns;
  for (;;) {
    const int64_t height = m / rows, width = n / columns, work = height * width * k;
    const int64_t side = std::max(height, width);
    const bool too_few = rows * columns < kBlocks && work > kSmallWork && side >= 2 * kSmallest;
    const bool too_long = work > kLargeWork && side >= 2 * kGoodSide;
    if (!too_few && !too_long) break;
    (height >= width ? rows : columns) *= 2;
  }
  const int64_t height = PieceLength(m, rows), width = PieceLength(n, columns);
  std::vector<ProductBlock> blocks;
  for (int64_t row = 0; row < m; row += height) {
    for (int64_t column = 0; column < n; column += width)
      blocks.push_back({row, column, std::min(height, m - row), std::min(width, n - column)});
  }
  return blocks;
}

/// Blocks are what is shared among threads: oneDNN takes one for each.
void UseOneOpenMpThread() {
  thread_local bool done = false;
  if (!done) UseOpenMpThreads(1);
  done = true;
}

dnnl::engine CpuEngine() {
  PrepareOneDnn();
  return {dnnl::engine::kind::cpu, 0};
}

/// Scratch memory for one run of a primitive. Kept by the thread, since it is wanted thousands of times a
/// second.
void* Scratch(size_t bytes) {
  thread_local std::vector<std::byte> scratch;
  if (scratch.size() < bytes) scratch.resize(bytes);
  return scratch.data();
}

/// What a compiled product depends on: a block's sides and the distance between rows of the three stored
/// matrices.
struct Key {
  int64_t m, n, k, a_stride, b_stride, c_stride;
  bool transpose_a, transpose_b, half, accumulate;
  auto operator<=>(const Key&) const = default;
};

/// oneDNN's product for one key. Immutable: any thread may run it.
class CompiledProduct {
 public:
  CompiledProduct(const Key& key, const dnnl::engine& engine) : engine_(engine) {
    using dnnl::memory;
    const auto type = key.half ? memory::data_type::bf16 : memory::data_type::f32;
    const auto strides = [](int64_t stride, bool transposed) {
      return transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
    };
    a_ = memory::desc({key.m, key.k}, type, strides(key.a_stride, key.transpose_a));
    b_ = memory::desc({key.k, key.n}, type, strides(key.b_stride, key.transpose_b));
    c_ = memory::desc({key.m, key.n}, memory::data_type::f32, strides(key.c_stride, false));
    dnnl::primitive_attr attributes;
    // The library's own scratch memory would belong to the thread that creates the primitive.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (key.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    const dnnl::matmul::primitive_desc description({a_, b_, c_}, attributes, engine_);
    scratch_ = description.scratchpad_desc();
    primitive_ = dnnl::matmul(description);
  }

  void Run(const void* a, const void* b, float* c) const {
    using dnnl::memory;
    dnnl::stream stream(engine_);
    primitive_.execute(stream,
                       {{DNNL_ARG_SRC, memory(a_, engine_, const_cast<void*>(a))},
                        {DNNL_ARG_WEIGHTS, memory(b_, engine_, const_cast<void*>(b))},
                        {DNNL_ARG_DST, memory(c_, engine_, c)},
                        {DNNL_ARG_SCRATCHPAD, memory(scratch_, engine_, Scratch(scratch_.get_size()))}});
  }

 private:
  dnnl::engine engine_;
  dnnl::memory::desc a_, b_, c_, scratch_;
  dnnl::matmul primitive_;
};

/// Blocks of equal key share a compiled product. Shapes come with the number of tokens in a batch, which
/// varies when documents are of different lengths: so the number of kept ones is bounded.
class ProductCache {
 public:
  /// nullptr where oneDNN refuses.
  const CompiledProduct* Get(const Key& key) {
    const auto found = compiled_.find(key);
    if (found != compiled_.end()) return &found->second;
    UseOneOpenMpThread();
    try {
      return &compiled_.try_emplace(key, key, engine_).first->second;
    } catch (const dnnl::error& error) {
      LogWarning("oneDNN refuses a product of {}x{} by {}x{} ({}): plain loops instead, which are slow",
                 key.m, key.k, key.k, key.n, error.message);
      return nullptr;
    }
  }

  /// Between products: pointers that Get gave are void afterwards.
  void Trim() {
    if (compiled_.size() > kMost) compiled_.clear();
  }

 private:
  static constexpr size_t kMost = 512;
  dnnl::engine engine_ = CpuEngine();
  std::map<Key, CompiledProduct> compiled_;
};

/// Where a block starts in its three matrices, in elements.
struct Origin {
  int64_t a, b, c;
};
template <typename T>
Origin OriginOf(const Product<T>& p, const ProductBlock& block) {
  return {p.transpose_a ? block.row : block.row * p.k, p.transpose_b ? block.column * p.k : block.column,
          block.row * p.n + block.column};
}

template <typename T>
Key KeyOf(const Product<T>& p, const ProductBlock& block, bool half) {
  return {block.rows,
          block.columns,
          p.k,
          p.transpose_a ? p.m : p.k,
          p.transpose_b ? p.k : p.n,
          p.n,
          p.transpose_a,
          p.transpose_b,
          half,
          p.accumulate};
}

const void* At(const Operand<float>& operand, int64_t offset) {
  if (operand.half != nullptr) return operand.half + offset;
  return operand.wide + offset;
}

void RunBlock(const Product<float>& product, const ProductBlock& block, const CompiledProduct* compiled) {
  if (compiled != nullptr) {
    UseOneOpenMpThread();
    const Origin origin = OriginOf(product, block);
    try {
      compiled->Run(At(product.a, origin.a), At(product.b, origin.b), product.c + origin.c);
      return;
    } catch (const dnnl::error& error) {
      LogWarning("oneDNN failed on a product ({}): plain loops instead, which are slow", error.message);
    }
  }
  PlainProduct(product, block);
}

/// The operand in fp32, in `space` if it was not.
Operand<float> Widened(const Operand<float>& operand, int64_t size, std::vector<float>& space) {
  if (operand.half == nullptr) return operand;
  if (space.size() < static_cast<size_t>(size)) space.resize(static_cast<size_t>(size));
  ParallelFor(size, 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) space[static_cast<size_t>(i)] = FromHalf(operand.half[i]);
  });
  return {.wide = space.data(), .half = nullptr};
}

/// The product of one number type.
template <typename T>
class Multiplier {
 public:
  explicit Multiplier(HalfProducts) {}

  void Run(const Product<T>& product) {
    const std::vector<ProductBlock> blocks = Cut(product.m, product.n, product.k);
    ParallelFor(static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) PlainProduct(product, blocks[static_cast<size_t>(i)]);
    });
  }
};

template <>
class Multiplier<float> {
 public:
  explicit Multiplier(HalfProducts half) : native_half_(half == HalfProducts::kNative && OneDnnHasBf16()) {}

  void Run(Product<float> product) {
    const bool half = native_half_ && product.a.half != nullptr && product.b.half != nullptr;
    if (!half) {
      product.a = Widened(product.a, product.m * product.k, wide_a_);
      product.b = Widened(product.b, product.k * product.n, wide_b_);
    }
    const std::vector<ProductBlock> blocks = Cut(product.m, product.n, product.k);
    cache_.Trim();
    compiled_.clear();
    for (const ProductBlock& block : blocks) compiled_.push_back(cache_.Get(KeyOf(product, block, half)));
    ParallelFor(static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        RunBlock(product, blocks[i], compiled_[i]);
    });
  }

 private:
  bool native_half_;
  ProductCache cache_;
  std::vector<const CompiledProduct*> compiled_;  ///< of the current product's blocks
  std::vector<float> wide_a_, wide_b_;
};

}  // namespace

template <typename T>
struct Products<T>::Impl : Multiplier<T> {
  using Multiplier<T>::Multiplier;
};

template <typename T>
Products<T>::Products(HalfProducts half) : impl_(std::make_unique<Impl>(half)) {}
template <typename T>
Products<T>::~Products() = default;

template <typename T>
void Products<T>::Run(const Product<T>& product) {
  if (product.m <= 0 || product.n <= 0) return;
  const auto start = std::chrono::steady_clock::now();
  if (product.k > 0) {
    impl_->Run(product);
  } else if (!product.accumulate) {
    std::fill_n(product.c, product.m * product.n, T(0));
  }
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  flop_ +=
      2.0 * static_cast<double>(product.m) * static_cast<double>(product.n) * static_cast<double>(product.k);
}

template class Products<float>;
template class Products<double>;
template class Products<std::complex<double>>;

}  // namespace tern::train
