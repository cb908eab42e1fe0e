// Writing GGUF, version 3. Everything before the data is put together in memory, then the tensors follow one
// by one.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "formats/gguf_types.h"
#include "formats/raw_container.h"

namespace tern {
namespace {

constexpr size_t kLongestName = 63;  // ggml's names are C strings of 64 bytes
constexpr const char* kArchitectureKey = "general.architecture";

template <typename T>
bool Fits(int64_t value) {
  return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

/// Infinities and NaNs have a float of their own; a double beyond the largest float has none.
bool FitsFloat(double value) {
  return !std::isfinite(value) || std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max());
}

/// The bytes in front of the tensors' data.
class Head {
 public:
  template <typename T>
  void Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void PutString(std::string_view text) {
    Put(uint64_t{text.size()});
    bytes_.append(text);
  }
  void PutKeyValue(const std::string& key, const MetaValue& value) {
    PutString(key);
    std::visit([this](const auto& v) { PutValue(v); }, value);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  // The narrowest of the types that ggml's own writers use for such a value.
  void PutValue(bool value) {
    Put(GgufType::kBool);
    Put(static_cast<uint8_t>(value));
  }
  void PutValue(uint64_t value) {
    if (value <= std::numeric_limits<uint32_t>::max()) {
      Put(GgufType::kUint32);
      Put(static_cast<uint32_t>(value));
    } else {
      Put(GgufType::kUint64);
      Put(value);
    }
  }
  void PutValue(int64_t value) {
    PutNumbers<int32_t, int64_t>({&value, 1}, GgufType::kInt32, GgufType::kInt64, false);
  }
  void PutValue(double value) {
    PutNumbers<float, double>({&value, 1}, GgufType::kFloat32, GgufType::kFloat64, false);
  }
  void PutValue(const std::string& value) {
    Put(GgufType::kString);
    PutString(value);
  }
  void PutValue(const std::vector<int64_t>& values) {
    PutNumbers<int32_t>(std::span(values), GgufType::kInt32, GgufType::kInt64, true);
  }
  void PutValue(const std::vector<double>& values) {
    PutNumbers<float>(std::span(values), GgufType::kFloat32, GgufType::kFloat64, true);
  }
  void PutValue(const std::vector<std::string>& values) {
    Put(GgufType::kArray);
    Put(GgufType::kString);
    Put(uint64_t{values.size()});
    for (const std::string& value : values) PutString(value);
  }

  static bool FitsNarrow(int64_t value) { return Fits<int32_t>(value); }
  static bool FitsNarrow(double value) { return FitsFloat(value); }

  /// One number, or a list of them: as Narrow where all of them fit.
  template <typename Narrow, typename Wide>
  void PutNumbers(std::span<const Wide> values, GgufType narrow, GgufType wide, bool list) {
    bool fit = true;
    for (Wide value : values) fit = fit && FitsNarrow(value);
    if (list) Put(GgufType::kArray);
    Put(fit ? narrow : wide);
    if (list) Put(uint64_t{values.size()});
    for (Wide value : values) {
      if (fit) {
        Put(static_cast<Narrow>(value));
      } else {
        Put(value);
      }
    }
  }

  std::string bytes_;
};

Status PutMetadata(const Metadata& metadata, Head* head) {
  for (const auto& [key, value] : metadata) {
    const Status name = CheckName(key, "metadata key");
    if (!name.ok()) return InvalidArgument(name.message());
  }
  // Readers choose by the architecture how to understand the rest, so it stands first. The alignment is the
  // default one, whatever the file that the metadata came from had.
  const auto architecture = metadata.find(kArchitectureKey);
  if (architecture != metadata.end()) head->PutKeyValue(kArchitectureKey, architecture->second);
  for (const auto& [key, value] : metadata) {
    if (key != kArchitectureKey && key != kGgufAlignmentKey) head->PutKeyValue(key, value);
  }
  return OkStatus();
}

Status PutTensor(const OutputTensor& tensor, uint64_t offset, Head* head) {
  const auto number = GgufTensorNumber(tensor.dtype);
  if (!number) {
    return Unsupported(fmt::format("tensor '{}' is {}, which Tern does not write to GGUF; it writes {}",
                                   tensor.name, Name(tensor.dtype), GgufTensorTypeNames()));
  }
  if (tensor.name.size() > kLongestName) {
    return Unsupported(fmt::format("the name of tensor '{}' has {} bytes; GGUF's readers allow {}",
                                   tensor.name, tensor.name.size(), kLongestName));
  }
  if (tensor.shape.size() > kGgufMaxDims) {
    return Unsupported(fmt::format("tensor '{}' of shape {} has {} dimensions; GGUF holds at most {}",
                                   tensor.name, ToString(tensor.shape), tensor.shape.size(), kGgufMaxDims));
  }
  const Shape shape =
      tensor.shape.empty() ? Shape{1} : tensor.shape;  // ggml knows no tensors of no dimensions
  head->PutString(tensor.name);
  head->Put(static_cast<uint32_t>(shape.size()));
  for (auto dim = shape.rbegin(); dim != shape.rend(); ++dim) head->Put(*dim);
  head->Put(*number);
  head->Put(offset);
  return OkStatus();
}

Status PutTensors(std::span<const OutputTensor> tensors, std::span<const uint64_t> sizes, Head* head) {
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    TERN_RETURN_IF_ERROR(PutTensor(tensors[i], offset, head));
    if (sizes[i] > uint64_t{INT64_MAX} - kGgufAlignment - offset) {
      return InvalidArgument("the tensors exceed 2^63 bytes");
    }
    offset += (sizes[i] + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
  }
  return OkStatus();
}

}  // namespace

Status WriteGguf(const std::string& path, std::span<const OutputTensor> tensors, const Metadata& metadata,
                 const WriteProgress& progress) {
  TERN_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes, OutputSizes(tensors));
  Head head;
  head.Put(kGgufMagic);
  head.Put(kGgufVersion);
  head.Put(uint64_t{tensors.size()});
  head.Put(uint64_t{metadata.size() - metadata.count(kGgufAlignmentKey)});
  TERN_RETURN_IF_ERROR(PutMetadata(metadata, &head));
  TERN_RETURN_IF_ERROR(PutTensors(tensors, sizes, &head));

  TERN_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  TERN_RETURN_IF_ERROR(file->Append(head.bytes()));
  TERN_RETURN_IF_ERROR(file->PadTo(kGgufAlignment));
  TERN_RETURN_IF_ERROR(AppendTensors(file.get(), tensors, sizes, kGgufAlignment, {}, progress));
  return file->Commit();
}

}  // namespace tern
