// Any bytes sent to the server must be read in one way only, or refused.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../tests/serve/http_request_attack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string fault = tern::testing::AttackRequestParser(data, size);
  if (!fault.empty()) {
    std::fprintf(stderr, "%s\n", fault.c_str());
    std::abort();
  }
  return 0;
}
