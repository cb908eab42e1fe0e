#include "formats/raw_container.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <unordered_set>

namespace tern {
namespace {

constexpr size_t kLongestQuote = 100;

Status WrongSize(const OutputTensor& tensor, uint64_t expected, uint64_t produced) {
  return InvalidArgument(
      fmt::format("tensor '{}' was to have {} bytes, but {} were produced", tensor.name, expected, produced));
}

Status AppendTensor(AtomicFile* file, const OutputTensor& tensor, uint64_t size) {
  if (!tensor.produce_pieces) {
    const auto produced = tensor.produce();
    if (!produced.ok()) return produced.status().WithContext(fmt::format("tensor '{}'", tensor.name));
    if (produced->bytes().size() != size) return WrongSize(tensor, size, produced->bytes().size());
    return file->Append(produced->bytes());
  }
  uint64_t appended = 0;
  const Status status = tensor.produce_pieces([&](std::span<const std::byte> piece) -> Status {
    appended += piece.size();
    return appended <= size ? file->Append(piece) : WrongSize(tensor, size, appended);
  });
  if (!status.ok()) return status;
  return appended == size ? OkStatus() : WrongSize(tensor, size, appended);
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

std::string Quote(std::string_view text) {
  std::string quoted = "'";
  for (char c : text.substr(0, kLongestQuote)) {
    if (IsControl(c) || static_cast<unsigned char>(c) >= 0x80) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + (text.size() > kLongestQuote ? "…'" : "'");
}

Status CheckName(std::string_view name, std::string_view what) {
  if (name.empty()) return Corrupt(fmt::format("a {} is empty", what));
  if (std::any_of(name.begin(), name.end(), IsControl)) {
    return Corrupt(fmt::format("the {} {} has control characters in it", what, Quote(name)));
  }
  return OkStatus();
}

Status CheckNoOverlap(std::span<const TensorInfo> tensors) {
  std::vector<const TensorInfo*> sorted;
  for (const TensorInfo& tensor : tensors) {
    if (!tensor.bytes.empty()) sorted.push_back(&tensor);
  }
  std::sort(sorted.begin(), sorted.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::less<const std::byte*>()(a->bytes.data(), b->bytes.data());
  });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const TensorInfo& left = *sorted[i - 1];
    const TensorInfo& right = *sorted[i];
    if (right.bytes.data() - left.bytes.data() < static_cast<ptrdiff_t>(left.bytes.size())) {
      return Corrupt(fmt::format("the tensors {} and {} share bytes", Quote(left.name), Quote(right.name)));
    }
  }
  return OkStatus();
}

Status RawSource::Take(ContainerContent content, std::shared_ptr<const MappedFile> file) {
  files_.push_back(std::move(file));
  metadata_.merge(content.metadata);
  for (TensorInfo& tensor : content.tensors) TERN_RETURN_IF_ERROR(Add(std::move(tensor)));
  return OkStatus();
}

Result<std::shared_ptr<const TensorSource>> MakeRawSource(FileFormat format,
                                                          std::shared_ptr<const MappedFile> file,
                                                          Result<ContainerContent> content) {
  if (!content.ok()) return content.status().WithContext(fmt::format("'{}'", file->path()));
  auto source = std::make_shared<RawSource>(format, file->path());
  TERN_RETURN_IF_ERROR(source->Take(std::move(*content), std::move(file)));
  return std::shared_ptr<const TensorSource>(std::move(source));
}

Result<std::vector<uint64_t>> OutputSizes(std::span<const OutputTensor> tensors) {
  std::vector<uint64_t> sizes;
  std::unordered_set<std::string_view> names;
  for (const OutputTensor& tensor : tensors) {
    const Status name = CheckName(tensor.name, "tensor name");
    if (!name.ok()) return InvalidArgument(name.message());
    if (!names.insert(tensor.name).second) {
      return InvalidArgument(fmt::format("two tensors to be written are named '{}'", tensor.name));
    }
    const auto size = NumBytes(tensor.dtype, tensor.shape);
    if (!size) {
      return InvalidArgument(fmt::format("tensor '{}' cannot be {} of shape {}", tensor.name,
                                         Name(tensor.dtype), ToString(tensor.shape)));
    }
    sizes.push_back(*size);
  }
  return sizes;
}

Status AppendTensors(AtomicFile* file, std::span<const OutputTensor> tensors, std::span<const uint64_t> sizes,
                     uint64_t alignment, const std::function<Status(size_t i)>& before,
                     const WriteProgress& progress) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (before) TERN_RETURN_IF_ERROR(before(i));
    TERN_RETURN_IF_ERROR(AppendTensor(file, tensors[i], sizes[i]));
    TERN_RETURN_IF_ERROR(file->PadTo(alignment));
    if (progress && !progress(i + 1, tensors.size())) return Cancelled("writing was stopped");
  }
  return OkStatus();
}

}  // namespace tern
