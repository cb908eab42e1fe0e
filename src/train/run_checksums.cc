#include "train/run_checksums.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/file.h"

namespace tern::train {
namespace {

constexpr const char* kChecksumsName = "checksums";
/// Bytes of a mapped file that are read at a time: limits how much of it is resident.
constexpr size_t kReadPiece = size_t{16} << 20;

/// XXH3-64 of bytes that come in pieces.
class Checksum {
 public:
  Checksum() { XXH3_64bits_reset(state_.get()); }
  void Add(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  }
  int64_t Value() const { return static_cast<int64_t>(XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_{XXH3_createState(), &XXH3_freeState};
};

int64_t ChecksumOf(std::span<const std::byte> bytes) {
  Checksum sum;
  sum.Add(bytes);
  return sum.Value();
}

/// The same tensor, whose checksum is appended to `sums` once it was produced.
OutputTensor Summed(OutputTensor tensor, const std::shared_ptr<std::vector<int64_t>>& sums) {
  if (tensor.produce_pieces) {
    tensor.produce_pieces = [produce = std::move(tensor.produce_pieces), sums](const TensorSink& sink) -> Status {
      Checksum sum;
      TERN_RETURN_IF_ERROR(produce([&](std::span<const std::byte> piece) {
        sum.Add(piece);
        return sink(piece);
      }));
      sums->push_back(sum.Value());
      return OkStatus();
    };
    return tensor;
  }
  tensor.produce = [produce = std::move(tensor.produce), sums]() -> Result<TensorBytes> {
    auto bytes = produce();
    if (bytes.ok()) sums->push_back(ChecksumOf(bytes->bytes()));
    return bytes;
  };
  return tensor;
}

/// Checksum of a part of a mapped file, whose pages do not stay resident.
int64_t ChecksumOfMapped(const MappedFile& file, std::span<const std::byte> bytes) {
  Checksum sum;
  for (size_t begin = 0; begin < bytes.size(); begin += kReadPiece) {
    const auto piece = bytes.subspan(begin, std::min(kReadPiece, bytes.size() - begin));
    sum.Add(piece);
    file.Forget(piece);
  }
  return sum.Value();
}

/// Tensors in the order of their bytes.
std::vector<const TensorInfo*> InFileOrder(const TensorSource& source) {
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& tensor : source.tensors()) tensors.push_back(&tensor);
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::less<>()(a->bytes.data(), b->bytes.data());
  });
  return tensors;
}

/// The numbers of the tensor "checksums".
Result<std::vector<int64_t>> ReadChecksums(const TensorInfo& stored, size_t tensors) {
  const size_t count = tensors + 2;
  if (stored.dtype != DType::kI64 || stored.bytes.size() != count * sizeof(int64_t)) {
    return Corrupt(fmt::format("tensor '{}' is {} {}, expected i64 [{}]", kChecksumsName, Name(stored.dtype),
                               ToString(stored.shape), count));
  }
  std::vector<int64_t> sums(count);
  std::memcpy(sums.data(), stored.bytes.data(), stored.bytes.size());
  if (ChecksumOf(stored.bytes.first((count - 1) * sizeof(int64_t))) != sums.back()) {
    return Corrupt(fmt::format("tensor '{}' does not match its own checksum", kChecksumsName));
  }
  return sums;
}

Result<bool> VerifyMapped(const std::shared_ptr<const MappedFile>& file) {
  TERN_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(file));
  const TensorInfo* stored = source->Find(kChecksumsName);
  if (stored == nullptr) return false;
  std::vector<const TensorInfo*> tensors = InFileOrder(*source);
  if (tensors.back() != stored) {
    return Corrupt(fmt::format("tensor '{}' is not the last one of the file", kChecksumsName));
  }
  tensors.pop_back();
  TERN_ASSIGN_OR_RETURN(const std::vector<int64_t> sums, ReadChecksums(*stored, tensors.size()));
  uint64_t length = 0;  // OpenSafetensors has checked it
  std::memcpy(&length, file->bytes().data(), sizeof length);
  if (ChecksumOfMapped(*file, file->bytes().first(sizeof length + length)) != sums[0]) {
    return Corrupt("the header does not match its checksum");
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (ChecksumOfMapped(*file, tensors[i]->bytes) == sums[i + 1]) continue;
    return Corrupt(fmt::format("tensor '{}' does not match its checksum", tensors[i]->name));
  }
  return true;
}

}  // namespace

Status AddChecksums(std::vector<OutputTensor>* tensors, const Metadata& metadata) {
  const auto sums = std::make_shared<std::vector<int64_t>>();
  for (OutputTensor& tensor : *tensors) tensor = Summed(std::move(tensor), sums);
  const auto produce = [sums]() -> Result<TensorBytes> {
    sums->push_back(ChecksumOf(std::as_bytes(std::span(*sums))));
    return TensorBytes{std::as_bytes(std::span(*sums)), {}};
  };
  tensors->push_back({kChecksumsName, DType::kI64, {static_cast<int64_t>(tensors->size()) + 2}, produce});
  TERN_ASSIGN_OR_RETURN(const std::string header, SafetensorsHeader(*tensors, metadata));
  sums->push_back(ChecksumOf(std::as_bytes(std::span(header))));
  return OkStatus();
}

Result<bool> VerifyChecksums(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  auto verified = VerifyMapped(file);
  if (verified.ok()) return verified;
  std::string message = verified.status().message();
  if (message.find(path) == std::string::npos) message = fmt::format("'{}': {}", path, message);
  return Corrupt(message);
}

}  // namespace tern::train
