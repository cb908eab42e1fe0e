// Text files, document by document, and their tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/json_records.h"
#include "text/text_file.h"
#include "text/tokenizer.h"

namespace tern::train {

/// A document as it stands in its file: plain text, or a record of JSON.
struct RawDocument {
  std::string_view raw;
  TextPlace place;  ///< of its first byte
};

/// Cuts a text file (text/text_file.h says which encodings it may have) into documents, in order: a file of
/// JSON (NamesJson) into its records, another one at the lines that equal `separator` (without one it is a
/// single document, to the last byte). With a separator, the line break before it (and one at the file's end)
/// is not the document's. Documents of nothing but white space are passed over. Not thread-safe but for Text.
class CorpusReader {
 public:
  static Result<std::unique_ptr<CorpusReader>> Open(const std::string& path, std::string separator);

  /// Documents of about `bytes` bytes together, at least one; none at the end. They are valid as long as the
  /// reader. Fails where a JSON array is not one.
  Result<std::vector<RawDocument>> Next(size_t bytes);
  /// What a document says: itself, or the "text" of a JSON object, which is put into `storage`. Fails, naming
  /// file, line and column, on what is not text or not JSON. Thread-safe.
  Result<std::string_view> Text(const RawDocument& document, std::string* storage) const;

  int64_t position() const { return static_cast<int64_t>(position_); }  ///< bytes read, of the text
  int64_t size() const { return static_cast<int64_t>(file_->text().size()); }
  const std::string& path() const { return file_->path(); }

 private:
  CorpusReader() = default;
  std::string_view TakeLine();
  std::string_view TakeDocument();
  Result<std::optional<RawDocument>> NextDocument();
  std::shared_ptr<const TextFile> file_;
  std::string separator_;
  std::optional<JsonRecordCutter> records_;  ///< of a file of JSON
  size_t position_ = 0;
  int64_t line_ = 1;
};

struct CorpusCounts {
  int64_t documents = 0, tokens = 0;
  int64_t bytes = 0;  ///< of the documents' text
};

struct TokenizeOptions {
  int32_t document_end = -1;  ///< put after every document; −1: none
  std::string separator;
  /// Told how many bytes of the file are done; false stops (kCancelled).
  std::function<bool(int64_t done, int64_t total)> progress;
};

/// Tokenises a text file on all threads, and gives the documents' tokens to `sink` one after the other in the
/// file's order, from the calling thread. Memory: some 16 MB of text and its tokens, or the largest document.
/// A file without text is an error.
Result<CorpusCounts> TokenizeCorpus(const std::string& path, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options,
                                    const std::function<Status(std::span<const int32_t>)>& sink);

}  // namespace tern::train
