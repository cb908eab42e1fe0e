#include "base/lfs_pointer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace tern {
namespace {

// The specification's first line, and that of the program's earlier name.
constexpr std::string_view kFirstLines[] = {"version https://git-lfs.github.com/spec/",
                                            "version https://hawser.github.com/spec/",
                                            "version http://git-media.io/"};
constexpr size_t kLongestPointer = 1024;  // the specification: pointer files are smaller than 1024 bytes

/// " of N bytes", or nothing where the pointer does not say.
std::string PromisedSize(std::string_view content) {
  constexpr std::string_view kSize = "\nsize ";
  const size_t at = content.substr(0, kLongestPointer).find(kSize);
  if (at == std::string_view::npos) return "";
  const std::string_view rest = content.substr(at + kSize.size());
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
  if (error != std::errc() || end == rest.data()) return "";
  return fmt::format(" of {} bytes", size);
}

}  // namespace

Status CheckNotLfsPointer(std::string_view content, const std::string& path) {
  const bool pointer = std::any_of(std::begin(kFirstLines), std::end(kFirstLines),
                                   [&](std::string_view line) { return content.starts_with(line); });
  if (!pointer || content.size() >= kLongestPointer) return OkStatus();
  return Unsupported(
      fmt::format("'{}' is a Git LFS pointer that stands for a file{}: fetch the file with 'git lfs pull', "
                  "or download it",
                  path, PromisedSize(content)));
}

}  // namespace tern
