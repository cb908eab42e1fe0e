#include "base/mapped_pages.h"

#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

// Newer than Debian 12's kernel headers may be with another libc; Linux 5.14 and 5.4 have them.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

namespace tern {
namespace {

struct Pages {
  void* first = nullptr;
  size_t bytes = 0;
};

/// The whole pages inside a range, or all that it touches.
Pages PagesOf(std::span<const std::byte> bytes, bool inside) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()), end = begin + bytes.size();
  const uintptr_t first = (begin + (inside ? page - 1 : 0)) / page * page;
  const uintptr_t last = (end + (inside ? 0 : page - 1)) / page * page;
  return first < last ? Pages{reinterpret_cast<void*>(first), last - first} : Pages{};
}

void Touch(std::span<const std::byte> bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  for (size_t at = 0; at < bytes.size(); at += page) static_cast<void>(*static_cast<const volatile std::byte*>(&bytes[at]));
}

}  // namespace

void AnnouncePages(std::span<const std::byte> bytes) {
  const Pages pages = PagesOf(bytes, false);
  if (pages.bytes > 0) ::madvise(pages.first, pages.bytes, MADV_WILLNEED);
}

void FetchPages(std::span<const std::byte> bytes) {
  const Pages pages = PagesOf(bytes, false);
  if (pages.bytes > 0 && ::madvise(pages.first, pages.bytes, MADV_POPULATE_READ) != 0) Touch(bytes);
}

void ReleasePages(std::span<const std::byte> bytes) {
  const Pages pages = PagesOf(bytes, true);
  if (pages.bytes > 0) ::madvise(pages.first, pages.bytes, MADV_DONTNEED);
}

void DropPages(std::span<const std::byte> bytes) {
  const Pages pages = PagesOf(bytes, true);
  if (pages.bytes == 0) return;
  ::madvise(pages.first, pages.bytes, MADV_PAGEOUT);
  ::madvise(pages.first, pages.bytes, MADV_DONTNEED);
}

}  // namespace tern
