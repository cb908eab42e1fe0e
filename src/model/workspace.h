// Scratch memory of a forward pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/ops.h"

namespace tern {

/// Hands out uninitialised float buffers, stack-like: a Scope returns everything taken since it began. Memory is kept
/// between passes, so that a steady run allocates nothing. One per thread of control; not thread-safe.
class Workspace {
 public:
  /// `n` floats, aligned to 64 bytes, valid until the scope they were taken in ends.
  float* Take(int64_t n);

  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), block_(workspace.block_), used_(workspace.used_) {}
    ~Scope() {
      workspace_.block_ = block_;
      workspace_.used_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    size_t block_;
    int64_t used_;
  };

  /// From here on, `reads` counts what passes over single tokens read of matrices with sparse inputs (null: nothing
  /// does; counting costs another look at every activation). It must outlive them.
  void CountSparseReads(kernels::SparseReads* reads) { sparse_reads_ = reads; }
  kernels::SparseReads* sparse_reads() const { return sparse_reads_; }

  /// Bytes held.
  int64_t Bytes() const;

 private:
  struct Free {
    void operator()(float* p) const;
  };
  struct Block {
    std::unique_ptr<float[], Free> data;
    int64_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0;   ///< the block being filled
  int64_t used_ = 0;   ///< floats taken from it
  kernels::SparseReads* sparse_reads_ = nullptr;
};

}  // namespace tern
