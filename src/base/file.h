// Files: read through a memory map, written so that a half-written file never replaces a whole one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tern {

/// A read-only memory map of a whole file. Shared by everything that views its bytes; unmapped with its last owner.
/// A file that another process truncates while it is mapped raises SIGBUS on access, as every map does.
class MappedFile {
 public:
  /// Fails (naming the path) when it is missing, a directory, not a regular file, unreadable, empty or a Git LFS pointer.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  size_t size() const { return size_; }

  /// Tells the kernel that `bytes` (a part of this map) will not be needed soon: its pages leave this process's
  /// resident memory, though not the page cache. Used after a tensor has been copied or converted.
  void Forget(std::span<const std::byte> bytes) const;

 private:
  MappedFile(std::string path, const std::byte* data, size_t size) : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const std::byte* data_;
  size_t size_;
};

/// Writes a file beside `path` and renames it into place on Commit(), after fsync. Without Commit (an error, a
/// destructor) the temporary file is removed and `path` is untouched. A symbolic link stays one: what it points to is
/// replaced. What is no regular file (/dev/null, /dev/stdout, a FIFO) is written to as it is.
class AtomicFile {
 public:
  static Result<std::unique_ptr<AtomicFile>> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  Status Append(std::span<const std::byte> bytes);
  Status Append(std::string_view text);
  /// Appends zero bytes until the size is a multiple of `alignment`.
  Status PadTo(uint64_t alignment);
  /// Overwrites bytes already written (for headers whose content is known only at the end).
  Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t size() const { return size_; }
  /// fsync, rename, fsync of the folder. Nothing may be written afterwards.
  Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  Status Flush();
  std::string path_, temporary_, buffer_;  // temporary_ is path_ where it is written to as it is
  int fd_;
  uint64_t size_ = 0;
};

/// Makes what was created, renamed or removed in a folder outlive an end of the system. A folder that cannot be
/// synced (some network disks) is no error.
void SyncFolder(const std::string& folder);

/// The whole file as a string. Fails, naming the path, when it is larger than `limit` bytes or a Git LFS pointer.
Result<std::string> ReadFileToString(const std::string& path, uint64_t limit = uint64_t{1} << 32);
/// Writes `content` to `path` atomically.
Status WriteStringToFile(const std::string& path, std::string_view content);

}  // namespace tern
