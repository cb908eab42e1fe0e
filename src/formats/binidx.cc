#include "formats/binidx.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <limits>
#include <string_view>

#include "base/bytes.h"
#include "base/parallel.h"

namespace tern {
namespace {

constexpr std::string_view kIndexMagic("MMIDIDX\0\0", 9);
constexpr uint64_t kIndexVersion = 1;
constexpr int64_t kTokenBlock = int64_t{1} << 20;  // tokens that one thread reads at a time

/// To 32 bits: of wider tokens the caller has checked that they fit.
template <typename T>
void Widen(const std::byte* from, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<int32_t>(LoadUnaligned<T>(from + i * sizeof(T)));
  }
}

template <typename T>
Status AppendNarrow(AtomicFile& file, std::span<const int32_t> tokens) {
  std::vector<T> narrow(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 ||
        static_cast<int64_t>(tokens[i]) > static_cast<int64_t>(std::numeric_limits<T>::max())) {
      return InvalidArgument(fmt::format("token {} does not fit into {} bytes", tokens[i], sizeof(T)));
    }
    narrow[i] = static_cast<T>(tokens[i]);
  }
  return file.Append(std::as_bytes(std::span<const T>(narrow)));
}

template <typename T>
Status AppendNumber(AtomicFile& file, T value) {
  return file.Append(std::as_bytes(std::span<const T>(&value, 1)));
}

/// The three tables of an index, as bytes whose sizes were checked.
struct Tables {
  std::span<const std::byte> sizes, offsets, starts;
  uint64_t sequences = 0, documents = 0;
};

Result<Tables> ReadHeader(std::span<const std::byte> idx, BinidxType* type) {
  ByteReader reader(idx);
  std::string_view magic;
  uint64_t version = 0;
  uint8_t code = 0;
  Tables tables;
  if (!reader.ReadString(kIndexMagic.size(), &magic) || magic != kIndexMagic) {
    return Corrupt("not an index of RWKV-LM's binidx: it does not begin with MMIDIDX");
  }
  if (!reader.Read(&version) || !reader.Read(&code) || !reader.Read(&tables.sequences) ||
      !reader.Read(&tables.documents)) {
    return Corrupt("ends inside its header");
  }
  if (version != kIndexVersion) return Unsupported(fmt::format("version {}, expected {}", version, kIndexVersion));
  *type = static_cast<BinidxType>(code);
  if (BinidxTypeSize(*type) == 0) {
    return Unsupported(fmt::format("tokens of type {}; known are 1 (uint8), 4 (int32), 5 (int64) and 8 (uint16)", code));
  }
  // Each table is taken from what is left, so that no product can overflow.
  if (tables.sequences > reader.remaining() / 12 || tables.documents > reader.remaining() / 8 ||
      tables.sequences * 12 + tables.documents * 8 != reader.remaining()) {
    return Corrupt(fmt::format("{} sequences and {} documents do not make its {} bytes", tables.sequences,
                               tables.documents, idx.size()));
  }
  reader.ReadBytes(tables.sequences * 4, &tables.sizes);
  reader.ReadBytes(tables.sequences * 8, &tables.offsets);
  reader.ReadBytes(tables.documents * 8, &tables.starts);
  return tables;
}

/// Token numbers at which sequences start, and after the last the number of tokens.
Result<std::vector<int64_t>> SequenceStarts(const Tables& tables, int64_t token_size, uint64_t bin_bytes) {
  std::vector<int64_t> starts;
  starts.reserve(tables.sequences + 1);
  const int64_t limit = static_cast<int64_t>(bin_bytes / static_cast<uint64_t>(token_size));
  int64_t tokens = 0;
  for (uint64_t i = 0; i < tables.sequences; ++i) {
    const auto size = LoadUnaligned<int32_t>(tables.sizes.data() + i * 4);
    const auto offset = LoadUnaligned<int64_t>(tables.offsets.data() + i * 8);
    if (size < 0 || size > limit - tokens) {
      return Corrupt(fmt::format("sequence {} of {} tokens does not fit into the {} bytes of tokens", i, size,
                                 bin_bytes));
    }
    if (offset != tokens * token_size) {
      return Corrupt(fmt::format("sequence {} is at byte {}, expected {}: right behind the one before", i,
                                 offset, tokens * token_size));
    }
    starts.push_back(tokens);
    tokens += size;
  }
  starts.push_back(tokens);
  if (static_cast<uint64_t>(tokens) * static_cast<uint64_t>(token_size) != bin_bytes) {
    return Corrupt(fmt::format("it counts {} tokens of {} bytes, but the tokens' file has {} bytes", tokens,
                               token_size, bin_bytes));
  }
  return starts;
}

