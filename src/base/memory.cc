#include "base/memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace tern {
namespace {

/// The number behind `key` in a file of "key value" lines ("MemAvailable:   123 kB"); 0 when it is not there.
uint64_t NumberAfter(const char* path, const std::string& key) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    uint64_t number = 0;
    if (word == key && in >> number) return number;
  }
  return 0;
}

/// What a control group (version 2) allows beyond the memory that cannot be given back; no limit: the largest number.
uint64_t ControlGroupLeft() {
  std::ifstream in("/sys/fs/cgroup/memory.max");
  uint64_t limit = 0;
  if (!(in >> limit)) return UINT64_MAX;  // "max", or no such file
  const uint64_t used = NumberAfter("/sys/fs/cgroup/memory.stat", "anon");
  return limit > used ? limit - used : 0;
}

}  // namespace

PageBuffer::PageBuffer(size_t bytes) {
  if (bytes == 0) return;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return;
  ::madvise(data, bytes, MADV_HUGEPAGE);  // a wish: without it the memory is as good, only slower
  data_ = static_cast<std::byte*>(data);
  size_ = bytes;
}

PageBuffer::~PageBuffer() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

PageBuffer::PageBuffer(PageBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

uint64_t AvailableMemory() {
  const uint64_t system = NumberAfter("/proc/meminfo", "MemAvailable:") * 1024;
  return std::min(system, ControlGroupLeft());
}

}  // namespace tern
