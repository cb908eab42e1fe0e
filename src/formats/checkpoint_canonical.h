// The tensors that each RWKV generation has, under their canonical names and in canonical order: the table
// that every naming family is written against.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensor/shape.h"

namespace tern {

/// What a tensor is for: decides its canonical shape and what formats do with it.
enum class Part : uint8_t {
  kEmbedding,     ///< [V, C]
  kHead,          ///< [V, C]
  kMatrix,        ///< [out, in]
  kLowRankIn,     ///< [C, rank]
  kLowRankOut,    ///< [rank, C]
  kLowRankStack,  ///< [5, rank, C]: time_maa_w2
  kVector,        ///< [C]
  kPerHead,       ///< [H] or [H, N]
  kState,         ///< [H, N, N]: a tuned initial state
};

inline constexpr bool IsLowRank(Part part) {
  return part == Part::kLowRankIn || part == Part::kLowRankOut || part == Part::kLowRankStack;
}

struct CanonicalEntry {
  std::string_view pattern;  ///< "blocks.*.att.time_decay": the asterisk stands for the layer's number
  Part part;
  bool padded = false;  ///< a .pth stores the vector as [1, 1, C]
};

/// Every tensor of a major generation (4, 5, 6, 7), in the order of BlinkDL's .pth files.
std::span<const CanonicalEntry> CanonicalEntries(int major);
/// The entry of that pattern; nullptr when the generation has none.
const CanonicalEntry* FindCanonical(int major, std::string_view pattern);

/// A tensor's name with its layer's number taken out. Numbers beyond 999,999 and those with leading zeros are
/// no layer numbers: such a name stays as it is and matches nothing.
struct LayeredName {
  std::string pattern;
  int64_t layer = -1;  ///< −1: the name has no number
};
/// "blk.3.time_mix_w1.weight" → {"blk.*.time_mix_w1.weight", 3}. The first all-digit component is the layer.
LayeredName SplitLayer(std::string_view name);
/// The inverse; a pattern without an asterisk is returned unchanged.
std::string WithLayer(std::string_view pattern, int64_t layer);

}  // namespace tern
