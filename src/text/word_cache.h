// Remembers the tokens of words within one call of Encode.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace tern {

/// Most words of a text have been seen before. The cache belongs to one call and so needs no lock; it holds
/// at most kMaxWords words and forgets them all when it is full. Words are not copied: their bytes must
/// outlive it.
class WordCache {
 public:
  static constexpr size_t kMaxLength = 64;

  /// `text_size`: of the text to come, so that a short one does not pay for a large table.
  explicit WordCache(size_t text_size) : slots_(text_size < 4096 ? 512 : 4096) {}

  /// Appends the tokens of `word` (1 to kMaxLength bytes) to `ids` when they are known.
  bool Append(std::string_view word, std::vector<int32_t>* ids) const {
    const uint32_t tag = Hash(word);
    for (size_t i = tag & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[i];
      if (slot.word == nullptr) return false;
      if (slot.tag != tag || slot.length != word.size() ||
          std::memcmp(slot.word, word.data(), word.size()) != 0)
        continue;
      if (slot.count == 1) {
        ids->push_back(slot.first);
      } else {
        ids->insert(ids->end(), ids_.begin() + slot.first, ids_.begin() + slot.first + slot.count);
      }
      return true;
    }
  }

  void Insert(std::string_view word, const int32_t* ids, size_t count) {
    if (used_ * 2 >= slots_.size()) Grow();
    Slot slot{word.data(), Hash(word), ids[0], static_cast<uint16_t>(word.size()),
              static_cast<uint16_t>(count)};
    if (count > 1) {
      slot.first = static_cast<int32_t>(ids_.size());
      ids_.insert(ids_.end(), ids, ids + count);
    }
    Place(slot);
  }

 private:
  static constexpr size_t kMaxSlots = size_t{1} << 17;
  struct Slot {
    const char* word = nullptr;
    uint32_t tag = 0;
    int32_t first = 0;  ///< the token when there is one, else where the tokens begin in ids_
    uint16_t length = 0;
    uint16_t count = 0;
  };

  static uint64_t Load(const char* p, size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, p, bytes);
    return value;
  }
  static uint64_t Mix(uint64_t h) {
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
  }
  static uint32_t Hash(std::string_view word) {
    const char* p = word.data();
    size_t left = word.size();
    uint64_t h = left;
    for (; left > 8; left -= 8, p += 8) h = Mix(h ^ Load(p, 8));
    // The rest, 1 to 8 bytes, by two loads of a fixed size that may overlap.
    uint64_t rest;
    if (left >= 4) {
      rest = Load(p, 4) | Load(p + left - 4, 4) << 32;
    } else {
      rest = static_cast<uint8_t>(p[0]) | uint64_t{static_cast<uint8_t>(p[left / 2])} << 8 |
             uint64_t{static_cast<uint8_t>(p[left - 1])} << 16;
    }
    return static_cast<uint32_t>(Mix(h ^ rest));
  }

  void Place(const Slot& slot) {
    size_t i = slot.tag & (slots_.size() - 1);
    while (slots_[i].word != nullptr) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
    ++used_;
  }

  void Grow() {
    used_ = 0;
    if (slots_.size() == kMaxSlots) {
      slots_.assign(kMaxSlots, Slot());
      ids_.clear();
      return;
    }
    std::vector<Slot> old(slots_.size() * 4 > kMaxSlots ? kMaxSlots : slots_.size() * 4);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.word != nullptr) Place(slot);
    }
  }

  std::vector<Slot> slots_;  ///< a power of two, at most half full
  size_t used_ = 0;
  std::vector<int32_t> ids_;
};

}  // namespace tern
