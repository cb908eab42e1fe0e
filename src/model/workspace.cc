#include "model/workspace.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace tern {
namespace {

constexpr int64_t kAlignFloats = 16;             // 64 bytes: a cache line, a zmm register
constexpr int64_t kFirstBlockFloats = 1 << 16;

int64_t RoundUp(int64_t n) { return (n + kAlignFloats - 1) / kAlignFloats * kAlignFloats; }

}  // namespace

void Workspace::Free::operator()(float* p) const { std::free(p); }

float* Workspace::Take(int64_t n) {
  n = std::max<int64_t>(kAlignFloats, RoundUp(n));
  while (block_ < blocks_.size() && used_ + n > blocks_[block_].size) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const int64_t size = std::max(n, blocks_.empty() ? kFirstBlockFloats : 2 * blocks_.back().size);
    auto* data = static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(size) * sizeof(float)));
    if (data == nullptr) throw std::bad_alloc();
    blocks_.push_back({std::unique_ptr<float[], Free>(data), size});
    used_ = 0;
  }
  float* taken = blocks_[block_].data.get() + used_;
  used_ += n;
  return taken;
}

int64_t Workspace::Bytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_) bytes += block.size * static_cast<int64_t>(sizeof(float));
  return bytes;
}

}  // namespace tern
