#include "cli/embedded_tokenizer.h"

#include <fmt/format.h>

#include "formats/checkpoint_names.h"
#include "formats/checkpoint_vocabulary.h"
#include "text/gguf_bpe.h"

namespace tern {
namespace {

/// The list under a key; empty where it is missing or of another type.
template <typename T>
std::vector<T> ListOf(const Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  const auto* list = found == metadata.end() ? nullptr : std::get_if<std::vector<T>>(&found->second);
  return list == nullptr ? std::vector<T>() : *list;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> EmbeddedTokenizer(const TensorSource& source) {
  if (source.format() != FileFormat::kGguf) return std::shared_ptr<const Tokenizer>();
  const Metadata& metadata = source.metadata();
  const std::string kind = MetaString(metadata, "tokenizer.ggml.model").value_or("none");
  if (kind == "none" || kind == "no_vocab") return std::shared_ptr<const Tokenizer>();
  if (kind == "rwkv") {
    auto tokenizer = MakeWorldTokenizer(VocabularyFromGguf(metadata));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(fmt::format("'{}'", source.path()));
    return tokenizer;
  }
  if (kind != "gpt2") {
    return Unsupported(fmt::format("'{}' carries a tokenizer of kind '{}', which Tern does not have (it has rwkv and gpt2): "
                                   "name the model's vocabulary with --tokenizer",
                                   source.path(), kind));
  }
  return MakeGgufBpeTokenizer(
      {ListOf<std::string>(metadata, "tokenizer.ggml.tokens"), ListOf<int64_t>(metadata, "tokenizer.ggml.token_type"),
       ListOf<std::string>(metadata, "tokenizer.ggml.merges"), MetaString(metadata, "tokenizer.ggml.pre").value_or("")},
      source.path());
}

}  // namespace tern
