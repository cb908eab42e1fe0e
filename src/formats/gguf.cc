// Reading GGUF: keys with values, then descriptions of tensors, then their aligned data.
// docs/formats/gguf.md.
#include <fmt/format.h>

#include <optional>

#include "base/bytes.h"
#include "formats/gguf_types.h"
#include "formats/raw_container.h"

namespace tern {
namespace {

// The least that one of each takes in a file: counts beyond what fits are refused before anything is
// allocated.
constexpr uint64_t kLeastKeyValue = 8 + 4 + 1;    // length of the key, type, a byte
constexpr uint64_t kLeastTensor = 8 + 4 + 4 + 8;  // length of the name, dimensions, type, offset
constexpr uint64_t kLeastString = 8;

Status CutShort() { return Corrupt("the file is cut short"); }

class GgufReader {
 public:
  explicit GgufReader(std::span<const std::byte> bytes) : bytes_(bytes), in_(bytes) {}

  Result<ContainerContent> Read() {
    TERN_RETURN_IF_ERROR(ReadHeader());
    for (uint64_t i = 0; i < key_values_; ++i) {
      TERN_RETURN_IF_ERROR(ReadKeyValue().WithContext(fmt::format("metadata {} of {}", i + 1, key_values_)));
    }
    for (uint64_t i = 0; i < tensors_; ++i) {
      TERN_RETURN_IF_ERROR(ReadTensor().WithContext(fmt::format("tensor {} of {}", i + 1, tensors_)));
    }
    TERN_RETURN_IF_ERROR(PlaceTensors());
    return std::move(content_);
  }

 private:
  Status ReadHeader();
  Status ReadString(std::string_view* text);
  Status ReadKeyValue();
  Result<MetaValue> ReadValue(GgufType type);
  Result<MetaValue> ReadArray();
  Status ReadTensor();
  Result<uint64_t> Alignment() const;
  Status PlaceTensors();

  template <typename T, typename Stored>
  Result<MetaValue> ReadScalar() {
    T value;
    if (!in_.Read(&value)) return CutShort();
    return MetaValue(static_cast<Stored>(value));
  }
  /// An array of T's, each of which becomes a Stored.
  template <typename T, typename Stored>
  Result<MetaValue> ReadScalars(uint64_t count) {
    if (count > in_.remaining() / sizeof(T)) return CutShort();
    std::vector<Stored> values;
    values.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      T value;
      if (!in_.Read(&value)) return CutShort();
      if constexpr (std::is_same_v<T, uint64_t>) {
        if (value > uint64_t{INT64_MAX})
          return Unsupported(fmt::format("{} in a list does not fit int64", value));
      }
      values.push_back(static_cast<Stored>(value));
    }
    return MetaValue(std::move(values));
  }
  Result<MetaValue> ReadBools(uint64_t count);
  Result<MetaValue> ReadStrings(uint64_t count);

