// Any stop strings on any pieces of text must agree with a search through the whole text.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../tests/infer/stop_strings_attack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string contradiction = tern::AttackStopStrings(data, size);
  if (!contradiction.empty()) {
    std::fprintf(stderr, "%s\n", contradiction.c_str());
    std::abort();
  }
  return 0;
}
