// A whole weight file of any format, through names, shapes and a few tokens of the forward pass.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const auto model = tern::Model::Load("/proc/self/fd/" + std::to_string(fd));
  if (!model.ok()) {
    if (model.status().message().empty()) std::abort();
    return 0;
  }
  tern::State state = (*model)->NewState();
  tern::Workspace workspace;
  std::vector<float> logits;
  tern::Batch batch;
  const std::vector<int32_t> tokens(3, 0);
  batch.Add(tokens, &state, tern::Logits::kLast);
  if (!(*model)->Forward(batch, workspace, &logits).ok()) std::abort();
  (*model)->FindNonFinite();
  return 0;
}
