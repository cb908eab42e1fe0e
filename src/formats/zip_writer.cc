#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "formats/zip_archive.h"
#include "formats/zip_layout.h"

namespace tern {
namespace {

using namespace zip;  // NOLINT: the format's own names

constexpr uint16_t kDate = (0 << 9) | (1 << 5) | 1;  // 1 January 1980: the same tensors give the same file

/// Little-endian fields of a record.
class Fields {
 public:
  template <typename T>
  Fields& Put(T value) {
    static_assert(std::is_unsigned_v<T>);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    text_.append(bytes, sizeof(T));
    return *this;
  }
  Fields& U16(uint64_t value) { return Put(static_cast<uint16_t>(value)); }
  Fields& U32(uint64_t value) { return Put(static_cast<uint32_t>(value)); }
  Fields& U64(uint64_t value) { return Put(value); }
  Fields& Text(std::string_view text) {
    text_ += text;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

Status ZipWriter::Add(const std::string& name, std::span<const std::byte> bytes, uint64_t alignment) {
  if (name.empty() || name.size() > 0xffff || alignment == 0 || alignment > 0x8000) {
    return InvalidArgument(fmt::format("zip entry '{}': bad name or alignment {}", name, alignment));
  }
  const Record record{name, Crc32(bytes), bytes.size(), file_->size()};
  const bool zip64 = NeedsZip64(record.size);
  Fields extra;
  if (zip64) extra.U16(kZip64ExtraId).U16(16).U64(record.size).U64(record.size);
  const uint64_t start = record.offset + kLocalHeaderBytes + name.size() + extra.text().size() + 4;
  const uint64_t padding = (alignment - start % alignment) % alignment;
  extra.U16(kPaddingExtraId).U16(padding).Text(std::string(padding, 'Z'));

  const uint64_t narrow = zip64 ? kInZip64 : record.size;
  Fields header;
  header.U32(kLocalSignature).U16(kVersionZip64).U16(kUtf8Flag).U16(kStored).U16(0).U16(kDate);
  header.U32(record.crc).U32(narrow).U32(narrow).U16(name.size()).U16(extra.text().size());
  TERN_RETURN_IF_ERROR(file_->Append(header.Text(name).Text(extra.text()).text()));
  TERN_RETURN_IF_ERROR(file_->Append(bytes));
  records_.push_back(record);
  return OkStatus();
}

std::string ZipWriter::DirectoryEntry(const Record& record) const {
  const bool wide_size = NeedsZip64(record.size);
  const bool wide_offset = NeedsZip64(record.offset);
  Fields extra;
  if (wide_size || wide_offset) extra.U16(kZip64ExtraId).U16((wide_size ? 16 : 0) + (wide_offset ? 8 : 0));
  if (wide_size) extra.U64(record.size).U64(record.size);
  if (wide_offset) extra.U64(record.offset);
  const uint64_t narrow = wide_size ? kInZip64 : record.size;
  Fields entry;
  entry.U32(kDirectorySignature)
      .U16(kVersionZip64)
      .U16(kVersionZip64)
      .U16(kUtf8Flag)
      .U16(kStored)
      .U16(0)
      .U16(kDate);
  entry.U32(record.crc).U32(narrow).U32(narrow).U16(record.name.size()).U16(extra.text().size());
  entry.U16(0).U16(0).U16(0).U32(0);  // no comment, first disk, no attributes
  entry.U32(wide_offset ? kInZip64 : record.offset);
  return entry.Text(record.name).Text(extra.text()).text();
}

Status ZipWriter::Finish() {
  const uint64_t offset = file_->size();
  for (const Record& record : records_) TERN_RETURN_IF_ERROR(file_->Append(DirectoryEntry(record)));
  const uint64_t size = file_->size() - offset;
  const uint64_t count = records_.size();
  const bool zip64 = NeedsZip64(offset) || NeedsZip64(size) || count >= 0xffff;
  Fields end;
  if (zip64) {
    const uint64_t record_offset = file_->size();
    end.U32(kZip64EndRecordSignature).U64(kZip64EndRecordBytes - 12).U16(kVersionZip64).U16(kVersionZip64);
    end.U32(0).U32(0).U64(count).U64(count).U64(size).U64(offset);
    end.U32(kZip64LocatorSignature).U32(0).U64(record_offset).U32(1);
  }
  const uint64_t narrow_count = std::min<uint64_t>(count, 0xffff);
  end.U32(kEndRecordSignature).U16(0).U16(0).U16(narrow_count).U16(narrow_count);
  end.U32(zip64 ? kInZip64 : size).U32(zip64 ? kInZip64 : offset).U16(0);
  return file_->Append(end.text());
}

}  // namespace tern
