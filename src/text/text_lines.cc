#include "text/text_lines.h"

#include <iterator>

#include "text/text_file.h"

namespace tern {

Result<std::optional<std::string>> TextLines::Next() {
  std::string line;
  std::istream& from = decoded_ ? *decoded_ : stream_;
  if (!std::getline(from, line)) return std::optional<std::string>();
  if (++line_ == 1) {
    TERN_RETURN_IF_ERROR(ReadFirst(&line));
  } else if (!decoded_) {
    TERN_RETURN_IF_ERROR(CheckText(line, name_, {line_, 1}));
  }
  return std::optional(std::move(line));
}

/// The first bytes tell the encoding.
Status TextLines::ReadFirst(std::string* line) {
  const bool more = !stream_.eof();
  if (IsUtf8Text(*line)) {
    TERN_ASSIGN_OR_RETURN(*line, DecodeText(std::move(*line), name_));
    return OkStatus();
  }
  std::string all = std::move(*line);
  if (more) all += '\n';  // in the other encodings half a line break
  all.append(std::istreambuf_iterator<char>(stream_), std::istreambuf_iterator<char>());
  TERN_ASSIGN_OR_RETURN(all, DecodeText(std::move(all), name_));
  decoded_.emplace(std::move(all));
  line->clear();
  std::getline(*decoded_, *line);
  return OkStatus();
}

}  // namespace tern