/// Starts of documents in tokens; without a table of documents each sequence is one.
Result<std::vector<int64_t>> DocumentStarts(const Tables& tables, const std::vector<int64_t>& sequences) {
  std::vector<int64_t> documents = {0};
  int64_t before = 0;
  const uint64_t count = tables.documents > 0 ? tables.documents : tables.sequences;
  for (uint64_t i = 0; i < count; ++i) {
    const int64_t first =
        tables.documents > 0 ? LoadUnaligned<int64_t>(tables.starts.data() + i * 8) : static_cast<int64_t>(i);
    if (first < before || first > static_cast<int64_t>(tables.sequences)) {
      return Corrupt(fmt::format("document {} starts at sequence {}, expected {} to {}", i, first, before,
                                 tables.sequences));
    }
    before = first;
    const int64_t token = sequences[static_cast<size_t>(first)];
    if (token > documents.back() && token < sequences.back()) documents.push_back(token);
  }
  return documents;
}

}  // namespace

int64_t BinidxTypeSize(BinidxType type) {
  switch (type) {
    case BinidxType::kU8:
      return 1;
    case BinidxType::kU16:
      return 2;
    case BinidxType::kI32:
      return 4;
    case BinidxType::kI64:
      return 8;
  }
  return 0;
}

Result<BinidxIndex> ParseBinidxIndex(std::span<const std::byte> idx, uint64_t bin_bytes,
                                     const std::string& source) {
  BinidxIndex index;
  const auto parse = [&]() -> Status {
    TERN_ASSIGN_OR_RETURN(const Tables tables, ReadHeader(idx, &index.type));
    TERN_ASSIGN_OR_RETURN(const std::vector<int64_t> starts,
                          SequenceStarts(tables, BinidxTypeSize(index.type), bin_bytes));
    index.tokens = starts.back();
    TERN_ASSIGN_OR_RETURN(index.documents, DocumentStarts(tables, starts));
    return OkStatus();
  };
  const Status status = parse();
  if (!status.ok()) return status.WithContext(fmt::format("'{}'", source));
  return index;
}

BinidxPaths BinidxPairOf(const std::string& path) {
  std::string stem = path;
  if (path.ends_with(".bin") || path.ends_with(".idx")) stem.resize(path.size() - 4);
  return {stem + ".bin", stem + ".idx"};
}

bool NamesBinidx(const std::string& path) {
  std::error_code error;
  return path.ends_with(".bin") || path.ends_with(".idx") ||
         (!std::filesystem::exists(path, error) && std::filesystem::exists(path + ".idx", error));
}

Result<std::shared_ptr<const BinidxReader>> BinidxReader::Open(const std::string& path) {
  const BinidxPaths paths = BinidxPairOf(path);
  std::shared_ptr<BinidxReader> reader(new BinidxReader);
  TERN_ASSIGN_OR_RETURN(reader->bin_, MappedFile::Open(paths.bin));
  const auto idx = MappedFile::Open(paths.idx);
  if (!idx.ok()) return idx.status().WithContext(fmt::format("the index that belongs to '{}'", paths.bin));
  TERN_ASSIGN_OR_RETURN(reader->index_, ParseBinidxIndex((*idx)->bytes(), reader->bin_->size(), paths.idx));
  TERN_RETURN_IF_ERROR(reader->FindLargest());
  return std::shared_ptr<const BinidxReader>(std::move(reader));
}

/// Reading keeps 32 bits of a token: one beyond them would become another.
Status BinidxReader::CheckWideTokens() const {
  if (index_.type != BinidxType::kI64) return OkStatus();
  std::atomic<int64_t> bad{-1};
  ParallelFor(tokens(), kTokenBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto token = LoadUnaligned<int64_t>(bin_->bytes().data() + i * 8);
      if (token < 0 || token > std::numeric_limits<int32_t>::max()) bad.store(i);
    }
  });
  if (bad < 0) return OkStatus();
  return Corrupt(fmt::format("'{}' holds the token {}: tokens are 0 to {}", bin_->path(),
                             LoadUnaligned<int64_t>(bin_->bytes().data() + bad * 8), std::numeric_limits<int32_t>::max()));
}

