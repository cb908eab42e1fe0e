#include "train/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/parallel.h"

namespace tern::train {
namespace {

constexpr size_t kBatchBytes = size_t{16} << 20;
constexpr int64_t kDocumentsPerChunk = 8;

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

std::string_view WithoutLineBreak(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Documents that one thread has tokenised, one after the other.
struct Chunk {
  std::vector<int32_t> tokens;
  std::vector<size_t> ends;
  int64_t bytes = 0;
  Status status;
};

Status TokenizeChunk(const CorpusReader& reader, std::span<const RawDocument> documents,
                     const Tokenizer& tokenizer, int32_t document_end, Chunk* chunk) {
  std::string storage;
  for (const RawDocument& document : documents) {
    TERN_ASSIGN_OR_RETURN(const std::string_view text, reader.Text(document, &storage));
    if (IsBlank(text)) continue;
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    chunk->tokens.insert(chunk->tokens.end(), ids.begin(), ids.end());
    if (document_end >= 0) chunk->tokens.push_back(document_end);
    chunk->ends.push_back(chunk->tokens.size());
    chunk->bytes += static_cast<int64_t>(text.size());
  }
  return OkStatus();
}

std::vector<Chunk> TokenizeBatch(const CorpusReader& reader, std::span<const RawDocument> documents,
                                 const Tokenizer& tokenizer, int32_t document_end) {
  const auto count = static_cast<int64_t>(documents.size());
  std::vector<Chunk> chunks(static_cast<size_t>((count + kDocumentsPerChunk - 1) / kDocumentsPerChunk));
  ParallelFor(count, kDocumentsPerChunk, [&](int64_t begin, int64_t end) {
    Chunk& chunk = chunks[static_cast<size_t>(begin / kDocumentsPerChunk)];
    try {
      chunk.status = TokenizeChunk(
          reader, documents.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), tokenizer,
          document_end, &chunk);
    } catch (const std::exception&) {
      chunk.status = Exhausted(fmt::format("'{}': not enough memory for its tokens", reader.path()));
    }
  });
  return chunks;
}

Status Deliver(const Chunk& chunk, const std::function<Status(std::span<const int32_t>)>& sink,
               CorpusCounts* counts) {
  TERN_RETURN_IF_ERROR(chunk.status);
  size_t begin = 0;
  for (const size_t end : chunk.ends) {
    TERN_RETURN_IF_ERROR(sink(std::span(chunk.tokens).subspan(begin, end - begin)));
    begin = end;
  }
  counts->documents += static_cast<int64_t>(chunk.ends.size());
  counts->tokens += static_cast<int64_t>(chunk.tokens.size());
  counts->bytes += chunk.bytes;
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<CorpusReader>> CorpusReader::Open(const std::string& path, std::string separator) {
  std::unique_ptr<CorpusReader> reader(new CorpusReader);
  TERN_ASSIGN_OR_RETURN(reader->file_, TextFile::Open(path));
  reader->separator_ = std::move(separator);
  if (NamesJson(path)) reader->records_.emplace(reader->file_->text(), path);
  return reader;
}

std::string_view CorpusReader::TakeLine() {
  const std::string_view rest = file_->text().substr(position_);
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end == std::string_view::npos ? rest.size() : end + 1);
  position_ += line.size();
  ++line_;
  return line;
}

std::string_view CorpusReader::TakeDocument() {
  const std::string_view rest = file_->text().substr(position_);
  if (separator_.empty()) {
    position_ += rest.size();
    return rest;
  }
  size_t length = 0;
  while (position_ < file_->text().size()) {
    const std::string_view line = TakeLine();
    if (WithoutLineBreak(line) == separator_) break;
    length += line.size();
  }
  return WithoutLineBreak(rest.substr(0, length));
}

Result<std::optional<RawDocument>> CorpusReader::NextDocument() {
  if (records_) {
    TERN_ASSIGN_OR_RETURN(const auto record, records_->Next());
    position_ = records_->position();
    return record ? std::optional(RawDocument{record->raw, record->place}) : std::nullopt;
  }
  while (position_ < file_->text().size()) {
    const TextPlace place{line_, 1};
    const std::string_view raw = TakeDocument();
    if (!IsBlank(raw)) return std::optional(RawDocument{raw, place});
  }
  return std::optional<RawDocument>();
}

Result<std::vector<RawDocument>> CorpusReader::Next(size_t bytes) {
  std::vector<RawDocument> documents;
  for (size_t total = 0; documents.empty() || total < bytes;) {
    TERN_ASSIGN_OR_RETURN(const auto document, NextDocument());
    if (!document) break;
    documents.push_back(*document);
    total += document->raw.size();
  }
  return documents;
}

Result<std::string_view> CorpusReader::Text(const RawDocument& document, std::string* storage) const {
  if (!records_) {
    TERN_RETURN_IF_ERROR(CheckText(document.raw, path(), document.place));
    return document.raw;
  }
  TERN_ASSIGN_OR_RETURN(const auto json, ParseJsonRecord({document.raw, document.place}, path()));
  auto text = JsonString(json, "text");
  if (!text.ok()) return text.status().WithContext(ShowLine(path(), document.place));
  *storage = std::move(*text);
  return std::string_view(*storage);
}

Result<CorpusCounts> TokenizeCorpus(const std::string& path, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options,
                                    const std::function<Status(std::span<const int32_t>)>& sink) {
  TERN_ASSIGN_OR_RETURN(const auto reader, CorpusReader::Open(path, options.separator));
  CorpusCounts counts;
  for (;;) {
    TERN_ASSIGN_OR_RETURN(const std::vector<RawDocument> documents, reader->Next(kBatchBytes));
    if (documents.empty()) break;
    for (const Chunk& chunk : TokenizeBatch(*reader, documents, tokenizer, options.document_end)) {
      TERN_RETURN_IF_ERROR(Deliver(chunk, sink, &counts));
    }
    if (options.progress && !options.progress(reader->position(), reader->size())) {
      return Cancelled(fmt::format("stopped while reading '{}'", path));
    }
  }
  if (counts.documents == 0) return Corrupt(fmt::format("'{}' holds no text", path));
  return counts;
}

}  // namespace tern::train
