// What every weight file looks like to the rest of Tern: named tensors whose bytes are views into the mapped file,
// and metadata. A reader checks every offset, size and count before it returns; nothing is copied that need not be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tern {

enum class FileFormat { kPth, kSafetensors, kGguf, kRwkvBin };
std::string_view Name(FileFormat format);  ///< "pth", "safetensors", "gguf", "rwkv.cpp bin"

/// One value of a file's metadata (GGUF's typed keys; safetensors' strings).
using MetaValue = std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;
using Metadata = std::map<std::string, MetaValue>;

/// A tensor as it stands in the file.
struct TensorInfo {
  std::string name;
  DType dtype;
  Shape shape;                          ///< row-major, as PyTorch prints it (ggml's dims are reversed on reading)
  std::span<const std::byte> bytes;     ///< NumBytes(dtype, shape) of them, at any alignment
};

/// Tensors and metadata of one file (or of the shards of one model). Immutable once opened; safe to share between
/// threads. The views in tensors() live as long as the source.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  FileFormat format() const { return format_; }
  const std::string& path() const { return path_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  /// Values beside the tensors that are objects of some class (.pth): what would have to make each ("numpy.ndarray"), by
  /// name. One with the name of a weight is a weight that is not read.
  const std::map<std::string, std::string>& opaque() const { return opaque_; }
  /// nullptr when there is none of that name.
  const TensorInfo* Find(const std::string& name) const;

  /// Compares the content with the checksums that the format keeps of it (.pth: CRC-32), which opening does not: reads
  /// the whole file, on all threads. Fails (kCorrupt) naming the part that differs; succeeds where a format has none.
  virtual Status Verify() const { return OkStatus(); }
  /// Whether the format has checksums.
  virtual bool HasChecksums() const { return false; }

  /// Whether all the bytes lie in one mapped file (not in memory of this process's own).
  bool IsMapped(std::span<const std::byte> bytes) const;
  /// Lets the pages of a tensor's bytes leave resident memory (after a copy was made of them).
  void Forget(std::span<const std::byte> bytes) const;

 protected:
  TensorSource(FileFormat format, std::string path) : format_(format), path_(std::move(path)) {}
  /// Adds a tensor; a second one of the same name is an error that names it.
  Status Add(TensorInfo tensor);
  /// Takes part in owning what another source's tensors are views of.
  void ShareFilesOf(const TensorSource& other) {
    files_.insert(files_.end(), other.files_.begin(), other.files_.end());
  }

  FileFormat format_;
  std::string path_;
  Metadata metadata_;
  std::map<std::string, std::string> opaque_;
  std::vector<std::shared_ptr<const MappedFile>> files_;       ///< keeps the views alive
  std::vector<std::unique_ptr<std::vector<std::byte>>> owned_; ///< for tensors that had to be made contiguous

 private:
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

/// Opens a file of any known format, told apart by its first bytes (never by its extension), or a folder that holds
/// one model: Hugging Face's layout (model.safetensors or pytorch_model.bin, or shards with an index), else its only file of
/// weights. A part of a split GGUF stands for all parts. A prefix that all names share and that hides the names of a known
/// family ("module.", "_orig_mod.") is taken off. A config.json beside weights with Hugging Face's names becomes "config.*".
Result<std::shared_ptr<const TensorSource>> OpenTensorSource(const std::string& path);

// The readers, one per format (each in its own file).
Result<std::shared_ptr<const TensorSource>> OpenPth(std::shared_ptr<const MappedFile> file);
Result<std::shared_ptr<const TensorSource>> OpenSafetensors(std::shared_ptr<const MappedFile> file);
Result<std::shared_ptr<const TensorSource>> OpenGguf(std::shared_ptr<const MappedFile> file);
Result<std::shared_ptr<const TensorSource>> OpenRwkvBin(std::shared_ptr<const MappedFile> file);

// --- writing --------------------------------------------------------------------------------------------------------

/// Bytes handed to a writer: either a view of something that outlives the call, or a buffer of its own.
struct TensorBytes {
  std::span<const std::byte> view;
  std::vector<std::byte> owned;
  std::span<const std::byte> bytes() const { return owned.empty() ? view : std::span<const std::byte>(owned); }
};

/// Takes the next bytes of a tensor.
using TensorSink = std::function<Status(std::span<const std::byte>)>;

/// A tensor to be written. `produce` is called once, in order, when its turn comes, and returns exactly
/// NumBytes(dtype, shape) bytes: only one tensor is in memory at a time, whatever the model's size.
struct OutputTensor {
  std::string name;
  DType dtype;
  Shape shape;
  std::function<Result<TensorBytes>()> produce;
  /// In place of `produce`, for a tensor that is never whole in memory: gives its bytes to the sink, piece by piece.
  /// An error of the sink is returned.
  std::function<Status(const TensorSink&)> produce_pieces = {};
};
/// All bytes of a tensor, however it is produced.
Result<TensorBytes> Produce(const OutputTensor& tensor);

/// Called after each tensor with its index; false stops the writing (kCancelled) and leaves nothing behind.
using WriteProgress = std::function<bool(size_t done, size_t total)>;

/// Header numbers of an rwkv.cpp file; everything else is in its tensors.
struct RwkvBinHeader {
  int32_t n_vocab = 0, n_embed = 0, n_layer = 0;
  DType data_type = DType::kF32;  ///< what the matrices are stored as
};

// The writers, one per format. Atomic: `path` is replaced only by a complete, synced file. A type that the format
// cannot hold is kUnsupported and names the tensor.
Status WritePth(const std::string& path, std::span<const OutputTensor> tensors, const WriteProgress& progress = {});
Status WriteSafetensors(const std::string& path, std::span<const OutputTensor> tensors, const Metadata& metadata,
                        const WriteProgress& progress = {});
/// What WriteSafetensors writes before the first tensor: the header's length and the header.
Result<std::string> SafetensorsHeader(std::span<const OutputTensor> tensors, const Metadata& metadata);
Status WriteGguf(const std::string& path, std::span<const OutputTensor> tensors, const Metadata& metadata,
                 const WriteProgress& progress = {});
Status WriteRwkvBin(const std::string& path, std::span<const OutputTensor> tensors, const RwkvBinHeader& header,
                    const WriteProgress& progress = {});

}  // namespace tern
