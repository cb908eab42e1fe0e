// Any bytes as a World vocabulary: refused, or read as a tokenizer that brings every text back.
#include <cstdlib>

#include "text/world_vocab.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = tern::ParseWorldTokenizer(input, "fuzz");
  if (!tokenizer.ok()) return tokenizer.status().message().empty() ? std::abort(), 0 : 0;
  const std::string text(input.substr(0, 4096));
  if ((*tokenizer)->Decode((*tokenizer)->Encode(text)) != text) std::abort();
  return 0;
}
