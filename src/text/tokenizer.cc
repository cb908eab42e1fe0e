#include "text/tokenizer.h"

#include <fmt/format.h>

#include "base/file.h"
#include "text/json_vocab.h"
#include "text/neox_tokenizer.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (size_t byte = 0; byte < 256; ++byte) symbols_[byte] = static_cast<char>(byte);
  }

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> ids(text.size());
    for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<uint8_t>(text[i]);
    return ids;
  }
  std::string_view TokenBytes(int32_t id) const override {
    if (id < 0 || id >= 256) return {};
    return {symbols_ + id, 1};
  }
  int32_t vocab_size() const override { return 256; }
  std::string_view name() const override { return "bytes"; }
  int32_t end_of_document() const override { return -1; }

 private:
  char symbols_[256];
};

}  // namespace

std::string Tokenizer::Decode(const std::vector<int32_t>& ids) const {
  std::string text;
  for (const int32_t id : ids) text.append(TokenBytes(id));
  return text;
}

std::shared_ptr<const Tokenizer> MakeByteTokenizer() { return std::make_shared<ByteTokenizer>(); }

Result<std::shared_ptr<const Tokenizer>> LoadTokenizer(const std::string& path) {
  if (path == "bytes") return MakeByteTokenizer();
  TERN_ASSIGN_OR_RETURN(const std::string content, ReadFileToString(path, kMaxTokenizerFileBytes));
  constexpr std::string_view kNoContent = "\xEF\xBB\xBF \t\r\n";  // a byte order mark, white space
  const size_t first = content.find_first_not_of(kNoContent);
  if (first == std::string::npos) return Corrupt(fmt::format("'{}' is empty: not a tokenizer", path));
  if (content[first] == '{' && IsJsonVocab(content)) {
    TERN_ASSIGN_OR_RETURN(std::vector<std::string> tokens, ParseJsonVocab(content, path));
    auto tokenizer = MakeWorldTokenizer(std::move(tokens));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(fmt::format("'{}'", path));
    return tokenizer;
  }
  if (content[first] == '{') return MakeNeoxTokenizer(content, path);
  if (content[first] < '0' || content[first] > '9') {
    return Corrupt(fmt::format("'{}' is no tokenizer: neither JSON nor lines of `id literal length`", path));
  }
  return ParseWorldTokenizer(content, path);
}

}  // namespace tern
