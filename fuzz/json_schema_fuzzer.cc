// Any bytes as a schema: refused or compiled, without a dead end, and what is written under it is JSON.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../tests/infer/grammar_attack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string contradiction = tern::AttackJsonSchema(data, size);
  if (!contradiction.empty()) {
    std::fprintf(stderr, "%s\n", contradiction.c_str());
    std::abort();
  }
  return 0;
}
