// Writes what torch.save would write of a dict of tensors: torch.load reads it, with weights_only as well.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "formats/pickle.h"
#include "formats/pickle_globals.h"
#include "formats/pickle_machine.h"
#include "formats/tensor_source.h"
#include "formats/zip_archive.h"

namespace tern {
namespace {

using namespace pickle_op;  // NOLINT: the opcodes' own names

/// Assembles a pickle of protocol 2.
class PickleWriter {
 public:
  PickleWriter& Op(uint8_t opcode) {
    text_.push_back(static_cast<char>(opcode));
    return *this;
  }
  PickleWriter& Byte(uint8_t value) { return Op(value); }
  PickleWriter& Global(std::string_view module, std::string_view name) {
    Op(kGlobal).text_.append(module).append("\n").append(name).append("\n");
    return *this;
  }
  PickleWriter& Text(std::string_view text) {
    Op(kBinUnicode).Raw(static_cast<uint32_t>(text.size())).text_.append(text);
    return *this;
  }
  /// Not negative.
  PickleWriter& Int(int64_t value) {
    if (value <= 0xff) return Op(kBinInt1).Raw(static_cast<uint8_t>(value));
    if (value <= 0xffff) return Op(kBinInt2).Raw(static_cast<uint16_t>(value));
    if (value <= std::numeric_limits<int32_t>::max()) return Op(kBinInt).Raw(static_cast<int32_t>(value));
    return Op(kLong1).Byte(8).Raw(value);
  }
  PickleWriter& Ints(const std::vector<int64_t>& values) {
    Op(kMark);
    for (int64_t value : values) Int(value);
    return Op(kTuple);
  }
  const std::string& text() const { return text_; }

 private:
  template <typename T>
  PickleWriter& Raw(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    text_.append(bytes, sizeof(T));
    return *this;
  }
  std::string text_;
};

/// Of a dense tensor, in elements, as torch computes them: a dimension of size 0 counts as 1.
std::vector<int64_t> DenseStrides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    // Only a tensor without elements can overflow here: its strides do not matter.
    if (__builtin_mul_overflow(stride, std::max<int64_t>(shape[i], 1), &stride)) stride = 1;
  }
  return strides;
}

/// _rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, OrderedDict())
void PutTensor(PickleWriter* out, const OutputTensor& tensor, size_t key) {
  out->Global("torch._utils", "_rebuild_tensor_v2").Op(kMark);
  out->Op(kMark).Text("storage").Global("torch", *TorchStorageName(tensor.dtype)).Text(std::to_string(key));
  out->Text("cpu").Int(*NumElements(tensor.shape)).Op(kTuple).Op(kBinPersId);
  out->Int(0).Ints(tensor.shape).Ints(DenseStrides(tensor.shape)).Op(kNewFalse);
  out->Global("collections", "OrderedDict").Op(kEmptyTuple).Op(kReduce).Op(kTuple).Op(kReduce);
}

std::string MakePickle(std::span<const OutputTensor> tensors) {
  PickleWriter out;
  out.Op(kProto).Byte(2).Op(kEmptyDict).Op(kMark);
  for (size_t i = 0; i < tensors.size(); ++i) {
    out.Text(tensors[i].name);
    PutTensor(&out, tensors[i], i);
  }
  return out.Op(kSetItems).Op(kStop).text();
}

Status CheckTensors(std::span<const OutputTensor> tensors) {
  std::unordered_set<std::string_view> names;
  for (const OutputTensor& tensor : tensors) {
    if (!TorchStorageName(tensor.dtype)) {
      return Unsupported(
          fmt::format("tensor '{}' is {}, which a .pth cannot hold: convert it to f32, f16 or bf16",
                      tensor.name, Name(tensor.dtype)));
    }
    if (!NumBytes(tensor.dtype, tensor.shape)) {
      return InvalidArgument(
          fmt::format("tensor '{}': impossible shape {}", tensor.name, ToString(tensor.shape)));
    }
    if (!names.insert(tensor.name).second) {
      return InvalidArgument(fmt::format("two tensors are named '{}'", tensor.name));
    }
  }
  return OkStatus();
}

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Status WriteTensor(ZipWriter* zip, const OutputTensor& tensor, size_t key) {
  TERN_ASSIGN_OR_RETURN(const TensorBytes content, Produce(tensor));
  const uint64_t expected = *NumBytes(tensor.dtype, tensor.shape);
  if (content.bytes().size() != expected) {
    return InvalidArgument(fmt::format("{} of shape {} takes {} bytes, not {}", Name(tensor.dtype),
                                       ToString(tensor.shape), expected, content.bytes().size()));
  }
  return zip->Add(fmt::format("archive/data/{}", key), content.bytes());
}

}  // namespace

Status WritePth(const std::string& path, std::span<const OutputTensor> tensors,
                const WriteProgress& progress) {
  TERN_RETURN_IF_ERROR(CheckTensors(tensors).WithContext(fmt::format("'{}'", path)));
  const std::string pickle = MakePickle(tensors);
  if (pickle.size() > Pickle::kMaxBytes) {
    return InvalidArgument(fmt::format("'{}': {} tensors are too many for one .pth", path, tensors.size()));
  }
  TERN_ASSIGN_OR_RETURN(const auto file, AtomicFile::Create(path));
  ZipWriter zip(file.get());
  TERN_RETURN_IF_ERROR(zip.Add("archive/data.pkl", AsBytes(pickle)));
  TERN_RETURN_IF_ERROR(zip.Add("archive/byteorder", AsBytes("little")));
  for (size_t i = 0; i < tensors.size(); ++i) {
    TERN_RETURN_IF_ERROR(WriteTensor(&zip, tensors[i], i)
                             .WithContext(fmt::format("'{}': tensor '{}'", path, tensors[i].name)));
    if (progress && !progress(i + 1, tensors.size()))
      return Cancelled(fmt::format("'{}' was not written", path));
  }
  TERN_RETURN_IF_ERROR(zip.Add("archive/version", AsBytes("3\n")));
  TERN_RETURN_IF_ERROR(zip.Finish());
  return file->Commit();
}

}  // namespace tern
