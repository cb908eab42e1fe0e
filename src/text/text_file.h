// Text files as people have them: UTF-8 with or without a byte-order mark, UTF-16 and UTF-32. What is none of
// these is refused with its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"

namespace tern {

/// A place in a text, both from 1. Columns count characters.
struct TextPlace {
  int64_t line = 1, column = 1;
};

/// Where `offset` (in bytes, at most text.size()) lies in a text that begins at `start`.
TextPlace PlaceAt(std::string_view text, size_t offset, TextPlace start = {});
/// "'data.txt' line 3, column 7" and "'data.txt' line 3" for messages; the name "-" is standard input.
std::string ShowPlace(const std::string& name, TextPlace place);
std::string ShowLine(const std::string& name, TextPlace place);

/// Fails at the first zero byte (binary data) and at the first byte that is not UTF-8, naming line and
/// column. `start` is the place of the text's first byte.
Status CheckText(std::string_view text, const std::string& name, TextPlace start = {});

/// The text that a file's bytes are, as UTF-8 without a byte-order mark, checked. A mark tells UTF-8, UTF-16
/// and UTF-32 of either order. Without a mark the bytes are UTF-8; where every second byte of ASCII text is
/// zero they are UTF-16.
Result<std::string> DecodeText(std::string bytes, const std::string& name);
/// Whether the bytes, as far as they go, are UTF-8 with or without a mark, and no zero byte is among them.
bool IsUtf8Text(std::string_view bytes);
/// DecodeText of a whole file.
Result<std::string> ReadTextFile(const std::string& path);

/// A text file that may be larger than memory: UTF-8 stays in the mapped file, other encodings are decoded
/// into memory. Immutable; safe to share between threads.
class TextFile {
 public:
  /// Fails where the file cannot be read, or is not what its byte-order mark says. UTF-8 is not checked yet:
  /// give the parts in use to CheckText.
  static Result<std::shared_ptr<const TextFile>> Open(const std::string& path);

  std::string_view text() const { return text_; }  ///< without a byte-order mark
  const std::string& path() const { return path_; }

 private:
  TextFile() = default;
  std::string path_, decoded_;
  std::shared_ptr<const MappedFile> file_;  ///< of UTF-8
  std::string_view text_;
};

}  // namespace tern
