// Lines of a stream, as a script or another program writes them.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <sstream>
#include <string>

#include "base/status.h"

namespace tern {

/// Reads one line at a time, so that a program at the other end can wait for an answer before it writes the
/// next one. A stream whose first line is not UTF-8 is read to its end at once and decoded (DecodeText). Not
/// thread-safe.
class TextLines {
 public:
  /// `name` is for messages ("-": standard input).
  TextLines(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  /// Without the line break; nothing at the end. Fails, naming line and column, on what is not text.
  Result<std::optional<std::string>> Next();

 private:
  Status ReadFirst(std::string* line);

  std::istream& stream_;
  std::string name_;
  std::optional<std::istringstream> decoded_;  ///< all of a stream that is not UTF-8
  int64_t line_ = 0;
};

}  // namespace tern
