// From text to token ids and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tern {

/// A vocabulary with its way of cutting text. Immutable; safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of `text` (any bytes; UTF-8 is not required). Encodes everything: Decode(Encode(text)) == text, but
  /// for GPT-NeoX's NFC normalisation of its input.
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;
  /// The bytes of one token; empty for an id without text (0, gaps, out of range). Valid as long as the
  /// tokenizer.
  virtual std::string_view TokenBytes(int32_t id) const = 0;
  /// One more than the largest id.
  virtual int32_t vocab_size() const = 0;
  /// "world", "neox", "bytes": for reports, and for choosing a chat template.
  virtual std::string_view name() const = 0;
  /// The id that ends a document; -1 where there is none (raw bytes).
  virtual int32_t end_of_document() const { return 0; }

  std::string Decode(const std::vector<int32_t>& ids) const;
};

/// RWKV World: `path` is rwkv_vocab_v20230424.txt or any file in its format.
Result<std::shared_ptr<const Tokenizer>> LoadWorldTokenizer(const std::string& path);
/// World from byte strings by id (as a GGUF carries them); index 0 is the end of a document.
Result<std::shared_ptr<const Tokenizer>> MakeWorldTokenizer(std::vector<std::string> tokens);
/// A Hugging Face tokenizer.json of the GPT-NeoX kind (byte-level BPE, NFC, GPT-2's pre-tokeniser).
Result<std::shared_ptr<const Tokenizer>> LoadNeoxTokenizer(const std::string& path);
/// 256 symbols: a token is a byte.
std::shared_ptr<const Tokenizer> MakeByteTokenizer();

/// Tells the kinds apart by content: JSON → GPT-NeoX, `id literal length` lines → World; the word "bytes" as
/// path → the byte tokenizer.
Result<std::shared_ptr<const Tokenizer>> LoadTokenizer(const std::string& path);

/// Whether a vocabulary can be that of a model with `symbols` logits: each id has a logit, and the logits
/// beyond are few enough to be padding (an eighth of all and 256). World has 65,530 ids for 65,536 logits,
/// GPT-NeoX 50,277 for up to 50,432.
bool VocabularyFits(const Tokenizer& tokenizer, int64_t symbols);
/// InvalidArgument, naming both sizes, where it does not fit. `tokenizer_path` and `model_path` are for the
/// message.
Status CheckVocabulary(const Tokenizer& tokenizer, const std::string& tokenizer_path, int64_t symbols,
                       const std::string& model_path);

/// Looks for a model's tokenizer: 256 symbols are bytes; otherwise a known file name beside the model (or in
/// it, when it is a folder), then in $TERN_TOKENIZERS and in the working folder, that fits `vocab_size`. The
/// error says where it looked and names --tokenizer.
Result<std::shared_ptr<const Tokenizer>> FindTokenizer(const std::string& model_path, int64_t vocab_size);

/// Joins tokens' bytes into text that never ends in the middle of a UTF-8 character: what is incomplete waits
/// for the next token. Bytes that can never become a character come out as U+FFFD. Not thread-safe.
class Utf8Stream {
 public:
  /// Whole characters that are ready now.
  std::string Push(std::string_view bytes);
  /// What is left at the end, incomplete characters as U+FFFD.
  std::string Finish();
  /// Bytes that wait.
  size_t held() const { return pending_.size(); }

 private:
  std::string pending_;
};

}  // namespace tern
