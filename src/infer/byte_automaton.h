// Deterministic automata over bytes: languages as they are written in a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tern {

/// State 0 is the start. Every state leads to one that accepts.
struct ByteAutomaton {
  struct Edge {
    uint8_t low, high;  ///< a byte from low to high leads to `target`
    uint32_t target;
    auto operator<=>(const Edge&) const = default;
  };
  std::vector<uint32_t> begin = {0};  ///< by state, and one more: where its edges begin
  std::vector<Edge> edges;            ///< of a state ascending and apart
  std::vector<bool> accepts;          ///< by state

  /// Where `count` is above 0, parts of the text are counted beside the state. An edge that leads to a state
  /// with a `last` other than kNone ends a part, unless it is the start's; the part that is the count-th leads
  /// to that `last` instead. From there on nothing is counted.
  uint32_t count = 0;
  std::vector<uint32_t> last = {};  ///< by state
  static constexpr uint32_t kNone = UINT32_MAX;

  size_t states() const { return accepts.size(); }
  std::span<const Edge> EdgesOf(uint32_t state) const {
    return {edges.data() + begin[state], begin[state + 1] - begin[state]};
  }
};

}  // namespace tern
