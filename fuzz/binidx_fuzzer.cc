// The index of a tokenised corpus; the first two bytes say how long its tokens' file is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/binidx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto bin_bytes = static_cast<uint64_t>(data[0]) | static_cast<uint64_t>(data[1]) << 8;
  const auto index = tern::ParseBinidxIndex(std::as_bytes(std::span(data + 2, size - 2)), bin_bytes, "fuzz");
  if (!index.ok()) {
    if (index.status().message().empty()) std::abort();
    return 0;
  }
  if (static_cast<uint64_t>(index->tokens * tern::BinidxTypeSize(index->type)) != bin_bytes) std::abort();
  int64_t before = -1;
  for (const int64_t document : index->documents) {
    if (document <= before || (document > 0 && document >= index->tokens)) std::abort();
    before = document;
  }
  return 0;
}
