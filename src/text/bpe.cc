#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace tern {
namespace {

constexpr size_t kShortWord = 64;

void AppendShort(std::string_view word, const int32_t* byte_ids, const MergeTable& merges,
                 std::vector<int32_t>* ids) {
  int32_t symbols[kShortWord];
  MergeTable::Merge pairs[kShortWord];  // pairs[i]: symbols i and i + 1
  size_t count = word.size();
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids[static_cast<uint8_t>(word[i])];
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = merges.Find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNone) break;
    symbols[best] = pairs[best].id;
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    std::copy(pairs + best + 1, pairs + count - 1, pairs + best);
    --count;
    if (best > 0) pairs[best - 1] = merges.Find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) pairs[best] = merges.Find(symbols[best], symbols[best + 1]);
  }
  ids->insert(ids->end(), symbols, symbols + count);
}

/// A long word as a linked list of symbols and a heap of the pairs that may be joined. A pair in the heap is
/// its rank above its place, so that the smallest number is the next to join; one whose symbols have changed
/// since is passed over.
class LongWord {
 public:
  LongWord(std::string_view word, const int32_t* byte_ids, const MergeTable& merges)
      : merges_(merges), symbols_(word.size()) {
    const auto count = static_cast<uint32_t>(word.size());
    for (uint32_t i = 0; i < count; ++i) {
      symbols_[i] = {byte_ids[static_cast<uint8_t>(word[i])], i == 0 ? kEnd : i - 1,
                     i + 1 < count ? i + 1 : kEnd};
    }
    for (uint32_t i = 0; i + 1 < count; ++i) {
      const MergeTable::Merge merge = merges_.Find(symbols_[i].id, symbols_[i + 1].id);
      if (merge.rank != MergeTable::kNone) heap_.push_back(uint64_t{merge.rank} << 32 | i);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void Append(std::vector<int32_t>* ids) {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const uint64_t top = heap_.back();
      heap_.pop_back();
      Join(static_cast<uint32_t>(top), static_cast<uint32_t>(top >> 32));
    }
    for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) ids->push_back(symbols_[i].id);
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;
  struct Symbol {
    int32_t id;  ///< -1 when it has been joined to the one before
    uint32_t previous, next;
  };

  void Join(uint32_t at, uint32_t rank) {
    Symbol& left = symbols_[at];
    if (left.id < 0 || left.next == kEnd) return;
    Symbol& right = symbols_[left.next];
    const MergeTable::Merge merge = merges_.Find(left.id, right.id);
    if (merge.rank != rank) return;
    left.id = merge.id;
    left.next = right.next;
    right.id = -1;
    if (left.next != kEnd) {
      symbols_[left.next].previous = at;
      Push(at, left.next);
    }
    if (left.previous != kEnd) Push(left.previous, at);
  }
  void Push(uint32_t left, uint32_t right) {
    const MergeTable::Merge merge = merges_.Find(symbols_[left].id, symbols_[right].id);
    if (merge.rank == MergeTable::kNone) return;
    heap_.push_back(uint64_t{merge.rank} << 32 | left);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> heap_;
};

}  // namespace

MergeTable::MergeTable(size_t merges) : slots_(std::bit_ceil(2 * merges + 2)), mask_(slots_.size() - 1) {}

bool MergeTable::Add(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = Key(left, right);
  size_t i = Slot(key);
  while (slots_[i].key != kEmpty) {
    if (slots_[i].key == key) return false;
    i = (i + 1) & mask_;
  }
  slots_[i] = {key, merge};
  return true;
}

void AppendBpe(std::string_view word, const int32_t* byte_ids, const MergeTable& merges,
               std::vector<int32_t>* ids) {
  if (word.empty()) return;
  if (word.size() <= kShortWord) {
    AppendShort(word, byte_ids, merges, ids);
  } else {
    LongWord(word, byte_ids, merges).Append(ids);
  }
}

}  // namespace tern
