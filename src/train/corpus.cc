#include "train/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
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
  TERN_ASSIGN_OR_RETURN(reader->file_, MappedFile::Open(path));
  reader->separator_ = std::move(separator);
  reader->json_ = path.ends_with(".jsonl");
  return reader;
}

std::string_view CorpusReader::TakeLine() {
  const auto bytes = file_->bytes();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  rest.remove_prefix(position_);
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end == std::string_view::npos ? rest.size() : end + 1);
  position_ += line.size();
  ++line_;
  return line;
}

std::string_view CorpusReader::TakeDocument() {
  const char* begin = reinterpret_cast<const char*>(file_->bytes().data()) + position_;
  if (json_) return WithoutLineBreak(TakeLine());
  if (separator_.empty()) {
    position_ = file_->size();
    return {begin, static_cast<size_t>(size()) -
                       static_cast<size_t>(begin - reinterpret_cast<const char*>(file_->bytes().data()))};
  }
  size_t length = 0;
  while (position_ < file_->size()) {
    const std::string_view line = TakeLine();
    if (WithoutLineBreak(line) == separator_) break;
    length += line.size();
  }
  return WithoutLineBreak({begin, length});
}

std::vector<RawDocument> CorpusReader::Next(size_t bytes) {
  std::vector<RawDocument> documents;
  size_t total = 0;
  while (position_ < file_->size() && (documents.empty() || total < bytes)) {
    const int64_t line = line_;
    const std::string_view raw = TakeDocument();
    if (IsBlank(raw)) continue;
    documents.push_back({raw, line});
    total += raw.size();
  }
  return documents;
}

Result<std::string_view> CorpusReader::Text(const RawDocument& document, std::string* storage) const {
  if (!json_) return document.raw;
  auto json = nlohmann::json::parse(document.raw, nullptr, /*allow_exceptions=*/false);
  const auto where = [&] { return fmt::format("'{}' line {}", path(), document.line); };
  if (json.is_discarded()) return Corrupt(fmt::format("{} is not JSON", where()));
  const auto text = json.is_object() ? json.find("text") : json.end();
  if (text == json.end() || !text->is_string()) {
    return Corrupt(fmt::format("{}: expected an object with a string \"text\"", where()));
  }
  *storage = std::move(text->get_ref<std::string&>());
  return std::string_view(*storage);
}

Result<CorpusCounts> TokenizeCorpus(const std::string& path, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options,
                                    const std::function<Status(std::span<const int32_t>)>& sink) {
  TERN_ASSIGN_OR_RETURN(const auto reader, CorpusReader::Open(path, options.separator));
  CorpusCounts counts;
  for (;;) {
    const std::vector<RawDocument> documents = reader->Next(kBatchBytes);
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
