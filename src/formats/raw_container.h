// What the raw container formats (safetensors, GGUF, rwkv.cpp bin) share: checks on what a file claims, the
// source that their readers return, and the steps of their writers. Private to src/formats.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/tensor_source.h"

namespace tern {

/// Text out of a file for an error message: in single quotes, unprintable bytes as \xNN, shortened when long.
std::string Quote(std::string_view text);

/// Refuses what no tensor or key is ever called: an empty name or one with control characters (NUL among
/// them, which would make two names look like one to every C program). `what` is "tensor name" or the like.
Status CheckName(std::string_view name, std::string_view what);

/// Fails, naming both, when two tensors share bytes. All views must lie in one map.
Status CheckNoOverlap(std::span<const TensorInfo> tensors);

/// What a reader found in one file, before it becomes a TensorSource.
struct ContainerContent {
  std::vector<TensorInfo> tensors;
  Metadata metadata;
};

/// The source that the raw containers' readers return.
class RawSource final : public TensorSource {
 public:
  RawSource(FileFormat format, std::string path) : TensorSource(format, std::move(path)) {}

  /// Takes over the content of one more file. Of metadata under one key the first one stays.
  Status Take(ContainerContent content, std::shared_ptr<const MappedFile> file);
};

/// Takes the content that a parser found in `file`, or its error, to which the file's path is added.
Result<std::shared_ptr<const TensorSource>> MakeRawSource(FileFormat format,
                                                          std::shared_ptr<const MappedFile> file,
                                                          Result<ContainerContent> content);

// --- writing
// --------------------------------------------------------------------------------------------------------

/// Sizes in bytes of what is to be written. Fails, naming the tensor, on names that are bad or used twice and
/// on shapes that are impossible for the type.
Result<std::vector<uint64_t>> OutputSizes(std::span<const OutputTensor> tensors);

/// Produces every tensor in turn and appends its bytes. `before` (may be empty) writes what stands in front
/// of tensor `i`; after each tensor the file is padded with zeros to a multiple of `alignment`.
Status AppendTensors(AtomicFile* file, std::span<const OutputTensor> tensors, std::span<const uint64_t> sizes,
                     uint64_t alignment, const std::function<Status(size_t i)>& before,
                     const WriteProgress& progress);

}  // namespace tern
