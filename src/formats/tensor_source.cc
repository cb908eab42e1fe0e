#include "formats/tensor_source.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/mapped_pages.h"

namespace tern {

std::string_view Name(FileFormat format) {
  switch (format) {
    case FileFormat::kPth: return "pth";
    case FileFormat::kSafetensors: return "safetensors";
    case FileFormat::kGguf: return "gguf";
    case FileFormat::kRwkvBin: return "rwkv.cpp bin";
  }
  return "?";
}

const TensorInfo* TensorSource::Find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Status TensorSource::Add(TensorInfo tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second) {
    return Corrupt(fmt::format("'{}': two tensors are named '{}'", path_, tensor.name));
  }
  tensors_.push_back(std::move(tensor));
  return OkStatus();
}

bool TensorSource::IsMapped(std::span<const std::byte> bytes) const {
  return std::any_of(files_.begin(), files_.end(), [&](const auto& file) {
    const std::byte* begin = file->bytes().data();
    return bytes.data() >= begin && bytes.data() + bytes.size() <= begin + file->size();
  });
}

void TensorSource::Forget(std::span<const std::byte> bytes) const {
  if (IsMapped(bytes)) ReleasePages(bytes);
}

Result<TensorBytes> Produce(const OutputTensor& tensor) {
  if (!tensor.produce_pieces) return tensor.produce();
  TensorBytes all;
  TERN_RETURN_IF_ERROR(tensor.produce_pieces([&](std::span<const std::byte> piece) {
    all.owned.insert(all.owned.end(), piece.begin(), piece.end());
    return OkStatus();
  }));
  return all;
}

}  // namespace tern
