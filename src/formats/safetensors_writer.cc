// Writing safetensors. The header is known before the first tensor is produced, so the file is written front
// to back.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/raw_container.h"
#include "formats/safetensors_dtypes.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr size_t kHeaderAlignment = 8;

/// `text` as a JSON string. Throws on what is not UTF-8.
std::string JsonString(const std::string& text) { return Json(text).dump(); }

/// The format's metadata holds strings alone: everything else becomes its text.
std::string Text(const MetaValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return std::visit([](const auto& v) { return Json(v).dump(); }, value);
}

std::string MetadataText(const Metadata& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", JsonString(key), JsonString(Text(value)));
  }
  return fmt::format("\"__metadata__\":{{{}}}", text);
}

/// One tensor's entry; `offset` counts from the end of the header. Written by hand: the order of the keys
/// matters to no reader, but this is the one that the format's own library writes.
std::string Entry(const OutputTensor& tensor, std::string_view type, uint64_t offset, uint64_t size) {
  return fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}", JsonString(tensor.name),
                     type, Json(tensor.shape).dump(), offset, offset + size);
}

Result<std::string> Header(std::span<const OutputTensor> tensors, std::span<const uint64_t> sizes,
                           const Metadata& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += MetadataText(metadata);
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const OutputTensor& tensor = tensors[i];
    const auto type = SafetensorsName(tensor.dtype);
    if (!type) {
      return Unsupported(fmt::format("tensor '{}' is {}, which safetensors cannot hold; it can hold {}",
                                     tensor.name, Name(tensor.dtype), SafetensorsTypeNames()));
    }
    if (tensor.name == "__metadata__")
      return InvalidArgument("safetensors keeps the name '__metadata__' for itself");
    if (header.size() > 1) header += ',';
    header += Entry(tensor, *type, offset, sizes[i]);
    if (__builtin_add_overflow(offset, sizes[i], &offset))
      return InvalidArgument("the tensors exceed 2^64 bytes");
  }
  header += '}';
  header.append((kHeaderAlignment - header.size() % kHeaderAlignment) % kHeaderAlignment, ' ');
  if (header.size() > kSafetensorsLongestHeader) {
    return Unsupported(
        fmt::format("a header of {} bytes; safetensors allows {}", header.size(), kSafetensorsLongestHeader));
  }
  return header;
}

Result<std::string> HeaderOrError(std::span<const OutputTensor> tensors, std::span<const uint64_t> sizes,
                                  const Metadata& metadata) {
  try {
    return Header(tensors, sizes, metadata);
  } catch (const Json::exception&) {
    return InvalidArgument("a name or a metadata value is not UTF-8, which safetensors demands");
  }
}

}  // namespace

Result<std::string> SafetensorsHeader(std::span<const OutputTensor> tensors, const Metadata& metadata) {
  TERN_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes, OutputSizes(tensors));
  TERN_ASSIGN_OR_RETURN(const std::string header, HeaderOrError(tensors, sizes, metadata));
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header;
}

Status WriteSafetensors(const std::string& path, std::span<const OutputTensor> tensors,
                        const Metadata& metadata, const WriteProgress& progress) {
  TERN_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes, OutputSizes(tensors));
  TERN_ASSIGN_OR_RETURN(const std::string header, SafetensorsHeader(tensors, metadata));
  TERN_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  TERN_RETURN_IF_ERROR(file->Append(header));
  TERN_RETURN_IF_ERROR(AppendTensors(file.get(), tensors, sizes, 1, {}, progress));
  return file->Commit();
}

}  // namespace tern
