// Attacks the pickle machine directly, and the archive around it through a file in memory.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/file.h"
#include "formats/pickle.h"
#include "formats/pth_dict.h"
#include "formats/tensor_source.h"
#include "formats/zip_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto pickle = tern::Pickle::Load(bytes); pickle.ok()) (void)tern::FindTensorDict(*pickle);
  static const int fd = ::memfd_create("pth", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const auto file = tern::MappedFile::Open(path);
  if (!file.ok()) return 0;
  const auto source = tern::OpenPth(*file);
  if (!source.ok()) return 0;
  // Every view must be readable.
  volatile uint8_t sink = 0;
  for (const tern::TensorInfo& tensor : (*source)->tensors()) {
    for (std::byte b : tensor.bytes) sink = sink ^ static_cast<uint8_t>(b);
  }
  return 0;
}
