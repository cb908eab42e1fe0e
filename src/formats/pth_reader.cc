// BlinkDL's checkpoints: what torch.save makes of a dict of tensors (docs/formats/pth.md draws the file).
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "formats/pickle.h"
#include "formats/pth_view.h"
#include "formats/tensor_source.h"
#include "formats/zip_archive.h"

namespace tern {
namespace {

constexpr int kMaxLevels = 4;  // of dicts around the one that holds the tensors

/// torch's format before 1.6: a pickle of this number (little-endian here) comes first.
constexpr unsigned char kLegacyMagic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

/// Says what a file that is no zip archive is instead, as far as that helps its owner.
Status ExplainNoZip(std::span<const std::byte> bytes) {
  const auto head = bytes.first(std::min<size_t>(bytes.size(), 32));
  const auto equal = [](std::byte a, unsigned char b) { return a == std::byte{b}; };
  const bool legacy = std::search(head.begin(), head.end(), std::begin(kLegacyMagic), std::end(kLegacyMagic),
                                  equal) != head.end();
  constexpr std::string_view kRemedy =
      "save it again with a newer one: torch.save(torch.load(OLD, map_location='cpu'), NEW)";
  if (legacy) return Unsupported(fmt::format("written in the format of torch before 1.6; {}", kRemedy));
  if (bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] <= std::byte{5}) {
    return Unsupported(
        fmt::format("a bare Python pickle, not torch's zip archive; if torch wrote it, {}", kRemedy));
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

bool HasTensors(const Pickle& pickle, PickleId dict) {
  const auto items = pickle.Items(dict);
  for (size_t i = 1; i < items.size(); i += 2) {
    if (pickle.kind(items[i]) == PickleKind::kTensor) return true;
  }
  return false;
}

/// The value in `dict` to look into next: a dict under one of the usual names, else the only dict there is.
Result<PickleId> FindInnerDict(const Pickle& pickle, PickleId dict) {
  const auto items = pickle.Items(dict);
  std::vector<PickleId> dicts;
  for (size_t i = 1; i < items.size(); i += 2) {
    if (pickle.kind(items[i]) == PickleKind::kDict) dicts.push_back(items[i]);
  }
  for (std::string_view name : {"state_dict", "model_state_dict", "model", "module"}) {
    for (size_t i = 1; i < items.size(); i += 2) {
      const PickleId key = items[i - 1];
      const bool named = pickle.kind(key) == PickleKind::kString && pickle.String(key) == name;
      if (named && pickle.kind(items[i]) == PickleKind::kDict) return items[i];
    }
  }
  if (dicts.size() == 1) return dicts[0];
  return Unsupported(dicts.empty()
                         ? "it holds no tensors by name"
                         : "it holds several dicts, none of them called state_dict, model or module");
}

/// The dict whose values are tensors: the pickle itself, or one inside it.
Result<PickleId> FindTensors(const Pickle& pickle) {
  PickleId dict = pickle.root();
  if (pickle.kind(dict) != PickleKind::kDict) return Unsupported("it holds no dict of tensors");
  for (int level = 0; level < kMaxLevels; ++level) {
    if (HasTensors(pickle, dict)) return dict;
    TERN_ASSIGN_OR_RETURN(dict, FindInnerDict(pickle, dict));
  }
  return Unsupported(fmt::format("it holds no tensors in its first {} levels of dicts", kMaxLevels));
}

class PthSource : public TensorSource {
 public:
  explicit PthSource(std::shared_ptr<const MappedFile> file) : TensorSource(FileFormat::kPth, file->path()) {
    files_.push_back(std::move(file));
  }

  bool HasChecksums() const override { return true; }
  Status Verify() const override { return CheckContents(entries_).WithContext(fmt::format("'{}'", path_)); }

  Status Load() {
    const std::span<const std::byte> file = files_[0]->bytes();
    const bool is_zip = file.size() >= 4 && std::memcmp(file.data(), "PK", 2) == 0;
    if (!is_zip) return ExplainNoZip(file);
    TERN_ASSIGN_OR_RETURN(const ZipArchive zip, ZipArchive::Open(file));
    entries_ = zip.entries();
    TERN_ASSIGN_OR_RETURN(const std::string folder, FindFolder(zip));
    TERN_RETURN_IF_ERROR(CheckByteOrder(zip, folder));
    TERN_ASSIGN_OR_RETURN(const auto program, zip.Read(folder + "data.pkl"));
    TERN_ASSIGN_OR_RETURN(const Pickle pickle, Pickle::Load(program));
    TERN_ASSIGN_OR_RETURN(const PickleId dict, FindTensors(pickle));
    const auto items = pickle.Items(dict);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (pickle.kind(items[i + 1]) != PickleKind::kTensor)
        continue;  // a step count, a name, a list of numbers
      if (pickle.kind(items[i]) != PickleKind::kString) return Unsupported("a tensor whose name is no text");
      const std::string name(pickle.String(items[i]));
      TERN_RETURN_IF_ERROR(AddTensor(zip, folder, pickle, name, pickle.Tensor(items[i + 1]))
                               .WithContext(fmt::format("tensor '{}'", name)));
    }
    return OkStatus();
  }

 private:
  Status AddTensor(const ZipArchive& zip, const std::string& folder, const Pickle& pickle,
                   const std::string& name, const PickleTensor& tensor) {
    const auto shape = pickle.Ints(tensor.shape, kMaxTensorRank);
    const auto strides = pickle.Ints(tensor.strides, kMaxTensorRank);
    if (!shape || !strides) {
      return Corrupt(fmt::format("its shape and strides are not at most {} integers each", kMaxTensorRank));
    }
    TERN_ASSIGN_OR_RETURN(const auto storage, zip.Read(fmt::format("{}data/{}", folder, tensor.storage.key)));
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
