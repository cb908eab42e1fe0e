// Which format a file has, by its first bytes, and where a folder keeps its model
// (docs/formats.md#what-is-accepted).
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/bytes.h"
#include "formats/checkpoint_names.h"
#include "formats/gguf_split.h"
#include "formats/hub_config.h"
#include "formats/joined_source.h"
#include "formats/pth_legacy.h"
#include "formats/raw_container.h"
#include "formats/safetensors_dtypes.h"
#include "formats/safetensors_json.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLongestIndex = uint64_t{64} << 20;
constexpr size_t kShownBytes = 16;
constexpr size_t kIndexDepth = 16;

/// What a Hugging Face folder may hold, in the order in which its loader looks.
struct HubLayout {
  const char* file;
  const char* index;  ///< of shards
};
constexpr HubLayout kHubLayouts[] = {{"model.safetensors", "model.safetensors.index.json"},
                                     {"pytorch_model.bin", "pytorch_model.bin.index.json"}};

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
  return Unsupported(
      fmt::format("'{}' is no weight file that Tern knows (PyTorch .pth, safetensors, GGUF, rwkv.cpp "
                  ".bin); it begins with {}",
                  path, Quote(head.substr(0, kShownBytes))));
}

Result<std::shared_ptr<const TensorSource>> OpenOneFile(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const std::string_view head(reinterpret_cast<const char*>(file->bytes().data()),
                              std::min<size_t>(file->size(), 64));
  if (IsZip(head) || IsPickle(head) || IsLegacyPth(file->bytes())) return OpenPth(std::move(file));
  if (head.starts_with("GGUF")) {
    TERN_ASSIGN_OR_RETURN(auto source, OpenGguf(std::move(file)));
    return JoinGgufParts(std::move(source));
  }
  if (head.starts_with("fmgg")) return OpenRwkvBin(std::move(file));  // 0x67676d66, little-endian
  if (IsSafetensors(head)) return OpenSafetensors(std::move(file));
  return UnknownFormat(path, head);
}

/// Takes off what wrappers put in front of all names, and adds the model's config.json, where there is any of
/// this.
Result<std::shared_ptr<const TensorSource>> WithPlainNamesAndConfig(
    std::shared_ptr<const TensorSource> source, const fs::path& folder) {
  if (source->format() != FileFormat::kPth && source->format() != FileFormat::kSafetensors) return source;
  const std::string prefix = SharedPrefix(*source);
  if (prefix.empty() && !HasHubNames(*source)) return source;
  auto renamed = std::make_shared<JoinedSource>(source->format(), source->path());
  TERN_RETURN_IF_ERROR(renamed->Take(std::move(source), prefix));
  if (HasHubNames(*renamed)) {
    TERN_ASSIGN_OR_RETURN(Metadata config, ReadHubConfig(folder));
    for (auto& [key, value] : config) renamed->Set(key, std::move(value));
  }
  return std::shared_ptr<const TensorSource>(std::move(renamed));
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

Result<std::shared_ptr<const TensorSource>> OpenIndexed(const fs::path& folder, const char* index) {
  TERN_ASSIGN_OR_RETURN(const auto weight_map, ReadWeightMap((folder / index).string()));
  std::set<std::string> names;
  for (const auto& entry : weight_map) names.insert(entry.second);
  std::shared_ptr<JoinedSource> model;
  for (const std::string& name : names) {
    TERN_ASSIGN_OR_RETURN(auto shard, OpenOneFile((folder / name).string()));
    if (model == nullptr) model = std::make_shared<JoinedSource>(shard->format(), folder.string());
    if (shard->format() != model->format()) {
      return Corrupt(fmt::format("'{}' is {}, but another shard of its index is {}", shard->path(),
                                 Name(shard->format()), Name(model->format())));
    }
    TERN_RETURN_IF_ERROR(model->Take(std::move(shard)));
  }
  for (const auto& [tensor, file] : weight_map) {
    if (model->Find(tensor) == nullptr) {
      return Corrupt(fmt::format("'{}': the index puts the tensor {} into '{}', but no shard has it",
                                 folder.string(), Quote(tensor), file));
    }
  }
  return std::shared_ptr<const TensorSource>(std::move(model));
}

/// What training programs leave beside a model, in files with the extensions of weights.
bool IsTrainingFile(const std::string& name) {
  for (const std::string_view other :
       {"training_args.", "optimizer.", "scheduler.", "scaler.", "rng_state", "random_states"}) {
    if (name.starts_with(other)) return true;
  }
  return name.find("_optim_states.") != std::string::npos;  // DeepSpeed's
}

/// Whether a file of a folder may be the folder's model.
bool MayBeModel(const fs::path& path) {
  const std::string extension = path.extension().string();
  const std::string name = path.filename().string();
  if (IsTrainingFile(name)) return false;
  std::error_code ignored;
  if (extension == ".bin")
    return !fs::exists(fs::path(path).replace_extension(".idx"), ignored);  // a corpus has an .idx
  for (const char* known : {".safetensors", ".st", ".pth", ".pt", ".gguf"}) {
    if (extension == known) return true;
  }
  return false;
}

/// The files of a folder that may be its model, sorted. Of a split GGUF the first part that is there stands
/// for all.
Result<std::vector<std::string>> Candidates(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (MayBeModel(entry->path())) names.push_back(entry->path().filename().string());
  }
  if (error) return IoError(fmt::format("cannot list '{}': {}", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  std::set<std::pair<std::string, int>> splits;
  std::erase_if(names, [&](const std::string& name) {
    const auto part = ParseGgufPartName(name);
    return part && !splits.emplace(part->stem, part->count).second;
  });
  return names;
}

/// The one weight file of a folder.
Result<std::string> FindOnly(const fs::path& folder) {
  TERN_ASSIGN_OR_RETURN(const std::vector<std::string> names, Candidates(folder));
  if (names.empty()) {
    return NotFound(
        fmt::format("'{}' holds no model: neither {} nor {}, with or without an index of shards, nor a file "
                    "named *.safetensors, *.st, *.pth, *.pt, *.bin or *.gguf",
                    folder.string(), kHubLayouts[0].file, kHubLayouts[1].file));
  }
  if (names.size() > 1) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return InvalidArgument(fmt::format("'{}' holds {} weight files ({}): name one of them", folder.string(),
                                       names.size(), list));
  }
  return (folder / names.front()).string();
}

Result<std::shared_ptr<const TensorSource>> OpenFolder(const fs::path& folder) {
  std::error_code ignored;
  for (const HubLayout& layout : kHubLayouts) {
    if (fs::exists(folder / layout.index, ignored)) return OpenIndexed(folder, layout.index);
    if (fs::exists(folder / layout.file, ignored)) return OpenOneFile((folder / layout.file).string());
  }
  TERN_ASSIGN_OR_RETURN(const std::string path, FindOnly(folder));
  return OpenOneFile(path);
}

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenTensorSource(const std::string& path) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  TERN_ASSIGN_OR_RETURN(auto source, is_folder ? OpenFolder(path) : OpenOneFile(path));
  return WithPlainNamesAndConfig(std::move(source),
                                 is_folder ? fs::path(path) : fs::path(path).parent_path());
}

}  // namespace tern
