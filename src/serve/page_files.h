// The page's files as they lie in the program. Defined by a source that the build writes
// (cmake/EmbedFiles.cmake).
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace tern::serve {

struct EmbeddedFile {
  /// The bytes between two labels, gzip-compressed.
  struct Bytes {
    const char *begin, *end;
    std::string_view view() const { return {begin, static_cast<size_t>(end - begin)}; }
  };
  std::string_view name;  ///< its path under web/, or "vendor/…" for the libraries
  Bytes gzip;
  size_t size;            ///< of the file itself, in bytes
  std::string_view hash;  ///< of the file itself: changes when it does
};

const std::vector<EmbeddedFile>& EmbeddedPageFiles();

}  // namespace tern::serve
