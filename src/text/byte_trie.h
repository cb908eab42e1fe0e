// A set of byte strings with numbers, searched for the longest that a text begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tern {

/// Immutable once built; safe to share between threads. A node is 40 bytes whatever it holds (a bitmap of the
/// bytes that continue it; its children lie side by side, found by counting bits), so the whole is bounded by
/// the strings' length.
class ByteTrie {
 public:
  struct Match {
    int32_t id = -1;  ///< -1: no string of the set begins here
    size_t length = 0;
  };

  ByteTrie() : ByteTrie(std::vector<std::pair<std::string_view, int32_t>>{}) {}
  /// The strings must be distinct and not empty, the ids ≥ 0. The strings are not kept.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  Match Longest(std::string_view text) const {
    Match best;
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const Node& here = nodes_[node];
      const auto byte = static_cast<uint8_t>(text[i]);
      const uint64_t word = here.bits[byte >> 6];
      const uint64_t bit = uint64_t{1} << (byte & 63);
      if ((word & bit) == 0) break;
      node = here.first_child + here.before[byte >> 6] +
             static_cast<uint32_t>(__builtin_popcountll(word & (bit - 1)));
      if (ids_[node] >= 0) best = {ids_[node], i + 1};
    }
    return best;
  }

 private:
  struct Node {
    uint64_t bits[4] = {};     ///< the bytes that lead on
    uint32_t first_child = 0;  ///< index of the child of the lowest of them
    uint8_t before[4] = {};    ///< how many bits are set in the words before this one (at most 192)
  };
  std::vector<Node> nodes_;
  std::vector<int32_t> ids_;  ///< by node; -1 inside a string
};

}  // namespace tern
