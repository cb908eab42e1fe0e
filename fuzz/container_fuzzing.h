// Feeds a fuzzer's bytes to a reader of container formats.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "formats/tensor_source.h"

namespace tern {

/// Opens the bytes as a file, through memory alone, and reads every byte of every tensor. Aborts when a
/// tensor has another size than its type and shape need.
template <typename Open>
void FuzzReader(const uint8_t* data, size_t size, Open open) {
  static const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return;
  auto file = MappedFile::Open("/proc/self/fd/" + std::to_string(fd));
  if (!file.ok()) return;  // an empty file
  const auto source = open(std::move(*file));
  if (!source.ok()) {
    if (source.status().message().empty()) std::abort();
    return;
  }
  volatile uint8_t sink = 0;
  for (const TensorInfo& tensor : (*source)->tensors()) {
    if (NumBytes(tensor.dtype, tensor.shape) != tensor.bytes.size()) std::abort();
    for (std::byte b : tensor.bytes) sink = sink ^ static_cast<uint8_t>(b);
  }
}

}  // namespace tern