Status BinidxReader::FindLargest() {
  TERN_RETURN_IF_ERROR(CheckWideTokens());
  const int64_t blocks = (tokens() + kTokenBlock - 1) / kTokenBlock;
  std::vector<std::pair<int32_t, int32_t>> extremes(static_cast<size_t>(blocks));
  ParallelFor(blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> block;
    for (int64_t b = begin; b < end; ++b) {
      block.resize(static_cast<size_t>(std::min(kTokenBlock, tokens() - b * kTokenBlock)));
      Read(b * kTokenBlock, block);
      const auto [low, high] = std::minmax_element(block.begin(), block.end());
      extremes[static_cast<size_t>(b)] = {*low, *high};
    }
  });
  for (const auto& [low, high] : extremes) {
    if (low < 0)
      return Corrupt(fmt::format("'{}' holds the token {}: tokens are 0 or more", bin_->path(), low));
    largest_ = std::max(largest_, high);
  }
  return OkStatus();
}

void BinidxReader::Read(int64_t begin, std::span<int32_t> out) const {
  const std::byte* from = bin_->bytes().data() + begin * BinidxTypeSize(index_.type);
  switch (index_.type) {
    case BinidxType::kU8:
      return Widen<uint8_t>(from, out);
    case BinidxType::kU16:
      return Widen<uint16_t>(from, out);
    case BinidxType::kI32:
      return Widen<int32_t>(from, out);
    case BinidxType::kI64:
      return Widen<int64_t>(from, out);
  }
}

Result<std::unique_ptr<BinidxWriter>> BinidxWriter::Create(const std::string& path, BinidxType type) {
  std::unique_ptr<BinidxWriter> writer(new BinidxWriter);
  writer->paths_ = BinidxPairOf(path);
  writer->type_ = type;
  TERN_ASSIGN_OR_RETURN(writer->bin_, AtomicFile::Create(writer->paths_.bin));
  TERN_ASSIGN_OR_RETURN(writer->idx_, AtomicFile::Create(writer->paths_.idx));
  return writer;
}

Status BinidxWriter::Append(std::span<const int32_t> document) {
  if (document.empty()) return OkStatus();
  if (document.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return Unsupported(
        fmt::format("a document of {} tokens: an index counts up to 2^31 - 1", document.size()));
  }
  switch (type_) {
    case BinidxType::kU8:
      TERN_RETURN_IF_ERROR(AppendNarrow<uint8_t>(*bin_, document));
      break;
    case BinidxType::kU16:
      TERN_RETURN_IF_ERROR(AppendNarrow<uint16_t>(*bin_, document));
      break;
    case BinidxType::kI32:
      TERN_RETURN_IF_ERROR(AppendNarrow<int32_t>(*bin_, document));
      break;
    case BinidxType::kI64:
      TERN_RETURN_IF_ERROR(AppendNarrow<int64_t>(*bin_, document));
      break;
  }
  sizes_.push_back(static_cast<int32_t>(document.size()));
  tokens_ += static_cast<int64_t>(document.size());
  return OkStatus();
}

Status BinidxWriter::Commit() {
  TERN_RETURN_IF_ERROR(idx_->Append(kIndexMagic));
  TERN_RETURN_IF_ERROR(AppendNumber(*idx_, kIndexVersion));
  TERN_RETURN_IF_ERROR(AppendNumber(*idx_, static_cast<uint8_t>(type_)));
  TERN_RETURN_IF_ERROR(AppendNumber(*idx_, static_cast<uint64_t>(sizes_.size())));
  TERN_RETURN_IF_ERROR(AppendNumber(*idx_, static_cast<uint64_t>(sizes_.size() + 1)));
  TERN_RETURN_IF_ERROR(idx_->Append(std::as_bytes(std::span<const int32_t>(sizes_))));
  int64_t offset = 0;
  for (const int32_t size : sizes_) {
    TERN_RETURN_IF_ERROR(AppendNumber(*idx_, offset));
    offset += size * BinidxTypeSize(type_);
  }
  // Megatron's readers expect one entry more than documents: where the next would start.
  for (size_t i = 0; i <= sizes_.size(); ++i)
    TERN_RETURN_IF_ERROR(AppendNumber(*idx_, static_cast<int64_t>(i)));
  // An old index must never stand beside new tokens.
  ::unlink(paths_.idx.c_str());
  TERN_RETURN_IF_ERROR(bin_->Commit());
  return idx_->Commit();
}

}  // namespace tern
