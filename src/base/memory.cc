#include "base/memory.h"

#include <algorithm>
#include <atomic>
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

/// What one control group allows beyond the memory that cannot be given back; no limit: the largest number.
uint64_t LeftInGroup(const std::string& folder, const char* limit_file, const std::string& used_key) {
  std::ifstream in(folder + limit_file);
  uint64_t limit = 0;
  if (!(in >> limit)) return UINT64_MAX;  // "max", or no such file
  const uint64_t used = NumberAfter((folder + "/memory.stat").c_str(), used_key);
  return limit > used ? limit - used : 0;
}

/// The least that this process's group and the groups around it leave. A container may show its own group as the root, so
/// the root is asked as well.
uint64_t LeftInGroups(const std::string& root, std::string path, const char* limit_file, const std::string& used_key) {
  uint64_t left = LeftInGroup(root, limit_file, used_key);
  for (; path.size() > 1; path.resize(path.rfind('/'))) {
    left = std::min(left, LeftInGroup(root + path, limit_file, used_key));
  }
  return left;
}

/// Control groups of both versions: a line of /proc/self/cgroup is "number:controllers:/path", of version 2 "0::/path".
uint64_t ControlGroupLeft() {
  uint64_t left = LeftInGroup("/sys/fs/cgroup", "/memory.max", "anon");
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      left = std::min(left, LeftInGroups("/sys/fs/cgroup", path, "/memory.max", "anon"));
    } else if ((',' + controllers + ',').find(",memory,") != std::string::npos) {
      left = std::min(left, LeftInGroups("/sys/fs/cgroup/memory", path, "/memory.limit_in_bytes", "total_rss"));
    }
  }
  return left;
}

std::atomic<uint64_t>& Limit() {
  static std::atomic<uint64_t> limit = UINT64_MAX;
  return limit;
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
  const uint64_t least = std::min(system > 0 ? system : UINT64_MAX, std::min(ControlGroupLeft(), Limit().load()));
  return least == UINT64_MAX ? 0 : least;
}

void LimitMemory(uint64_t bytes) { Limit() = bytes > 0 ? bytes : UINT64_MAX; }

}  // namespace tern
