#include "formats/checkpoint_vocabulary.h"

#include <fmt/format.h>

#include "formats/checkpoint_names.h"

namespace tern {
namespace {

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUnused = 5 };

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 0;
}

}  // namespace

bool CarriesTokenizer(const Checkpoint& checkpoint) {
  const std::string kind = MetaString(checkpoint.source().metadata(), "tokenizer.ggml.model").value_or("none");
  return checkpoint.source().format() == FileFormat::kGguf && kind != "none" && kind != "no_vocab";
}

std::string EscapeToken(std::string_view bytes) {
  std::string escaped;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '\t':
        escaped += "\\t";
        break;
      case '\n':
        escaped += "\\n";
        break;
      case '\r':
        escaped += "\\r";
        break;
      case '\\':
        escaped += "\\\\";
        break;
      default:
        if (byte >= 0x20 && byte < 0x7f) {
          escaped += c;
        } else {
          escaped += fmt::format("\\x{:02x}", byte);
        }
    }
  }
  return escaped;
}

std::string UnescapeToken(std::string_view escaped) {
  std::string bytes;
  for (size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\\') {
      bytes += escaped[i];
      continue;
    }
    if (++i == escaped.size()) break;
    switch (escaped[i]) {
      case 't':
        bytes += '\t';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 'r':
        bytes += '\r';
        break;
      case 'x':
        if (i + 2 < escaped.size()) {
          bytes += static_cast<char>(HexDigit(escaped[i + 1]) * 16 + HexDigit(escaped[i + 2]));
        }
        i += 2;
        break;
      default:
        bytes += escaped[i];
    }
  }
  return bytes;
}

std::vector<std::string> VocabularyFromGguf(const Metadata& metadata) {
  const auto model = metadata.find("tokenizer.ggml.model");
  const auto tokens = metadata.find("tokenizer.ggml.tokens");
  if (model == metadata.end() || tokens == metadata.end()) return {};
  const auto* name = std::get_if<std::string>(&model->second);
  const auto* escaped = std::get_if<std::vector<std::string>>(&tokens->second);
  if (name == nullptr || *name != "rwkv" || escaped == nullptr) return {};

  const std::vector<int64_t>* types = nullptr;
  const auto found = metadata.find("tokenizer.ggml.token_type");
  if (found != metadata.end()) types = std::get_if<std::vector<int64_t>>(&found->second);
  if (types != nullptr && types->size() != escaped->size()) types = nullptr;

  std::vector<std::string> vocabulary(escaped->size());
  for (size_t id = 0; id < escaped->size(); ++id) {
    if (types != nullptr && ((*types)[id] == kControl || (*types)[id] == kUnused)) continue;
    vocabulary[id] = UnescapeToken((*escaped)[id]);
  }
  return vocabulary;
}

Status AddVocabularyToGguf(const std::vector<std::string>& vocabulary, uint64_t size,
                           const std::string& architecture, Metadata* metadata) {
  Metadata& keys = *metadata;
  if (vocabulary.empty()) {
    keys["tokenizer.ggml.model"] = std::string("none");
    keys[architecture + ".vocab_size"] = size;
    return OkStatus();
  }
  if (vocabulary.size() > size) {
    return InvalidArgument(fmt::format("the vocabulary has {} tokens, but emb.weight has rows for {} only",
                                       vocabulary.size(), size));
  }
  std::vector<std::string> tokens(size);
  std::vector<int64_t> types(size, kNormal);
  for (uint64_t id = 0; id < size; ++id) {
    if (id < vocabulary.size() && !vocabulary[id].empty()) {
      tokens[id] = EscapeToken(vocabulary[id]);
    } else if (id == 0) {
      tokens[id] = "<s>";
      types[id] = kControl;
    } else {
      tokens[id] = fmt::format("[PAD{}]", id);
      types[id] = kUnused;
    }
  }
  keys["tokenizer.ggml.model"] = std::string("rwkv");
  keys["tokenizer.ggml.tokens"] = std::move(tokens);
  keys["tokenizer.ggml.token_type"] = std::move(types);
  keys["tokenizer.ggml.eos_token_id"] = uint64_t{0};
  // "\n\n" ends a turn of the World models' chat format.
  constexpr size_t kBlankLine = 261;
  if (vocabulary.size() > kBlankLine && vocabulary[kBlankLine] == "\n\n") {
    keys["tokenizer.ggml.eot_token_id"] = uint64_t{kBlankLine};
    keys["tokenizer.chat_template"] = std::string("rwkv-world");
  }
  return OkStatus();
}

}  // namespace tern
