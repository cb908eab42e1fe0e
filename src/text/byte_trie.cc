#include "text/byte_trie.h"

#include <algorithm>

namespace tern {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::sort(entries.begin(), entries.end());
  // Breadth first: a node is a range of the sorted strings that agree in their first `depth` bytes.
  struct Range {
    size_t first, last, depth;
  };
  std::vector<Range> level{{0, entries.size(), 0}};
  nodes_.emplace_back();
  ids_.push_back(-1);
  size_t done = 0;
  while (!level.empty()) {
    std::vector<Range> next;
    for (Range range : level) {
      const size_t node = done++;
      if (range.first < range.last && entries[range.first].first.size() == range.depth) {
        ids_[node] = entries[range.first++].second;
      }
      nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
      while (range.first < range.last) {
        const auto byte = static_cast<uint8_t>(entries[range.first].first[range.depth]);
        size_t end = range.first;
        while (end < range.last && static_cast<uint8_t>(entries[end].first[range.depth]) == byte) ++end;
        nodes_[node].bits[byte >> 6] |= uint64_t{1} << (byte & 63);
        next.push_back({range.first, end, range.depth + 1});
        nodes_.emplace_back();
        ids_.push_back(-1);
        range.first = end;
      }
      for (int word = 1; word < 4; ++word) {
        nodes_[node].before[word] = static_cast<uint8_t>(nodes_[node].before[word - 1] +
                                                         __builtin_popcountll(nodes_[node].bits[word - 1]));
      }
    }
    level = std::move(next);
  }
}

}  // namespace tern
