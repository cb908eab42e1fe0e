// rwkv.cpp's .bin: a header of six numbers, then one record after another to the end of the file.
// docs/formats/rwkv_bin.md draws it.
#include <fmt/format.h>

#include <array>
#include <limits>
#include <optional>

#include "base/bytes.h"
#include "formats/raw_container.h"

namespace tern {
namespace {

constexpr uint32_t kBinMagic = 0x67676d66;
constexpr uint32_t kOldVersion = 100;  // had other quantised blocks than today's
constexpr uint32_t kBinVersion = 101;
constexpr uint32_t kMaxDims = 3;
constexpr uint32_t kMaxInt32 = std::numeric_limits<int32_t>::max();

struct TypeNumber {
  uint32_t number;
  DType type;
};
constexpr std::array<TypeNumber, 7> kTypes = {{
    {0, DType::kF32},
    {1, DType::kF16},
    {2, DType::kQ4_0},
    {3, DType::kQ4_1},
    {7, DType::kQ5_0},
    {8, DType::kQ5_1},
    {9, DType::kQ8_0},
}};

std::optional<uint32_t> NumberOf(DType type) {
  for (const TypeNumber& row : kTypes) {
    if (row.type == type) return row.number;
  }
  return std::nullopt;
}

/// The type of a number in a file of this version; `what` says whose it is.
Result<DType> TypeOf(uint32_t number, uint32_t version, const std::string& what) {
  for (const TypeNumber& row : kTypes) {
    if (row.number != number) continue;
    if (version == kOldVersion && Traits(row.type).quantised) {
      return Unsupported(fmt::format(
          "{} is {} in a file of version {}, whose blocks nothing reads any more: quantise the model anew",
          what, Name(row.type), version));
    }
    return row.type;
  }
  return Unsupported(fmt::format(
      "{} has the data type number {}; known are 0 f32, 1 f16, 2 q4_0, 3 q4_1, 7 q5_0, 8 q5_1, 9 q8_0", what,
      number));
}

class BinReader {
 public:
  explicit BinReader(std::span<const std::byte> bytes) : in_(bytes) {}

  Result<ContainerContent> Read() {
    TERN_RETURN_IF_ERROR(ReadHeader());
    while (in_.remaining() > 0) TERN_RETURN_IF_ERROR(ReadTensor());
    return std::move(content_);
  }

 private:
  Status ReadHeader() {
    uint32_t magic, n_vocab, n_embed, n_layer, data_type;
    if (!in_.Read(&magic) || !in_.Read(&version_) || !in_.Read(&n_vocab) || !in_.Read(&n_embed) ||
        !in_.Read(&n_layer) || !in_.Read(&data_type)) {
      return Corrupt("the file ends within its header of 24 bytes");
    }
    if (magic != kBinMagic) return Corrupt(fmt::format("magic number {:#x}, expected {:#x}", magic, kBinMagic));
    if (version_ != kOldVersion && version_ != kBinVersion) {
      return Unsupported(fmt::format("version {} of rwkv.cpp's format, known are {} and {}", version_,
                                     kOldVersion, kBinVersion));
    }
    TERN_RETURN_IF_ERROR(SetSize("n_vocab", n_vocab));
    TERN_RETURN_IF_ERROR(SetSize("n_embed", n_embed));
    TERN_RETURN_IF_ERROR(SetSize("n_layer", n_layer));
    TERN_ASSIGN_OR_RETURN(const DType type, TypeOf(data_type, version_, "the header"));
    content_.metadata["rwkv.data_type"] = std::string(Name(type));
    content_.metadata["rwkv.version"] = static_cast<int64_t>(version_);
    return OkStatus();
  }

  Status SetSize(const std::string& name, uint32_t value) {
    if (value == 0 || value > kMaxInt32) {
      return Corrupt(fmt::format("{} is {} in the header, expected a positive int32", name,
                                 static_cast<int32_t>(value)));
    }
    content_.metadata["rwkv." + name] = static_cast<int64_t>(value);
    return OkStatus();
  }

  Status ReadTensor() {
    const std::string where = fmt::format("the tensor record at byte {}", in_.position());
    uint32_t dims, name_size, number;
    if (!in_.Read(&dims) || !in_.Read(&name_size) || !in_.Read(&number)) {
      return Corrupt(fmt::format("{} is cut short by the end of the file", where));
    }
    if (dims < 1 || dims > kMaxDims) {
      return Corrupt(fmt::format("{} has {} dimensions, expected 1 to {}", where, dims, kMaxDims));
    }
    TensorInfo tensor;
    tensor.shape.resize(dims);
    for (uint32_t i = 0; i < dims; ++i) {
      uint32_t size;  // fastest dimension first in the file, last in our shapes
      if (!in_.Read(&size)) return Corrupt(fmt::format("{} is cut short by the end of the file", where));
      tensor.shape[dims - 1 - i] = size;
    }
    std::string_view name;
    if (!in_.ReadString(name_size, &name)) {
      return Corrupt(fmt::format("{} has a name of {} bytes, but the file ends after {}", where, name_size,
                                 in_.remaining()));
    }
    TERN_RETURN_IF_ERROR(CheckName(name, "tensor name").WithContext(where));
    tensor.name = name;
    TERN_ASSIGN_OR_RETURN(tensor.dtype, TypeOf(number, version_, fmt::format("tensor '{}'", name)));
    return ReadData(std::move(tensor));
  }

