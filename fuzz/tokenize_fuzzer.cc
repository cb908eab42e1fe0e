// Any text through every tokenizer; the vocabularies are small and made here.
#include <cstdlib>

#include "../tests/text/small_vocabularies.h"
#include "text/neox_tokenizer.h"
#include "text/unicode.h"
#include "text/world_vocab.h"

namespace {

std::shared_ptr<const tern::Tokenizer> Neox(bool nfc) {
  nlohmann::json json = tern::testing::SmallNeoxVocab();
  if (!nfc) json["normalizer"] = nullptr;
  return *tern::MakeNeoxTokenizer(json.dump(), "fuzz");
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const tern::Utf8Char next = tern::DecodeUtf8(text, at);
    if (!next.valid) return false;
    at += next.length;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto world = *tern::ParseWorldTokenizer(tern::testing::SmallWorldVocab(), "fuzz");
  static const auto raw = Neox(false);
  static const auto nfc = Neox(true);
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (world->Decode(world->Encode(text)) != text) std::abort();
  if (raw->Decode(raw->Encode(text)) != text) std::abort();
  const std::string normalized = nfc->Decode(nfc->Encode(text));
  // Normalisation works between the tokens that are cut out first.
  if (!IsUtf8(text) || text.find("<|endoftext|>") != std::string::npos) return 0;
  std::string buffer;
  if (normalized != tern::NormalizeNfc(text, &buffer)) std::abort();
  return 0;
}
