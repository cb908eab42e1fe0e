// Pages of mapped files: fetched before they are needed, dropped behind. Ranges that are not mapped, or systems that
// refuse, are no errors: the pages then come when they are touched, and go when somebody needs the room.
#pragma once

#include <cstddef>
#include <span>

namespace tern {

/// Asks for the pages to be read from the disk; returns at once.
void AnnouncePages(std::span<const std::byte> bytes);
/// Reads them, and returns when they are there.
void FetchPages(std::span<const std::byte> bytes);
/// They leave this process's resident memory, though not the page cache. Only whole pages inside the range: its
/// neighbours may be in use.
void ReleasePages(std::span<const std::byte> bytes);
/// They leave the page cache as well, so that the next use reads them from the disk.
void DropPages(std::span<const std::byte> bytes);

}  // namespace tern