  std::span<const std::byte> bytes_;
  ByteReader in_;
  uint64_t tensors_ = 0, key_values_ = 0;
  ContainerContent content_;
  std::vector<uint64_t> offsets_;  ///< of content_.tensors, from the start of the data
};

Status GgufReader::ReadHeader() {
  uint32_t magic, version;
  if (!in_.Read(&magic) || !in_.Read(&version)) return CutShort();
  if (magic != kGgufMagic)
    return Corrupt(fmt::format("magic number {:#x}, expected {:#x}", magic, kGgufMagic));
  if (version != 0 && (version & 0xffff) == 0) {
    return Unsupported("a big-endian GGUF file; Tern reads little-endian ones");
  }
  if (version != 2 && version != kGgufVersion) {
    return Unsupported(fmt::format("GGUF of version {}; Tern reads versions 2 and 3", version));
  }
  if (!in_.Read(&tensors_) || !in_.Read(&key_values_)) return CutShort();
  if (key_values_ > in_.remaining() / kLeastKeyValue || tensors_ > in_.remaining() / kLeastTensor) {
    return Corrupt(fmt::format("{} tensors and {} metadata keys do not fit into a file of {} bytes", tensors_,
                               key_values_, bytes_.size()));
  }
  return OkStatus();
}

Status GgufReader::ReadString(std::string_view* text) {
  uint64_t size;
  if (!in_.Read(&size)) return CutShort();
  if (!in_.ReadString(size, text)) {
    return Corrupt(
        fmt::format("a string is to have {} bytes, but the file ends after {}", size, in_.remaining()));
  }
  return OkStatus();
}

Status GgufReader::ReadKeyValue() {
  std::string_view key;
  TERN_RETURN_IF_ERROR(ReadString(&key));
  TERN_RETURN_IF_ERROR(CheckName(key, "metadata key"));
  uint32_t type;
  if (!in_.Read(&type)) return CutShort();
  auto value = ReadValue(static_cast<GgufType>(type));
  if (!value.ok()) return value.status().WithContext(fmt::format("'{}'", key));
  if (!content_.metadata.emplace(std::string(key), std::move(*value)).second) {
    return Corrupt(fmt::format("the key '{}' stands twice in the file", key));
  }
  return OkStatus();
}

Result<MetaValue> GgufReader::ReadValue(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
      return ReadScalar<uint8_t, uint64_t>();
    case GgufType::kInt8:
      return ReadScalar<int8_t, int64_t>();
    case GgufType::kUint16:
      return ReadScalar<uint16_t, uint64_t>();
    case GgufType::kInt16:
      return ReadScalar<int16_t, int64_t>();
    case GgufType::kUint32:
      return ReadScalar<uint32_t, uint64_t>();
    case GgufType::kInt32:
      return ReadScalar<int32_t, int64_t>();
    case GgufType::kFloat32:
      return ReadScalar<float, double>();
    case GgufType::kBool:
      return ReadScalar<uint8_t, bool>();
    case GgufType::kUint64:
      return ReadScalar<uint64_t, uint64_t>();
    case GgufType::kInt64:
      return ReadScalar<int64_t, int64_t>();
    case GgufType::kFloat64:
      return ReadScalar<double, double>();
    case GgufType::kArray:
      return ReadArray();
    case GgufType::kString: {
      std::string_view text;
      TERN_RETURN_IF_ERROR(ReadString(&text));
      return MetaValue(std::string(text));
    }
  }
  return Corrupt(
      fmt::format("the value has the type number {}, known are 0 to 12", static_cast<uint32_t>(type)));
}

Result<MetaValue> GgufReader::ReadArray() {
  uint32_t type;
  uint64_t count;
  if (!in_.Read(&type) || !in_.Read(&count)) return CutShort();
  switch (static_cast<GgufType>(type)) {
    case GgufType::kUint8:
      return ReadScalars<uint8_t, int64_t>(count);
    case GgufType::kInt8:
      return ReadScalars<int8_t, int64_t>(count);
    case GgufType::kUint16:
      return ReadScalars<uint16_t, int64_t>(count);
    case GgufType::kInt16:
      return ReadScalars<int16_t, int64_t>(count);
    case GgufType::kUint32:
      return ReadScalars<uint32_t, int64_t>(count);
    case GgufType::kInt32:
      return ReadScalars<int32_t, int64_t>(count);
    case GgufType::kFloat32:
      return ReadScalars<float, double>(count);
    case GgufType::kBool:
      return ReadBools(count);
    case GgufType::kString:
      return ReadStrings(count);
    case GgufType::kUint64:
      return ReadScalars<uint64_t, int64_t>(count);
    case GgufType::kInt64:
      return ReadScalars<int64_t, int64_t>(count);
    case GgufType::kFloat64:
      return ReadScalars<double, double>(count);
    case GgufType::kArray:
      return Unsupported("a list of lists");
  }
  return Corrupt(fmt::format("a list's values have the type number {}, known are 0 to 12", type));
}

Result<MetaValue> GgufReader::ReadBools(uint64_t count) {
  std::span<const std::byte> bytes;
  if (!in_.ReadBytes(count, &bytes)) return CutShort();
  std::vector<int64_t> values;
  values.reserve(bytes.size());
  for (std::byte b : bytes) values.push_back(b != std::byte{0});
  return MetaValue(std::move(values));
}

