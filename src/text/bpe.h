// Byte-pair encoding of one word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tern {

/// The pairs that may be joined, each with its rank (lower first) and the token it becomes. A flat hash
/// table: filled once, then read by any number of threads.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNone;
    int32_t id = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit MergeTable(size_t merges);
  /// At most `merges` pairs. False when the pair is there already.
  bool Add(int32_t left, int32_t right, Merge merge);
  /// rank kNone: no such pair.
  Merge Find(int32_t left, int32_t right) const {
    const uint64_t key = Key(left, right);
    for (size_t i = Slot(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;  // no pair of ids ≥ 0
  struct Entry {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t Slot(uint64_t key) const { return static_cast<size_t>(key * 0x9e3779b97f4a7c15u >> 32) & mask_; }
  std::vector<Entry> slots_;
  size_t mask_;
};

/// Appends the tokens of a word to `ids`: its bytes' tokens, of which again and again the pair of lowest
/// rank, among equals the leftmost, is joined. Short words by scanning, long ones with a heap (n log n).
/// `byte_ids` are the tokens of the 256 bytes. word.size() < 2^32.
void AppendBpe(std::string_view word, const int32_t* byte_ids, const MergeTable& merges,
               std::vector<int32_t>* ids);

}  // namespace tern
