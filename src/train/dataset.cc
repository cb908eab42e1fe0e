#include "train/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/parallel.h"
#include "formats/binidx.h"
#include "train/corpus.h"

namespace tern::train {
namespace {

constexpr int64_t kBlock = int64_t{1} << 20;

/// Tokens in memory.
template <typename T>
class MemoryTokens final : public TokenData {
 public:
  MemoryTokens(TokenBytes token_bytes, int32_t document_end) {
    token_bytes_ = std::move(token_bytes);
    document_end_ = document_end;
  }
  void Append(std::span<const int32_t> document) {
    documents_.push_back(tokens());
    for (const int32_t token : document) {
      largest_token_ = std::max(largest_token_, token);
      tokens_.push_back(static_cast<T>(token));
    }
  }
  void Close() { tokens_.shrink_to_fit(); }

  int64_t tokens() const override { return static_cast<int64_t>(tokens_.size()); }
  void Read(int64_t begin, std::span<int32_t> out) const override {
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }
  std::span<const int64_t> documents() const override { return documents_; }

 private:
  std::vector<T> tokens_;
  std::vector<int64_t> documents_;
};

/// Tokens in mapped files.
class MappedTokens final : public TokenData {
 public:
  MappedTokens(std::shared_ptr<const BinidxReader> reader, TokenBytes token_bytes, int32_t document_end)
      : reader_(std::move(reader)) {
    largest_token_ = reader_->largest_token();
    token_bytes_ = std::move(token_bytes);
    document_end_ = document_end;
  }
  int64_t tokens() const override { return reader_->tokens(); }
  void Read(int64_t begin, std::span<int32_t> out) const override { reader_->Read(begin, out); }
  std::span<const int64_t> documents() const override { return reader_->documents(); }

 private:
  std::shared_ptr<const BinidxReader> reader_;
};

class SlicedTokens final : public TokenData {
 public:
  SlicedTokens(std::shared_ptr<const TokenData> data, int64_t begin, int64_t end)
      : data_(std::move(data)), begin_(begin), size_(end - begin) {
    largest_token_ = data_->largest_token();
    token_bytes_ = data_->token_bytes();
    document_end_ = data_->document_end();
    documents_ = {0};
    const auto all = data_->documents();
    for (auto it = std::upper_bound(all.begin(), all.end(), begin); it != all.end() && *it < end; ++it) {
      documents_.push_back(*it - begin);
    }
  }
  int64_t tokens() const override { return size_; }
  void Read(int64_t begin, std::span<int32_t> out) const override { data_->Read(begin_ + begin, out); }
  std::span<const int64_t> documents() const override { return documents_; }

 private:
  std::shared_ptr<const TokenData> data_;
  int64_t begin_, size_;
  std::vector<int64_t> documents_;
};

TokenBytes BytesOfTokens(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return nullptr;
  std::vector<uint32_t> bytes(static_cast<size_t>(tokenizer->vocab_size()));
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    bytes[static_cast<size_t>(id)] = static_cast<uint32_t>(tokenizer->TokenBytes(id).size());
  }
  return std::make_shared<const std::vector<uint32_t>>(std::move(bytes));
}

template <typename T>
Result<std::shared_ptr<const TokenData>> OpenText(const std::string& path, const Tokenizer& tokenizer,
                                                  const DataOptions& options) {
  auto data = std::make_shared<MemoryTokens<T>>(BytesOfTokens(&tokenizer), options.document_end);
  TokenizeOptions tokenize;
  tokenize.document_end = options.document_end;
  tokenize.separator = options.separator;
  TERN_ASSIGN_OR_RETURN(const CorpusCounts counts,
                        TokenizeCorpus(path, tokenizer, tokenize, [&](std::span<const int32_t> document) {
                          data->Append(document);
                          return OkStatus();
                        }));
  static_cast<void>(counts);
  data->Close();
  return std::shared_ptr<const TokenData>(std::move(data));
}

Result<std::shared_ptr<const TokenData>> OpenBinidx(const std::string& path, const Tokenizer* tokenizer,
                                                    const DataOptions& options) {
  TERN_ASSIGN_OR_RETURN(auto reader, BinidxReader::Open(path));
  if (tokenizer != nullptr && reader->largest_token() >= tokenizer->vocab_size()) {
    return InvalidArgument(
        fmt::format("'{}' holds token {}, but the vocabulary has {}: it was made by another tokenizer", path,
                    reader->largest_token(), tokenizer->vocab_size()));
  }
  return std::shared_ptr<const TokenData>(
      std::make_shared<MappedTokens>(std::move(reader), BytesOfTokens(tokenizer), options.document_end));
}

}  // namespace

int64_t TokenData::bytes() const {
  std::call_once(counted_, [this] {
    if (token_bytes_ == nullptr) return;
    const int64_t blocks = (tokens() + kBlock - 1) / kBlock;
    std::vector<int64_t> sums(static_cast<size_t>(blocks));
    ParallelFor(blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        std::vector<int32_t> block(static_cast<size_t>(std::min(kBlock, tokens() - b * kBlock)));
        Read(b * kBlock, block);
        for (const int32_t token : block)
          sums[static_cast<size_t>(b)] += (*token_bytes_)[static_cast<size_t>(token)];
      }
    });
    for (const int64_t sum : sums) bytes_ += sum;
  });
  return bytes_;
}

std::shared_ptr<const TokenData> Slice(std::shared_ptr<const TokenData> data, int64_t begin, int64_t end) {
  end = std::clamp<int64_t>(end, 0, data->tokens());
  begin = std::clamp<int64_t>(begin, 0, end);
  return std::make_shared<SlicedTokens>(std::move(data), begin, end);
}

Result<std::shared_ptr<const TokenData>> OpenData(const std::string& path, const Tokenizer* tokenizer,
                                                  const DataOptions& options) {
  if (NamesBinidx(path)) return OpenBinidx(path, tokenizer, options);
  if (tokenizer == nullptr) return InvalidArgument(fmt::format("'{}' is text: a tokenizer is needed", path));
  if (options.document_end >= tokenizer->vocab_size()) {
    return InvalidArgument(fmt::format("the document end {} is outside the vocabulary of {}",
                                       options.document_end, tokenizer->vocab_size()));
  }
  constexpr int32_t kFitsTwoBytes = 65536;
  return tokenizer->vocab_size() <= kFitsTwoBytes ? OpenText<uint16_t>(path, *tokenizer, options)
                                                  : OpenText<int32_t>(path, *tokenizer, options);
}

}  // namespace tern::train
