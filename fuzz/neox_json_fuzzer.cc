// Any bytes as a tokenizer.json: refused, or read as a tokenizer whose ids are its own.
#include <cstdlib>

#include "text/neox_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = tern::MakeNeoxTokenizer(input, "fuzz");
  if (!tokenizer.ok()) return tokenizer.status().message().empty() ? std::abort(), 0 : 0;
  for (const int32_t id : (*tokenizer)->Encode(input.substr(0, 4096))) {
    if (id < 0 || id >= (*tokenizer)->vocab_size()) std::abort();
  }
  return 0;
}
