// Large memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tern {

/// Zeroed memory straight from the operating system, in huge pages where it gives them: reading gigabytes through 4 KB
/// pages costs about a tenth of the bandwidth in address translation. Only what is written to becomes resident.
/// Movable.
class PageBuffer {
 public:
  PageBuffer() = default;
  /// Empty (data() is null) when the system refuses.
  explicit PageBuffer(size_t bytes);
  ~PageBuffer();
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Bytes that this process could still fill without swapping or being killed: the system's MemAvailable, what its
/// control group has left, or the limit set here, whichever is least. 0 when none can be read.
uint64_t AvailableMemory();
/// From here on AvailableMemory tells of no more than this; 0: no such limit. Thread-safe.
void LimitMemory(uint64_t bytes);

}  // namespace tern
