// CRC-32 of zip entries. Large ones are cut into pieces, whose checksums are joined: one storage of a
// checkpoint may be a third of it.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "formats/zip_archive.h"
#include "formats/zip_layout.h"

namespace tern {
namespace {

constexpr size_t kPiece = size_t{16} << 20;

struct Piece {
  std::span<const std::byte> bytes;
  uint32_t crc = 0;
};

}  // namespace

uint32_t Crc32(std::span<const std::byte> bytes) {
  // A null pointer asks for the initial value, which is also the checksum of nothing.
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

Status CheckContents(std::span<const ZipEntry> entries) {
  std::vector<Piece> pieces;
  for (const ZipEntry& entry : entries) {
    for (size_t at = 0; at < entry.bytes.size(); at += kPiece)
      pieces.push_back({entry.bytes.subspan(at, std::min(kPiece, entry.bytes.size() - at))});
  }
  ParallelFor(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Piece& piece = pieces[static_cast<size_t>(i)];
      piece.crc = Crc32(piece.bytes);
    }
  });
  auto piece = pieces.begin();
  for (const ZipEntry& entry : entries) {
    uLong crc = 0;
    for (size_t at = 0; at < entry.bytes.size(); at += kPiece, ++piece)
      crc = crc32_combine(crc, piece->crc, static_cast<z_off_t>(piece->bytes.size()));
    if (entry.method != zip::kStored || crc == entry.crc) continue;
    return Corrupt(
        fmt::format("the content of the zip entry '{}' has the checksum {:08x}, but the archive says {:08x}",
                    entry.name, crc, entry.crc));
  }
  return OkStatus();
}

}  // namespace tern