Result<MetaValue> GgufReader::ReadStrings(uint64_t count) {
  if (count > in_.remaining() / kLeastString) return CutShort();
  std::vector<std::string> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view text;
    TERN_RETURN_IF_ERROR(ReadString(&text));
    values.emplace_back(text);
  }
  return MetaValue(std::move(values));
}

Status GgufReader::ReadTensor() {
  TensorInfo tensor;
  std::string_view name;
  TERN_RETURN_IF_ERROR(ReadString(&name));
  TERN_RETURN_IF_ERROR(CheckName(name, "tensor name"));
  tensor.name = name;
  uint32_t dims;
  if (!in_.Read(&dims)) return CutShort();
  if (dims > kGgufMaxDims) {
    return Corrupt(fmt::format("'{}' has {} dimensions, at most {} are allowed", name, dims, kGgufMaxDims));
  }
  tensor.shape.resize(dims);
  for (uint32_t i = 0; i < dims; ++i) {
    // The file lists the fastest dimension first, our shapes last. Negative ones are refused with the sizes.
    if (!in_.Read(&tensor.shape[dims - 1 - i])) return CutShort();
  }
  uint32_t type;
  uint64_t offset;
  if (!in_.Read(&type) || !in_.Read(&offset)) return CutShort();
  const auto known = GgufTensorType(type);
  if (!known) {
    return Unsupported(
        fmt::format("'{}' has the type number {}; Tern reads {}", name, type, GgufTensorTypeNames()));
  }
  tensor.dtype = *known;
  content_.tensors.push_back(std::move(tensor));
  offsets_.push_back(offset);
  return OkStatus();
}

Result<uint64_t> GgufReader::Alignment() const {
  const auto found = content_.metadata.find(kGgufAlignmentKey);
  if (found == content_.metadata.end()) return kGgufAlignment;
  const auto* value = std::get_if<uint64_t>(&found->second);
  if (value == nullptr) return Corrupt(fmt::format("'{}' is no unsigned number", kGgufAlignmentKey));
  if (!std::has_single_bit(*value)) {
    return Corrupt(fmt::format("'{}' is {}, expected a power of two", kGgufAlignmentKey, *value));
  }
  return *value;
}

/// Turns the offsets into views, now that the start of the data is known.
Status GgufReader::PlaceTensors() {
  TERN_ASSIGN_OR_RETURN(const uint64_t alignment, Alignment());
  const auto rounded = CheckedAdd(in_.position(), alignment - 1);
  const uint64_t start = rounded ? *rounded & ~(alignment - 1) : UINT64_MAX;
  std::span<const std::byte> data;
  if (start <= bytes_.size()) data = bytes_.subspan(start);
  for (size_t i = 0; i < content_.tensors.size(); ++i) {
    TensorInfo& tensor = content_.tensors[i];
    const uint64_t offset = offsets_[i];
    const auto size = NumBytes(tensor.dtype, tensor.shape);
    if (!size) {
      return Corrupt(fmt::format("tensor '{}' cannot be {} of shape {}", tensor.name, Name(tensor.dtype),
                                 ToString(tensor.shape)));
    }
    if (offset % alignment != 0) {
      return Corrupt(fmt::format("tensor '{}' is at offset {}, expected a multiple of {}", tensor.name,
                                 offset, alignment));
    }
    if (offset > data.size() || *size > data.size() - offset) {
      return Corrupt(fmt::format(
          "tensor '{}' ({} {}) has {} bytes at {} of the data, of which the file has {}: cut short?",
          tensor.name, Name(tensor.dtype), ToString(tensor.shape), *size, offset, data.size()));
    }
    tensor.bytes = data.subspan(offset, *size);
  }
  return CheckNoOverlap(content_.tensors);
}

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenGguf(std::shared_ptr<const MappedFile> file) {
  Result<ContainerContent> content = GgufReader(file->bytes()).Read();
  return MakeRawSource(FileFormat::kGguf, std::move(file), std::move(content));
}

}  // namespace tern
