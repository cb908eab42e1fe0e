// Any bytes as web-rwkv's vocabulary: refused, or read as tokens by id.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "text/json_vocab.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)tern::IsJsonVocab(input);
  const auto tokens = tern::ParseJsonVocab(input, "fuzz");
  if (!tokens.ok() && tokens.status().message().empty()) std::abort();
  return 0;
}
