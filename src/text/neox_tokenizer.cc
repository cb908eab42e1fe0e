// GPT-NeoX's byte-level BPE, in the Hugging Face library's order: added tokens that are not normalised; NFC;
// added tokens that are; GPT-2's words; byte pairs.
#include "text/neox_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "base/file.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/neox_vocab.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/word_cache.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

constexpr size_t kMaxWord = size_t{1} << 30;  // byte pairs count places in 32 bits

class NeoxTokenizer final : public Tokenizer {
 public:
  explicit NeoxTokenizer(NeoxVocab vocab)
      : vocab_(std::move(vocab)),
        raw_(vocab_.added, /*normalized=*/false, /*nfc=*/false),
        normalized_(vocab_.added, /*normalized=*/true, vocab_.nfc) {
    for (const AddedToken& token : vocab_.added) {
      if (token.content == "<|endoftext|>") end_of_document_ = token.id;
    }
  }

  std::vector<int32_t> Encode(std::string_view text) const override;
  std::string_view TokenBytes(int32_t id) const override {
    if (id < 0 || static_cast<size_t>(id) >= vocab_.tokens.size()) return {};
    return vocab_.tokens[static_cast<size_t>(id)];
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(vocab_.tokens.size()); }
  std::string_view name() const override { return "neox"; }
  int32_t end_of_document() const override { return end_of_document_; }

 private:
  class Call;
  NeoxVocab vocab_;
  AddedTokens raw_, normalized_;
  int32_t end_of_document_ = -1;
};

/// One call of Encode: what it has found so far, and what it may forget afterwards.
class NeoxTokenizer::Call {
 public:
  Call(const NeoxTokenizer& tokenizer, size_t text_size) : t_(tokenizer), cache_(text_size) {
    ids_.reserve(text_size / 4 + 8);
  }

  /// Valid UTF-8 goes the library's way; each stretch of other bytes is one word.
  std::vector<int32_t> Run(std::string_view text) {
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t valid = ValidLength(text.substr(begin));
      if (valid > 0) Cut(t_.raw_, text.substr(begin, valid), &Call::Normalize);
      begin += valid;
      begin = InvalidBytes(text, begin);
    }
    return std::move(ids_);
  }

 private:
  /// The bytes from `at` on that are not valid UTF-8, as one word; where they end. A byte that has no token
  /// becomes U+FFFD.
  size_t InvalidBytes(std::string_view text, size_t at) {
    std::string word;
    while (at < text.size()) {
      const Utf8Char next = DecodeUtf8(text, at);
      if (next.valid) break;
      for (const char c : text.substr(at, next.length)) {
        if (t_.vocab_.byte_ids[static_cast<uint8_t>(c)] >= 0) {
          word.push_back(c);
        } else {
          word.append("\xEF\xBF\xBD");
        }
      }
      at += next.length;
    }
    Uncached(word);
    return at;
  }

  static size_t ValidLength(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
      if (static_cast<uint8_t>(text[at]) < 0x80) {
        ++at;
        continue;
      }
      const Utf8Char next = DecodeUtf8(text, at);
      if (!next.valid) break;
      at += next.length;
    }
    return at;
  }

  /// Takes the added tokens out of `text` and hands what lies between them to `rest`.
  void Cut(const AddedTokens& tokens, std::string_view text, void (Call::*rest)(std::string_view)) {
    size_t done = 0;
    size_t resume = 0;
    while (!tokens.empty()) {
      const AddedTokens::Found found = tokens.Next(text, resume, done, &resume);
      if (found.id < 0) break;
      if (found.begin > done) (this->*rest)(text.substr(done, found.begin - done));
      ids_.push_back(found.id);
      done = found.end;
    }
    if (done < text.size()) (this->*rest)(text.substr(done));
  }

  void Normalize(std::string_view text) {
    if (t_.vocab_.nfc) {
      std::string buffer;
      const std::string_view normal = NormalizeNfc(text, &buffer);
      if (normal.data() != text.data()) {
        buffers_.push_back(std::move(buffer));  // the cache points into it
        text = buffers_.back();
      }
    }
    Cut(t_.normalized_, text, &Call::Words);
  }

  void Words(std::string_view text) {
    while (!text.empty()) {
      const size_t length = NextWord(text);
      Word(text.substr(0, length));
      text.remove_prefix(length);
    }
  }

  void Word(std::string_view word) {
    if (word.size() <= WordCache::kMaxLength) {
      if (cache_.Append(word, &ids_)) return;
      const size_t first = ids_.size();
      AppendBpe(word, t_.vocab_.byte_ids.data(), t_.vocab_.merges, &ids_);
      cache_.Insert(word, ids_.data() + first, ids_.size() - first);
      return;
    }
    Uncached(word);
  }

  void Uncached(std::string_view word) {
    for (; !word.empty(); word.remove_prefix(std::min(word.size(), kMaxWord))) {
      AppendBpe(word.substr(0, kMaxWord), t_.vocab_.byte_ids.data(), t_.vocab_.merges, &ids_);
    }
  }

  const NeoxTokenizer& t_;
  WordCache cache_;
  std::deque<std::string> buffers_;
  std::vector<int32_t> ids_;
};

std::vector<int32_t> NeoxTokenizer::Encode(std::string_view text) const {
  return Call(*this, text.size()).Run(text);
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> MakeNeoxTokenizer(std::string_view json, const std::string& source) {
  TERN_ASSIGN_OR_RETURN(NeoxVocab vocab, ParseNeoxVocab(json, source));
  return std::shared_ptr<const Tokenizer>(std::make_shared<NeoxTokenizer>(std::move(vocab)));
}

Result<std::shared_ptr<const Tokenizer>> LoadNeoxTokenizer(const std::string& path) {
  TERN_ASSIGN_OR_RETURN(const std::string content, ReadFileToString(path, kMaxTokenizerFileBytes));
  return MakeNeoxTokenizer(content, path);
}

}  // namespace tern
