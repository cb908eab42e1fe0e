// Any bytes in any pieces: what comes out is valid UTF-8 and does not depend on the pieces.
#include <cstdlib>

#include "text/tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  tern::Utf8Stream whole_stream;
  std::string whole = whole_stream.Push(bytes);
  whole += whole_stream.Finish();
  tern::Utf8Stream stream;
  std::string pieces;
  for (size_t at = 0; at < size;) {
    const size_t length = 1 + data[at] % 3;
    pieces += stream.Push(bytes.substr(at, length));
    at += length;
  }
  pieces += stream.Finish();
  if (pieces != whole) std::abort();
  for (size_t at = 0; at < whole.size();) {
    const tern::Utf8Char next = tern::DecodeUtf8(whole, at);
    if (!next.valid) std::abort();
    at += next.length;
  }
  return 0;
}
