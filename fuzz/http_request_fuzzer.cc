// Any bytes sent to the server must be read in one way only, or refused. The first byte chooses how far a
// sound request has come before them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../tests/serve/http_request_attack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string line = "POST /a%20b/c?d=e HTTP/1.1\r\n", host = "Host: localhost\r\n";
  const std::string beginnings[] = {"",
                                    "GET /",
                                    line + host,
                                    line + host + "Content-Length: ",
                                    line + host + "Content-Length: 9\r\n\r\n",
                                    line + host + "Transfer-Encoding: chunked\r\n\r\n",
                                    line + host + "Transfer-Encoding: chunked\r\n\r\n1\r\na"};
  std::string bytes = beginnings[data[0] % std::size(beginnings)];
  bytes.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string fault =
      tern::testing::AttackRequestParser(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!fault.empty()) {
    std::fprintf(stderr, "%s\n", fault.c_str());
    std::abort();
  }
  return 0;
}
