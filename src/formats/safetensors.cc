// Reading safetensors: a length, a JSON header of that length, the tensors' bytes.
// docs/formats/safetensors.md.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "formats/raw_container.h"
#include "formats/safetensors_dtypes.h"
#include "formats/safetensors_json.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr size_t kHeaderDepth = 3;  // header, tensor, shape

/// json[key] as a list of non-negative integers that fit int64.
Result<Shape> ReadNumbers(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array())
    return Corrupt(fmt::format("its '{}' is missing or no list", key));
  Shape numbers;
  for (const Json& element : *found) {
    if (!element.is_number_unsigned() || element.get<uint64_t>() > uint64_t{INT64_MAX}) {
      return Corrupt(fmt::format("its '{}' holds something that is no size or offset", key));
    }
    numbers.push_back(element.get<int64_t>());
  }
  return numbers;
}

Result<DType> ReadDType(const Json& json) {
  const auto found = json.find("dtype");
  if (found == json.end() || !found->is_string()) return Corrupt("its 'dtype' is missing or no string");
  const auto& name = found->get_ref<const std::string&>();
  if (const auto type = SafetensorsType(name)) return *type;
  return Unsupported(fmt::format("its dtype {} is none of {}", Quote(name), SafetensorsTypeNames()));
}

Result<TensorInfo> ReadTensor(const std::string& name, const Json& json, std::span<const std::byte> data) {
  if (!json.is_object()) return Corrupt("it is described by something that is no JSON object");
  TensorInfo tensor;
  tensor.name = name;
  TERN_ASSIGN_OR_RETURN(tensor.dtype, ReadDType(json));
  TERN_ASSIGN_OR_RETURN(tensor.shape, ReadNumbers(json, "shape"));
  TERN_ASSIGN_OR_RETURN(const Shape offsets, ReadNumbers(json, "data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    return Corrupt(fmt::format("its 'data_offsets' are {}, expected [begin, end]", ToString(offsets)));
  }
  const auto begin = static_cast<uint64_t>(offsets[0]);
  const auto end = static_cast<uint64_t>(offsets[1]);
  if (end > data.size()) {
    return Corrupt(fmt::format("it ends at byte {} of the data, of which the file has {}: cut short?", end,
                               data.size()));
  }
  const auto size = NumBytes(tensor.dtype, tensor.shape);
  if (!size || *size != end - begin) {
    return Corrupt(fmt::format("it has {} bytes, but {} of shape {} needs {}", end - begin,
                               Name(tensor.dtype), ToString(tensor.shape),
                               size ? fmt::format("{}", *size) : "more than 2^63"));
  }
  tensor.bytes = data.subspan(begin, end - begin);
  return tensor;
}

Status ReadMetadata(const Json& json, Metadata* metadata) {
  if (!json.is_object()) return Corrupt("__metadata__ is no JSON object");
  for (const auto& item : json.items()) {
    if (!item.value().is_string()) {
      return Corrupt(fmt::format("__metadata__ {} is no string", Quote(item.key())));
    }
    (*metadata)[item.key()] = item.value().get<std::string>();
  }
  return OkStatus();
}

Result<ContainerContent> ReadHeader(const Json& header, std::span<const std::byte> data) {
  if (!header.is_object()) return Corrupt("its header is no JSON object");
  ContainerContent content;
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__") {
      TERN_RETURN_IF_ERROR(ReadMetadata(item.value(), &content.metadata));
      continue;
    }
    TERN_RETURN_IF_ERROR(CheckName(item.key(), "tensor name"));
    auto tensor = ReadTensor(item.key(), item.value(), data);
    if (!tensor.ok()) return tensor.status().WithContext(fmt::format("tensor '{}'", item.key()));
    content.tensors.push_back(std::move(*tensor));
  }
  TERN_RETURN_IF_ERROR(CheckNoOverlap(content.tensors));
  // The order of the data: JSON has none, and readers that walk the file should walk it forwards.
  // Of tensors at one place, the empty ones come first.
  std::stable_sort(content.tensors.begin(), content.tensors.end(),
                   [](const TensorInfo& a, const TensorInfo& b) {
                     if (a.bytes.data() == b.bytes.data()) return a.bytes.size() < b.bytes.size();
                     return std::less<const std::byte*>()(a.bytes.data(), b.bytes.data());
                   });
  return content;
}

Result<ContainerContent> ReadFile(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  uint64_t length;
  if (!in.Read(&length))
    return Corrupt(fmt::format("{} bytes are too few for a safetensors file", bytes.size()));
  if (length > kSafetensorsLongestHeader) {
    return Corrupt(fmt::format("its header is to have {} bytes; safetensors allows {}", length,
                               kSafetensorsLongestHeader));
  }
  std::string_view text;
  if (!in.ReadString(length, &text)) {
    return Corrupt(fmt::format("its header is to have {} bytes, but only {} follow: cut short?", length,
                               in.remaining()));
  }
  auto header = ParseJson(text, kHeaderDepth);
  if (!header.ok()) return header.status().WithContext("header");
  return ReadHeader(*header, bytes.subspan(in.position()));
}

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenSafetensors(std::shared_ptr<const MappedFile> file) {
  auto content = ReadFile(file->bytes());
  return MakeRawSource(FileFormat::kSafetensors, std::move(file), std::move(content));
}

}  // namespace tern
