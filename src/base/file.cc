#include "base/file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/lfs_pointer.h"
#include "base/mapped_pages.h"

namespace tern {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

Status ErrnoStatus(const char* doing, const std::string& path) {
  const int error = errno;
  const std::string message = fmt::format("cannot {} '{}': {}", doing, path, std::strerror(error));
  if (error == ENOENT) return NotFound(message);
  if (error == ENOSPC || error == EDQUOT) return Exhausted(message);
  return IoError(message);
}

Status WriteAll(int fd, const char* data, size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("write", path);
    }
    data += written;
    size -= static_cast<size_t>(written);
  }
  return OkStatus();
}

/// What a symbolic link (or a chain of them) leads to, whether or not it exists; any other path itself.
std::string LinkTarget(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the kernel
  std::filesystem::path target = path;
  std::error_code error;
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(target, error); ++i) {
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  return target.string();
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("open", path);
  struct stat info;
  Status status;
  void* data = nullptr;
  if (::fstat(fd, &info) != 0) {
    status = ErrnoStatus("stat", path);
  } else if (S_ISDIR(info.st_mode)) {
    status = InvalidArgument(fmt::format("'{}' is a directory, not a file", path));
  } else if (!S_ISREG(info.st_mode)) {
    status = InvalidArgument(fmt::format("'{}' is not a regular file", path));
  } else if (info.st_size == 0) {
    status = Corrupt(fmt::format("'{}' is empty", path));
  } else {
    data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) status = ErrnoStatus("map", path);
  }
  ::close(fd);
  if (!status.ok()) return status;
  std::shared_ptr<const MappedFile> file(
      new MappedFile(path, static_cast<const std::byte*>(data), static_cast<size_t>(info.st_size)));
  TERN_RETURN_IF_ERROR(CheckNotLfsPointer({static_cast<const char*>(data), file->size()}, path));
  return file;
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::Forget(std::span<const std::byte> bytes) const { ReleasePages(bytes); }

Result<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return InvalidArgument(fmt::format("cannot write '{}': it is a directory", path));
  }
  const auto kind = std::filesystem::status(path, error).type();
  if (kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::not_found &&
      kind != std::filesystem::file_type::none) {
    const int device = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (device < 0) return ErrnoStatus("write", path);
    return std::unique_ptr<AtomicFile>(new AtomicFile(path, path, device));
  }
  const std::string target = LinkTarget(path);
  const std::string temporary = fmt::format("{}.tmp-{}", target, ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoStatus("write", path);
  return std::unique_ptr<AtomicFile>(new AtomicFile(target, temporary, fd));
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (temporary_ != path_) ::unlink(temporary_.c_str());
}

Status AtomicFile::Append(std::span<const std::byte> bytes) {
  const char* data = reinterpret_cast<const char*>(bytes.data());
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    TERN_RETURN_IF_ERROR(Flush());
    if (bytes.size() >= kBufferBytes) return WriteAll(fd_, data, bytes.size(), temporary_);
  }
  buffer_.append(data, bytes.size());
  return OkStatus();
}

Status AtomicFile::Append(std::string_view text) { return Append(std::as_bytes(std::span(text.data(), text.size()))); }

Status AtomicFile::PadTo(uint64_t alignment) {
  const uint64_t missing = (alignment - size_ % alignment) % alignment;
  return Append(std::string(missing, '\0'));
}

Status AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  if (offset > size_ || bytes.size() > size_ - offset) return InvalidArgument("WriteAt beyond what was written");
  TERN_RETURN_IF_ERROR(Flush());
  const char* data = reinterpret_cast<const char*>(bytes.data());
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::pwrite(fd_, data + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus("write", temporary_);
    done += static_cast<size_t>(written);
  }
  return OkStatus();
}

Status AtomicFile::Flush() {
  TERN_RETURN_IF_ERROR(WriteAll(fd_, buffer_.data(), buffer_.size(), temporary_));
  buffer_.clear();
  return OkStatus();
}

Status AtomicFile::Commit() {
  TERN_RETURN_IF_ERROR(Flush());
  if (temporary_ == path_) {
    const int closed = ::close(std::exchange(fd_, -1));
    return closed == 0 ? OkStatus() : ErrnoStatus("close", path_);
  }
  if (::fsync(fd_) != 0) return ErrnoStatus("sync", temporary_);
  if (::close(fd_) != 0) {
    fd_ = -1;
    ::unlink(temporary_.c_str());
    return ErrnoStatus("close", temporary_);
  }
  fd_ = -1;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    Status status = ErrnoStatus("rename into place", path_);
    ::unlink(temporary_.c_str());
    return status;
  }
  SyncFolder(std::filesystem::path(path_).parent_path().string());  // the rename itself must survive a crash
  return OkStatus();
}

void SyncFolder(const std::string& folder) {
  const int dir = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return;
  ::fsync(dir);
  ::close(dir);
}

Result<std::string> ReadFileToString(const std::string& path, uint64_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("open", path);
  std::string content;
  Status status;
  char chunk[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = ErrnoStatus("read", path);
    if (got <= 0) break;
    content.append(chunk, static_cast<size_t>(got));
    if (content.size() > limit) {
      status = InvalidArgument(fmt::format("'{}' is larger than {} bytes", path, limit));
      break;
    }
  }
  ::close(fd);
  if (!status.ok()) return status;
  TERN_RETURN_IF_ERROR(CheckNotLfsPointer(content, path));
  return content;
}

Status WriteStringToFile(const std::string& path, std::string_view content) {
  TERN_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  TERN_RETURN_IF_ERROR(file->Append(content));
  return file->Commit();
}

}  // namespace tern
