// BlinkDL's checkpoints: what torch.save makes of a dict of tensors (docs/formats/pth.md draws the file).
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "formats/pickle.h"
#include "formats/pth_dict.h"
#include "formats/pth_legacy.h"
#include "formats/pth_view.h"
#include "formats/tensor_source.h"
#include "formats/zip_archive.h"

namespace tern {
namespace {

/// Says what a file is that is neither a zip archive nor of torch's older format, as far as that helps its
/// owner.
Status ExplainNoZip(std::span<const std::byte> bytes) {
  if (bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] <= std::byte{5}) {
    return Unsupported(
        "a bare Python pickle, which torch.save does not write; save its tensors with it: "
        "torch.save(tensors_by_name, NEW)");
  }
  return Corrupt("not a zip archive, as torch.save writes");
}

/// "NAME/" of the one folder that holds data.pkl.
Result<std::string> FindFolder(const ZipArchive& zip) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const ZipEntry& entry : zip.entries()) {
    if (!entry.name.ends_with(kPickle)) continue;
    if (!folder.empty()) return Corrupt("the zip archive has more than one data.pkl");
    folder = entry.name.substr(0, entry.name.size() - kPickle.size() + 1);
  }
  if (folder.empty()) return Corrupt("a zip archive, but not one of torch.save: it has no NAME/data.pkl");
  if (zip.Find(folder + "constants.pkl") != nullptr) {
    return Unsupported("a TorchScript program (it has constants.pkl); save the model's state_dict() instead");
  }
  return folder;
}

Status CheckByteOrder(const ZipArchive& zip, const std::string& folder) {
  const std::string name = folder + "byteorder";
  if (zip.Find(name) == nullptr) return OkStatus();  // torch before 2.1
  TERN_ASSIGN_OR_RETURN(const auto bytes, zip.Read(name));
  const std::string_view order(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (order == "little") return OkStatus();
  if (order == "big")
    return Unsupported("written on a big-endian machine; only little-endian files are read");
  return Corrupt("its byteorder record says neither 'little' nor 'big'");
}

/// The bytes of a storage, by its key.
using StorageBytes = std::function<Result<std::span<const std::byte>>(std::string_view key)>;

class PthSource : public TensorSource {
 public:
  explicit PthSource(std::shared_ptr<const MappedFile> file) : TensorSource(FileFormat::kPth, file->path()) {
    files_.push_back(std::move(file));
  }

  bool HasChecksums() const override { return !entries_.empty(); }
  Status Verify() const override { return CheckContents(entries_).WithContext(fmt::format("'{}'", path_)); }

  Status Load() {
    const std::span<const std::byte> file = files_[0]->bytes();
    const bool is_zip = file.size() >= 4 && std::memcmp(file.data(), "PK", 2) == 0;
    if (is_zip) return LoadZip(file);
    return IsLegacyPth(file) ? LoadLegacy(file) : ExplainNoZip(file);
  }

 private:
  Status LoadZip(std::span<const std::byte> file) {
    TERN_ASSIGN_OR_RETURN(const ZipArchive zip, ZipArchive::Open(file));
    entries_ = zip.entries();
    TERN_ASSIGN_OR_RETURN(const std::string folder, FindFolder(zip));
    TERN_RETURN_IF_ERROR(CheckByteOrder(zip, folder));
    TERN_ASSIGN_OR_RETURN(const auto program, zip.Read(folder + "data.pkl"));
    TERN_ASSIGN_OR_RETURN(const Pickle pickle, Pickle::Load(program));
    return AddTensors(pickle,
                      [&](std::string_view key) { return zip.Read(fmt::format("{}data/{}", folder, key)); });
  }

  Status LoadLegacy(std::span<const std::byte> file) {
    TERN_ASSIGN_OR_RETURN(const LegacyPth legacy, ReadLegacyPth(file));
    return AddTensors(legacy.pickle, [&](std::string_view key) -> Result<std::span<const std::byte>> {
      const auto found = legacy.storages.find(std::string(key));
      if (found == legacy.storages.end()) return Corrupt(fmt::format("the file has no storage '{}'", key));
      return found->second;
    });
  }

  Status AddTensors(const Pickle& pickle, const StorageBytes& bytes_of) {
    TERN_ASSIGN_OR_RETURN(const PickleId dict, FindTensorDict(pickle));
    const auto items = pickle.Items(dict);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const PickleKind kind = pickle.kind(items[i + 1]);
      const bool named = pickle.kind(items[i]) == PickleKind::kString;
      const std::string name(named ? pickle.String(items[i]) : "");
      if (kind == PickleKind::kOpaque && named) opaque_.emplace(name, pickle.MakerOf(items[i + 1]));
      if (kind != PickleKind::kTensor) continue;  // a step count, a name, a list of numbers
      if (!named) return Unsupported("a tensor whose name is not a text");
      TERN_RETURN_IF_ERROR(AddTensor(pickle, name, pickle.Tensor(items[i + 1]), bytes_of)
                               .WithContext(fmt::format("tensor '{}'", name)));
    }
    return OkStatus();
  }

  Status AddTensor(const Pickle& pickle, const std::string& name, const PickleTensor& tensor,
                   const StorageBytes& bytes_of) {
    const auto shape = pickle.Ints(tensor.shape, kMaxTensorRank);
    const auto strides = pickle.Ints(tensor.strides, kMaxTensorRank);
    if (!shape || !strides) {
      return Corrupt(fmt::format("its shape and strides are not at most {} integers each", kMaxTensorRank));
    }
    TERN_ASSIGN_OR_RETURN(const auto storage, bytes_of(tensor.storage.key));
    const DType storage_type = tensor.storage.dtype.value_or(DType::kU8);
    const auto storage_bytes = NumBytes(storage_type, {tensor.storage.numel});
    if (storage_bytes != storage.size()) {
      return Corrupt(
          fmt::format("its storage '{}' is of {} elements of {}, yet the entry of that name is of {} bytes",
                      tensor.storage.key, tensor.storage.numel, Name(storage_type), storage.size()));
    }
    const StridedView view{storage, tensor.dtype, tensor.offset, *shape, *strides};
    TERN_RETURN_IF_ERROR(CheckView(view));
    if (IsContiguous(view)) return Add({name, view.dtype, view.shape, ContiguousBytes(view)});
    const uint64_t bytes = *NumBytes(view.dtype, view.shape);
    if (bytes > files_[0]->size() - copied_) {
      return Unsupported(fmt::format("{} of shape {} with strides {} would need copies larger than the file",
                                     Name(view.dtype), ToString(view.shape), ToString(view.strides)));
    }
    copied_ += bytes;
    owned_.push_back(std::make_unique<std::vector<std::byte>>(MakeContiguous(view)));
    return Add({name, view.dtype, view.shape, *owned_.back()});
  }

  std::vector<ZipEntry> entries_;  ///< all of the archive's
  uint64_t copied_ = 0;            ///< bytes in owned_, at most the file's size
};

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenPth(std::shared_ptr<const MappedFile> file) {
  const std::string path = file->path();
  auto source = std::make_shared<PthSource>(std::move(file));
  TERN_RETURN_IF_ERROR(source->Load().WithContext(fmt::format("'{}'", path)));
  return std::shared_ptr<const TensorSource>(std::move(source));
}

}  // namespace tern
