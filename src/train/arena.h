// Memory of one forward and backward pass: a stack.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/memory.h"

namespace tern::train {

/// Takes are given back in reverse order, by Scope. One big piece of memory, whose size a counting arena finds out
/// before: the same code runs on it without computing anything.
class Arena {
 public:
  /// Counts only; its pointers must not be used.
  Arena() = default;
  /// Of `bytes`; ok() is false when the system refuses.
  explicit Arena(size_t bytes) : memory_(bytes + kAlignment), counting_(false) {
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    base_ = (at + kAlignment - 1) / kAlignment * kAlignment;
  }

  bool ok() const { return counting_ || memory_.data() != nullptr; }
  size_t size() const { return memory_.size(); }
  size_t peak() const { return peak_; }

  template <typename T>
  T* Take(int64_t count) {
    auto* at = reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    peak_ = std::max(peak_, used_);
    return at;
  }

  /// Gives back at its end what was taken since its beginning.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), used_(arena.used_) {}
    ~Scope() { arena_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t used_;
  };

 private:
  static constexpr size_t kAlignment = 64;
  PageBuffer memory_;
  bool counting_ = true;
  uintptr_t base_ = 1 << 20;  // never dereferenced while counting
  size_t used_ = 0, peak_ = 0;
};

}  // namespace tern::train
