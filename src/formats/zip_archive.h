// The part of the zip format that torch uses: entries stored without compression, zip64 for what 32 bits
// cannot hold.
//
//   [local header | name | extra | bytes] …  [central directory]  [zip64 end record | zip64 locator]  [end
//   record]
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace tern {

/// One file of an archive. The views are into the bytes that the archive was opened on.
struct ZipEntry {
  std::string_view name;
  uint16_t method = 0;               ///< 0: stored, 8: deflated
  uint32_t crc = 0;                  ///< of the content, as the archive states it
  std::span<const std::byte> bytes;  ///< as they stand in the archive: compressed unless the method is 0
};

/// CRC-32 of some bytes, as zip archives keep it.
uint32_t Crc32(std::span<const std::byte> bytes);

/// Compares the content of stored entries with their checksums, on all threads. Fails (kCorrupt) naming the
/// first that differs; entries of other methods are passed over.
Status CheckContents(std::span<const ZipEntry> entries);

/// A zip archive in memory, for instance in a mapped file. Opening reads the directory and every entry's
/// header, never an entry's content, whose checksum only CheckContents compares. Immutable; the bytes must
/// outlive it.
class ZipArchive {
 public:
  /// Fails (kCorrupt) unless every entry lies inside the bytes, apart from all others, and agrees with its
  /// own header; kUnsupported for archives that are encrypted or span several disks. Messages do not name the
  /// file.
  static Result<ZipArchive> Open(std::span<const std::byte> bytes);

  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// nullptr when there is none of that name.
  const ZipEntry* Find(std::string_view name) const;
  /// The content of an entry that must be there and stored uncompressed.
  Result<std::span<const std::byte>> Read(std::string_view name) const;

 private:
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, size_t> index_;
};

/// Appends stored entries to a file. Not thread-safe.
class ZipWriter {
 public:
  static constexpr uint64_t kZip64From = 0xffffffff;  ///< sizes and offsets from here on need zip64's fields

  /// `zip64_from` is lowered only by tests that want zip64's fields in a small archive.
  explicit ZipWriter(AtomicFile* file, uint64_t zip64_from = kZip64From)
      : file_(file), zip64_from_(zip64_from) {}

  /// Adds an entry whose bytes start at a multiple of `alignment` in the file (1 to 32768).
  Status Add(const std::string& name, std::span<const std::byte> bytes, uint64_t alignment = 64);
  /// Writes the directory. Nothing may be added afterwards.
  Status Finish();

 private:
  struct Record {
    std::string name;
    uint32_t crc;
    uint64_t size;
    uint64_t offset;
  };
  bool NeedsZip64(uint64_t value) const { return value >= zip64_from_; }
  std::string DirectoryEntry(const Record& record) const;

  AtomicFile* file_;
  uint64_t zip64_from_;
  std::vector<Record> records_;
};

}  // namespace tern
