#include "container_fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tern::FuzzReader(data, size, tern::OpenRwkvBin);
  return 0;
}
