// Which format a file has, by its first bytes, and where a folder keeps its model.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/bytes.h"
#include "formats/raw_container.h"
#include "formats/safetensors_dtypes.h"
#include "formats/safetensors_json.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kModelName = "model.safetensors";
constexpr uint64_t kLongestIndex = uint64_t{64} << 20;
constexpr size_t kShownBytes = 16;
constexpr size_t kIndexDepth = 16;

bool IsZip(std::string_view head) { return head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06"); }

/// Python's pickle, protocols 2 to 5: what torch.save wrote before its files became zips.
bool IsPickle(std::string_view head) {
  return head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
}

bool IsSafetensors(std::string_view head) {
  return head.size() > 8 && LoadUnaligned<uint64_t>(head.data()) <= kSafetensorsLongestHeader &&
         head[8] == '{';
}

Status UnknownFormat(const std::string& path, std::string_view head) {
  if (head.starts_with("version https://git-lfs")) {
    return Unsupported(fmt::format(
        "'{}' is a Git LFS pointer, not the weights themselves: fetch them with 'git lfs pull' or a download",
        path));
  }
  return Unsupported(
      fmt::format("'{}' is no weight file that Tern knows (PyTorch .pth, safetensors, GGUF, rwkv.cpp "
                  ".bin); it begins with {}",
                  path, Quote(head.substr(0, kShownBytes))));
}

Result<std::shared_ptr<const TensorSource>> OpenOneFile(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const std::string_view head(reinterpret_cast<const char*>(file->bytes().data()),
                              std::min<size_t>(file->size(), 64));
  if (IsZip(head) || IsPickle(head)) return OpenPth(std::move(file));
  if (head.starts_with("GGUF")) return OpenGguf(std::move(file));
  if (head.starts_with("fmgg")) return OpenRwkvBin(std::move(file));  // 0x67676d66, little-endian
  if (IsSafetensors(head)) return OpenSafetensors(std::move(file));
  return UnknownFormat(path, head);
}

/// The index's map from tensors to the files of `folder` that hold them.
Result<std::map<std::string, std::string>> ReadWeightMap(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kLongestIndex));
  auto index = ParseJson(text, kIndexDepth);
  if (!index.ok()) return index.status().WithContext(fmt::format("'{}'", path));
  const auto found = index->find("weight_map");
  if (found == index->end() || !found->is_object() || found->empty()) {
    return Corrupt(fmt::format("'{}' has no object 'weight_map' that names files", path));
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& item : found->items()) {
    const std::string file = item.value().is_string() ? item.value().get<std::string>() : "";
    // Only files of the folder itself: an index must not reach for others.
    if (!CheckName(file, "file name").ok() || file.find('/') != std::string::npos) {
      return Corrupt(fmt::format("'{}' puts the tensor {} into {}, which is no name of a file", path,
                                 Quote(item.key()), Quote(file)));
    }
    weight_map.emplace(item.key(), file);
  }
  return weight_map;
}

Result<std::shared_ptr<const TensorSource>> OpenIndexed(const fs::path& folder) {
  TERN_ASSIGN_OR_RETURN(const auto weight_map, ReadWeightMap((folder / kIndexName).string()));
  std::set<std::string> names;
  for (const auto& entry : weight_map) names.insert(entry.second);
  std::vector<std::shared_ptr<const MappedFile>> files;
  for (const std::string& name : names) {
    TERN_ASSIGN_OR_RETURN(auto file, MappedFile::Open((folder / name).string()));
    files.push_back(std::move(file));
  }
  TERN_ASSIGN_OR_RETURN(auto source, OpenSafetensorsShards(folder.string(), std::move(files)));
  for (const auto& [tensor, file] : weight_map) {
    if (source->Find(tensor) == nullptr) {
      return Corrupt(fmt::format("'{}': the index puts the tensor {} into '{}', but no shard has it",
                                 folder.string(), Quote(tensor), file));
    }
  }
  return source;
}

bool IsWeightFile(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".safetensors" || extension == ".st" || extension == ".pth" || extension == ".gguf";
}

/// The one weight file of a folder.
Result<std::string> FindOnly(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (IsWeightFile(entry->path())) names.push_back(entry->path().filename().string());
  }
  if (error) return IoError(fmt::format("cannot list '{}': {}", folder.string(), error.message()));
  if (names.empty()) {
    return NotFound(
        fmt::format("'{}' holds no model: neither {} nor {} nor a file named *.safetensors, *.st, *.pth "
                    "or *.gguf",
                    folder.string(), kIndexName, kModelName));
  }
  if (names.size() > 1) {
    std::sort(names.begin(), names.end());
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return InvalidArgument(fmt::format("'{}' holds {} weight files ({}): name one of them", folder.string(),
                                       names.size(), list));
  }
  return (folder / names.front()).string();
}

Result<std::shared_ptr<const TensorSource>> OpenFolder(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / kIndexName, ignored)) return OpenIndexed(folder);
  if (fs::exists(folder / kModelName, ignored)) return OpenOneFile((folder / kModelName).string());
  TERN_ASSIGN_OR_RETURN(const std::string path, FindOnly(folder));
  return OpenOneFile(path);
}

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenTensorSource(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) ? OpenFolder(path) : OpenOneFile(path);
}

}  // namespace tern
