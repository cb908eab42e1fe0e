#include "formats/zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "formats/zip_layout.h"

namespace tern {
namespace {

using namespace zip;  // NOLINT: the format's own names

/// Where the central directory lies, whichever of the two end records says so.
struct Directory {
  uint64_t entries = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
  uint64_t limit = 0;  ///< offset of the record that follows: the directory ends here at the latest
};

/// What the central directory says of one entry.
struct DirectoryEntry {
  std::string_view name;
  uint16_t method = 0;
  uint32_t crc = 0;
  uint64_t compressed = 0;
  uint64_t size = 0;
  uint64_t offset = 0;  ///< of the local header
};

/// Where an entry stands in the file, header included.
struct Extent {
  uint64_t begin, end;
  std::string_view name;
};

/// A value that, when it is all ones, stands in the zip64 extra field instead.
struct Wide {
  uint64_t* value;
  bool missing;
  Wide(uint64_t* target, uint32_t narrow) : value(target), missing(narrow == kInZip64) { *target = narrow; }
};

/// Fills those of `wide` that are missing from the zip64 field among the extra fields. False when it is not
/// there.
bool ReadZip64Extra(std::span<const std::byte> extra, std::span<Wide> wide) {
  if (std::none_of(wide.begin(), wide.end(), [](const Wide& w) { return w.missing; })) return true;
  ByteReader fields(extra);
  uint16_t id, size;
  std::span<const std::byte> content;
  while (fields.Read(&id) && fields.Read(&size) && fields.ReadBytes(size, &content)) {
    if (id != kZip64ExtraId) continue;
    ByteReader values(content);
    for (Wide& w : wide) {
      if (w.missing && !values.Read(w.value)) return false;
    }
    return true;
  }
  return false;
}

/// The end record is the last thing in the file but for a comment, whose length it states.
Result<uint64_t> FindEndRecord(std::span<const std::byte> bytes) {
  if (bytes.size() < kEndRecordBytes) return Corrupt("too short for a zip archive");
  const uint64_t last = bytes.size() - kEndRecordBytes;
  const uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (uint64_t at = last + 1; at-- > first;) {
    if (LoadUnaligned<uint32_t>(&bytes[at]) != kEndRecordSignature) continue;
    const auto comment = LoadUnaligned<uint16_t>(&bytes[at + kEndRecordBytes - 2]);
    if (at + kEndRecordBytes + comment == bytes.size()) return at;
  }
  return Corrupt("the zip archive has no end record: the file is cut short or damaged");
}

/// The zip64 end record, when a locator stands before the end record; else nothing.
Result<std::optional<Directory>> ReadZip64Directory(std::span<const std::byte> bytes, uint64_t end_record) {
  if (end_record < kZip64LocatorBytes) return std::optional<Directory>();
  ByteReader locator(bytes.subspan(end_record - kZip64LocatorBytes, kZip64LocatorBytes));
  uint32_t signature, disk, disks;
  uint64_t offset;
  if (!locator.Read(&signature) || signature != kZip64LocatorSignature) return std::optional<Directory>();
  if (!locator.Read(&disk) || !locator.Read(&offset) || !locator.Read(&disks))
    return Corrupt("bad zip64 locator");
  ByteReader record(bytes.first(end_record - kZip64LocatorBytes));
  uint64_t record_size, entries_here;
  uint32_t versions, record_disk, directory_disk;
  Directory d;
  if (!record.Seek(offset) || !record.Read(&signature) || signature != kZip64EndRecordSignature ||
      !record.Read(&record_size) || !record.Read(&versions) || !record.Read(&record_disk) ||
      !record.Read(&directory_disk) || !record.Read(&entries_here) || !record.Read(&d.entries) ||
      !record.Read(&d.size) || !record.Read(&d.offset)) {
    return Corrupt(fmt::format("the zip64 end record is not at offset {}, where its locator says", offset));
  }
  if (disk != 0 || disks > 1 || record_disk != 0 || directory_disk != 0 || entries_here != d.entries) {
    return Unsupported("the zip archive spans several disks");
  }
  d.limit = offset;
  return std::optional<Directory>(d);
}

Result<Directory> ReadDirectory(std::span<const std::byte> bytes) {
  TERN_ASSIGN_OR_RETURN(const uint64_t end_record, FindEndRecord(bytes));
  TERN_ASSIGN_OR_RETURN(const std::optional<Directory> zip64, ReadZip64Directory(bytes, end_record));
  if (zip64) return *zip64;
  ByteReader record(bytes.subspan(end_record));
  uint32_t signature, size, offset;
  uint16_t disk, directory_disk, entries_here, entries;
  if (!record.Read(&signature) || !record.Read(&disk) || !record.Read(&directory_disk) ||
      !record.Read(&entries_here) || !record.Read(&entries) || !record.Read(&size) || !record.Read(&offset)) {
    return Corrupt("the zip archive's end record is cut short");
  }
  if (disk != 0 || directory_disk != 0 || entries != entries_here) {
    return Unsupported("the zip archive spans several disks");
  }
  return Directory{entries, size, offset, end_record};
}

Result<DirectoryEntry> ReadDirectoryEntry(ByteReader* in) {
  DirectoryEntry e;
  uint32_t signature, times, compressed, size, attributes, offset;
  uint16_t version, flags, name_size, extra_size, comment_size, disk, internal;
  std::span<const std::byte> extra, comment;
  if (!in->Read(&signature) || signature != kDirectorySignature || !in->Read(&version) ||
      !in->Read(&version) || !in->Read(&flags) || !in->Read(&e.method) || !in->Read(&times) ||
      !in->Read(&e.crc) || !in->Read(&compressed) || !in->Read(&size) || !in->Read(&name_size) ||
      !in->Read(&extra_size) || !in->Read(&comment_size) || !in->Read(&disk) || !in->Read(&internal) ||
      !in->Read(&attributes) || !in->Read(&offset) || !in->ReadString(name_size, &e.name) ||
      !in->ReadBytes(extra_size, &extra) || !in->ReadBytes(comment_size, &comment)) {
    return Corrupt("the zip archive's directory is damaged or cut short");
  }
  Wide wide[] = {{&e.size, size}, {&e.compressed, compressed}, {&e.offset, offset}};
  if (!ReadZip64Extra(extra, wide)) {
    return Corrupt(fmt::format("the zip entry '{}' lacks its zip64 sizes", e.name));
  }
  if (flags & kEncryptedFlag) return Unsupported(fmt::format("the zip entry '{}' is encrypted", e.name));
  if (e.method == kStored && e.size != e.compressed) {
    return Corrupt(fmt::format("the zip entry '{}' is stored, yet of {} bytes when packed and {} when not",
                               e.name, e.compressed, e.size));
  }
  return e;
}

/// Compares an entry's local header with the directory and returns the offset of its content, which lies
/// before `limit`.
Result<uint64_t> CheckLocalHeader(std::span<const std::byte> bytes, const DirectoryEntry& e, uint64_t limit) {
  ByteReader in(bytes.first(limit));
  uint32_t signature, times, crc, narrow_compressed, narrow_size;
  uint16_t version, flags, method, name_size, extra_size;
  std::string_view name;
  std::span<const std::byte> extra, content;
  if (!in.Seek(e.offset) || !in.Read(&signature) || signature != kLocalSignature || !in.Read(&version) ||
      !in.Read(&flags) || !in.Read(&method) || !in.Read(&times) || !in.Read(&crc) ||
      !in.Read(&narrow_compressed) || !in.Read(&narrow_size) || !in.Read(&name_size) ||
      !in.Read(&extra_size) || !in.ReadString(name_size, &name) || !in.ReadBytes(extra_size, &extra)) {
    return Corrupt(fmt::format("the zip entry '{}' has no header at offset {}, where the directory says",
                               e.name, e.offset));
  }
  uint64_t size, compressed;
  Wide wide[] = {{&size, narrow_size}, {&compressed, narrow_compressed}};
  // Sizes and checksum may follow the content instead (which only the directory can find); zeros stand here
  // then.
  const bool later = (flags & kSizesFollowFlag) && narrow_size == 0 && narrow_compressed == 0;
  const bool sizes_agree =
      later || (ReadZip64Extra(extra, wide) && size == e.size && compressed == e.compressed);
  const bool crc_agrees = crc == e.crc || ((flags & kSizesFollowFlag) && crc == 0);
  if (name != e.name || method != e.method || !sizes_agree || !crc_agrees) {
    return Corrupt(
        fmt::format("the zip entry '{}' contradicts its own header at offset {}", e.name, e.offset));
  }
  const uint64_t start = in.position();
  if (!in.ReadBytes(e.compressed, &content)) {
    return Corrupt(
        fmt::format("the zip entry '{}' claims {} bytes at offset {}, beyond the {} bytes before the "
                    "directory",
                    e.name, e.compressed, start, limit));
  }
  return start;
}

Status CheckApart(std::vector<Extent> extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) {
      return Corrupt(
          fmt::format("the zip entries '{}' and '{}' overlap", extents[i - 1].name, extents[i].name));
    }
  }
  return OkStatus();
}

}  // namespace

