#include "container_fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tern::FuzzReader(data, size, tern::OpenGguf);
  return 0;
}
