// A weight file of any format, gathered under canonical names, read as fp32 and converted to every other
// format's tensors. Nothing is written.
#include <vector>

#include "container_fuzzing.h"
#include "formats/checkpoint.h"
#include "formats/checkpoint_plan.h"

namespace {

using tern::Checkpoint;
using tern::DType;
using tern::FileFormat;
using tern::SaveOptions;

void ReadAll(const Checkpoint& checkpoint) {
  for (const auto& tensor : checkpoint.tensors()) {
    if (NumBytes(tensor.dtype, tensor.StoredShape()) != tensor.bytes.size()) std::abort();
    std::vector<float> values(static_cast<size_t>(*tern::NumElements(tensor.shape)));
    ReadCanonical(tensor, values.data());
  }
}

void ConvertAll(const Checkpoint& checkpoint, FileFormat format, std::optional<DType> type) {
  SaveOptions options;
  options.format = format;
  options.type = type;
  const auto plan = PlanSave(checkpoint, options);
  if (!plan.ok()) return;
  if (format == FileFormat::kGguf) static_cast<void>(GgufKeys(checkpoint, *plan, options).ok());
  for (const auto& form : plan->forms) {
    const auto bytes = Convert(form);
    if (bytes.ok() && bytes->bytes().size() != NumBytes(form.dtype, form.shape)) std::abort();
  }
}

void ReadAndConvert(const Checkpoint& checkpoint) {
  ReadAll(checkpoint);
  ConvertAll(checkpoint, FileFormat::kPth, std::nullopt);
  ConvertAll(checkpoint, FileFormat::kSafetensors, DType::kBF16);
  ConvertAll(checkpoint, FileFormat::kGguf, DType::kQ4_0);
  ConvertAll(checkpoint, FileFormat::kRwkvBin, std::nullopt);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  const auto checkpoint = tern::OpenCheckpoint("/proc/self/fd/" + std::to_string(fd));
  if (checkpoint.ok()) ReadAndConvert(**checkpoint);
  if (!checkpoint.ok() && checkpoint.status().message().empty()) std::abort();
  return 0;
}