Result<ZipArchive> ZipArchive::Open(std::span<const std::byte> bytes) {
  TERN_ASSIGN_OR_RETURN(const Directory directory, ReadDirectory(bytes));
  if (directory.limit > bytes.size() || directory.offset > directory.limit ||
      directory.size > directory.limit - directory.offset) {
    return Corrupt(fmt::format("the zip archive's directory ({} bytes at offset {}) lies outside the file",
                               directory.size, directory.offset));
  }
  if (directory.entries > directory.size / kDirectoryEntryBytes) {
    return Corrupt(fmt::format("the zip archive claims {} entries in a directory of {} bytes",
                               directory.entries, directory.size));
  }
  ZipArchive archive;
  archive.entries_.reserve(directory.entries);
  std::vector<Extent> extents;
  ByteReader in(bytes.subspan(directory.offset, directory.size));
  for (uint64_t i = 0; i < directory.entries; ++i) {
    TERN_ASSIGN_OR_RETURN(const DirectoryEntry e, ReadDirectoryEntry(&in));
    TERN_ASSIGN_OR_RETURN(const uint64_t start, CheckLocalHeader(bytes, e, directory.offset));
    if (!archive.index_.emplace(e.name, archive.entries_.size()).second) {
      return Corrupt(fmt::format("the zip archive has two entries named '{}'", e.name));
    }
    archive.entries_.push_back({e.name, e.method, e.crc, bytes.subspan(start, e.compressed)});
    extents.push_back({e.offset, start + e.compressed, e.name});
  }
  if (in.remaining() != 0) return Corrupt("the zip archive's directory is longer than its entries");
  TERN_RETURN_IF_ERROR(CheckApart(std::move(extents)));
  return archive;
}

const ZipEntry* ZipArchive::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

Result<std::span<const std::byte>> ZipArchive::Read(std::string_view name) const {
  const ZipEntry* entry = Find(name);
  if (entry == nullptr) return Corrupt(fmt::format("the zip archive has no entry '{}'", name));
  if (entry->method != kStored) {
    return Unsupported(
        fmt::format("the zip entry '{}' is compressed (method {}); torch.save stores entries as they "
                    "are: save the file again with it",
                    name, entry->method));
  }
  return entry->bytes;
}

}  // namespace tern
