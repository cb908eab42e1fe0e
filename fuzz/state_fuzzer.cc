// A state file, read for a small model of each generation.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  for (tern::Generation generation : {tern::Generation::kRwkv4, tern::Generation::kRwkv6, tern::Generation::kRwkv7}) {
    tern::ModelConfig config;
    config.generation = generation;
    config.vocab = 4;
    config.layers = 1;
    config.width = config.att_width = 4;
    config.heads = generation == tern::Generation::kRwkv4 ? 0 : 2;
    config.head_size = generation == tern::Generation::kRwkv4 ? 0 : 2;
    const auto saved = tern::LoadState(path, config, "hash");
    if (!saved.ok() && saved.status().message().empty()) std::abort();
    if (saved.ok() && saved->state.data().size() != static_cast<size_t>(tern::StateLayout(config).Floats())) std::abort();
  }
  return 0;
}
