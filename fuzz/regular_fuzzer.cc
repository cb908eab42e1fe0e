// Any bytes as a pattern: refused or compiled, and what is written under it matches.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../tests/infer/regular_attack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string contradiction = tern::AttackRegular(data, size);
  if (!contradiction.empty()) {
    std::fprintf(stderr, "%s\n", contradiction.c_str());
    std::abort();
  }
  return 0;
}
