// RWKV-LM's tokenised corpora (Megatron's MMapIndexedDataset): a pair of files, docs/formats/binidx.md.
//
//     X.idx   "MMIDIDX\0\0" | u64 version = 1 | u8 type | u64 sequences n | u64 m
//             i32 sizes[n], in tokens | i64 offsets[n], in bytes of X.bin | i64 starts[m], first sequence of
//             each document
//     X.bin   the tokens, sequence after sequence
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace tern {

/// Types that tokens are kept in; the values are the file's.
enum class BinidxType : uint8_t { kU8 = 1, kI32 = 4, kI64 = 5, kU16 = 8 };
int64_t BinidxTypeSize(BinidxType type);

/// What X.idx says.
struct BinidxIndex {
  BinidxType type = BinidxType::kU16;
  int64_t tokens = 0;
  std::vector<int64_t> documents;  ///< where documents with tokens start, ascending, the first 0
};

/// Checks every number of `idx` against its own size and that of X.bin: sequences must lie one behind the
/// other and fill it. `source` names the file in errors.
Result<BinidxIndex> ParseBinidxIndex(std::span<const std::byte> idx, uint64_t bin_bytes,
                                     const std::string& source);

/// The names of the pair that `path` belongs to: X.bin, X.idx or X.
struct BinidxPaths {
  std::string bin, idx;
};
BinidxPaths BinidxPairOf(const std::string& path);
/// Whether a path is such a name: by its ending, or X where there is no file X, but an X.idx.
bool NamesBinidx(const std::string& path);

/// A mapped corpus. Immutable; safe to share between threads.
class BinidxReader {
 public:
  /// Reads the index, and all tokens once, in parallel, for the largest. Fails on what the format forbids, on
  /// tokens below 0 or beyond 32 bits, and on an empty corpus.
  static Result<std::shared_ptr<const BinidxReader>> Open(const std::string& path);

  int64_t tokens() const { return index_.tokens; }
  BinidxType type() const { return index_.type; }
  const std::vector<int64_t>& documents() const { return index_.documents; }
  int32_t largest_token() const { return largest_; }
  /// Tokens [begin, begin + out.size()), which must exist.
  void Read(int64_t begin, std::span<int32_t> out) const;

 private:
  BinidxReader() = default;
  Status CheckWideTokens() const;
  Status FindLargest();
  std::shared_ptr<const MappedFile> bin_;
  BinidxIndex index_;
  int32_t largest_ = 0;
};

/// Writes a pair, document by document; memory is 4 bytes a document. Nothing is seen under the files' names
/// before Commit; an old pair is replaced such that a crash leaves the old pair, no index, or the new pair.
/// Not thread-safe.
class BinidxWriter {
 public:
  static Result<std::unique_ptr<BinidxWriter>> Create(const std::string& path, BinidxType type);

  /// A document with the token that ends it. One without tokens is passed over.
  Status Append(std::span<const int32_t> document);
  Status Commit();
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return static_cast<int64_t>(sizes_.size()); }

 private:
  BinidxWriter() = default;
  BinidxPaths paths_;
  BinidxType type_ = BinidxType::kU16;
  std::unique_ptr<AtomicFile> bin_, idx_;
  std::vector<int32_t> sizes_;
  int64_t tokens_ = 0;
};

}  // namespace tern
