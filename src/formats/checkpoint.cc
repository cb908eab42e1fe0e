#include "formats/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "formats/checkpoint_builder.h"

namespace tern {

std::string_view Name(Generation generation) {
  switch (generation) {
    case Generation::kRwkv4:
      return "RWKV-4";
    case Generation::kRwkv5_0:
      return "RWKV-5.0";
    case Generation::kRwkv5_1:
      return "RWKV-5.1";
    case Generation::kRwkv5_2:
      return "RWKV-5.2";
    case Generation::kRwkv6:
      return "RWKV-6";
    case Generation::kRwkv7:
      return "RWKV-7";
  }
  return "?";
}

Shape CheckpointTensor::StoredShape() const {
  Shape stored = shape;
  if (transposed && stored.size() >= 2) std::swap(stored[stored.size() - 1], stored[stored.size() - 2]);
  return stored;
}

const CheckpointTensor* Checkpoint::Find(std::string_view name) const {
  const auto it = index_.find(std::string(name));
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::FromSource(std::shared_ptr<const TensorSource> source) {
  return CheckpointBuilder(std::move(source)).Build();
}

const CheckpointTensor* FindInitialState(const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  const auto found = std::find_if(tensors.begin(), tensors.end(), [](const CheckpointTensor& tensor) {
    return tensor.name.ends_with(".att.time_state");
  });
  return found == tensors.end() ? nullptr : &*found;
}

Result<std::shared_ptr<const Checkpoint>> OpenCheckpoint(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(auto source, OpenTensorSource(path));
  return Checkpoint::FromSource(std::move(source));
}

Result<FileFormat> FormatFromExtension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  for (char& c : extension) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (extension == ".pth" || extension == ".pt") return FileFormat::kPth;
  if (extension == ".safetensors" || extension == ".st") return FileFormat::kSafetensors;
  if (extension == ".gguf") return FileFormat::kGguf;
  if (extension == ".bin") return FileFormat::kRwkvBin;
  return InvalidArgument(fmt::format(
      "'{}': the extension tells no format; known are .pth .pt, .safetensors .st, .gguf and .bin", path));
}

}  // namespace tern
