#include "formats/joined_source.h"

#include <algorithm>

namespace tern {

Status JoinedSource::Take(std::shared_ptr<const TensorSource> part, std::string_view prefix) {
  for (TensorInfo tensor : part->tensors()) {
    tensor.name.erase(0, prefix.size());
    TERN_RETURN_IF_ERROR(Add(std::move(tensor)));
  }
  for (const auto& [name, maker] : part->opaque()) {
    opaque_.emplace(name.starts_with(prefix) ? name.substr(prefix.size()) : name, maker);
  }
  for (const auto& [key, value] : part->metadata()) metadata_.emplace(key, value);
  ShareFilesOf(*part);
  parts_.push_back(std::move(part));
  return OkStatus();
}

Status JoinedSource::Verify() const {
  for (const auto& part : parts_) TERN_RETURN_IF_ERROR(part->Verify());
  return OkStatus();
}

bool JoinedSource::HasChecksums() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const auto& part) { return part->HasChecksums(); });
}

}  // namespace tern
