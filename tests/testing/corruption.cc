#include "tests/testing/corruption.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"

namespace tern::testing {

void AttackByTruncation(const std::vector<std::byte>& good, const Parse& parse) {
  for (size_t i = 0; i < 64; ++i) {
    parse(std::vector<std::byte>(good.begin(), good.begin() + static_cast<ptrdiff_t>(good.size() * i / 64)));
  }
}

void AttackByFlips(const std::vector<std::byte>& good, size_t header, int rounds, uint64_t seed, const Parse& parse) {
  Random random(seed);
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::byte> bad = good;
    const size_t range = random.Below(2) ? std::min(header, good.size()) : good.size();
    const uint64_t flips = 1 + random.Below(8);
    for (uint64_t i = 0; i < flips; ++i) bad[random.Below(range)] ^= static_cast<std::byte>(1 + random.Below(255));
    parse(bad);
  }
}

void AttackByHugeNumbers(const std::vector<std::byte>& good, size_t header, size_t step, const Parse& parse) {
  const uint64_t numbers[] = {uint64_t{1} << 60, uint64_t{1} << 63, ~uint64_t{0}, uint64_t{1} << 31, 0};
  for (size_t width : {size_t{4}, size_t{8}}) {
    for (size_t at = 0; at + width <= std::min(header, good.size()); at += step) {
      for (uint64_t number : numbers) {
        std::vector<std::byte> bad = good;
        std::memcpy(bad.data() + at, &number, width);
        parse(bad);
      }
    }
  }
}

}  // namespace tern::testing