  Status ReadData(TensorInfo tensor) {
    const auto size = NumBytes(tensor.dtype, tensor.shape);
    if (!size) {
      return Corrupt(fmt::format("tensor '{}' cannot be {} of shape {}", tensor.name, Name(tensor.dtype),
                                 ToString(tensor.shape)));
    }
    if (!in_.ReadBytes(*size, &tensor.bytes)) {
      return Corrupt(fmt::format(
          "tensor '{}' ({} {}) needs {} bytes at {}, but the file ends after {}: cut short?", tensor.name,
          Name(tensor.dtype), ToString(tensor.shape), *size, in_.position(), in_.remaining()));
    }
    content_.tensors.push_back(std::move(tensor));
    return OkStatus();
  }

  ByteReader in_;
  uint32_t version_ = 0;
  ContainerContent content_;
};

template <typename T>
void Put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Everything of a record before its data.
Result<std::string> RecordHead(const OutputTensor& tensor) {
  const auto number = NumberOf(tensor.dtype);
  if (!number) {
    return Unsupported(
        fmt::format("tensor '{}' is {}, for which rwkv.cpp's format has no number; it can hold f32, "
                    "f16, q4_0, q4_1, q5_0, q5_1 and q8_0",
                    tensor.name, Name(tensor.dtype)));
  }
  if (tensor.shape.empty() || tensor.shape.size() > kMaxDims) {
    return Unsupported(
        fmt::format("tensor '{}' of shape {} has {} dimensions; rwkv.cpp's format holds 1 to {}", tensor.name,
                    ToString(tensor.shape), tensor.shape.size(), kMaxDims));
  }
  std::string head;
  Put(&head, static_cast<uint32_t>(tensor.shape.size()));
  Put(&head, static_cast<uint32_t>(tensor.name.size()));
  Put(&head, *number);
  for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) {
    if (*dim > kMaxInt32) {
      return Unsupported(fmt::format("tensor '{}' of shape {} is too large for rwkv.cpp's 32-bit dimensions",
                                     tensor.name, ToString(tensor.shape)));
    }
    Put(&head, static_cast<uint32_t>(*dim));
  }
  return head + tensor.name;
}

Result<std::string> FileHead(const RwkvBinHeader& header) {
  const auto number = NumberOf(header.data_type);
  if (!number) {
    return Unsupported(
        fmt::format("rwkv.cpp's format has no number for matrices of {}", Name(header.data_type)));
  }
  if (header.n_vocab <= 0 || header.n_embed <= 0 || header.n_layer <= 0) {
    return InvalidArgument(fmt::format("n_vocab {}, n_embed {} and n_layer {} must be positive",
                                       header.n_vocab, header.n_embed, header.n_layer));
  }
  std::string head;
  Put(&head, kBinMagic);
  Put(&head, kBinVersion);
  Put(&head, header.n_vocab);
  Put(&head, header.n_embed);
  Put(&head, header.n_layer);
  Put(&head, *number);
  return head;
}

}  // namespace

Result<std::shared_ptr<const TensorSource>> OpenRwkvBin(std::shared_ptr<const MappedFile> file) {
  Result<ContainerContent> content = BinReader(file->bytes()).Read();
  return MakeRawSource(FileFormat::kRwkvBin, std::move(file), std::move(content));
}

Status WriteRwkvBin(const std::string& path, std::span<const OutputTensor> tensors,
                    const RwkvBinHeader& header, const WriteProgress& progress) {
  // All heads before the first byte: a tensor that cannot be written is found before hours of quantising.
  TERN_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes, OutputSizes(tensors));
  TERN_ASSIGN_OR_RETURN(const std::string file_head, FileHead(header));
  std::vector<std::string> heads;
  for (const OutputTensor& tensor : tensors) {
    TERN_ASSIGN_OR_RETURN(std::string head, RecordHead(tensor));
    heads.push_back(std::move(head));
  }
  TERN_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  TERN_RETURN_IF_ERROR(file->Append(file_head));
  const auto append_head = [&](size_t i) { return file->Append(heads[i]); };
  TERN_RETURN_IF_ERROR(AppendTensors(file.get(), tensors, sizes, 1, append_head, progress));
  return file->Commit();
}

}  // namespace tern
