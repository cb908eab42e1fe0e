// Which beginnings of texts are kept, by owner.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"

namespace tern {

/// A hash of tokens that grows with them: the hash of every beginning is met on the way to the end. Part of
/// the folder's format (docs/states.md), so it never changes.
class PrefixHash {
 public:
  void Add(int32_t token) { value_ = Mix64((value_ ^ static_cast<uint32_t>(token)) + kGoldenStep); }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

inline uint64_t HashTokens(std::span<const int32_t> tokens) {
  PrefixHash hash;
  for (int32_t token : tokens) hash.Add(token);
  return hash.value();
}

/// Finds kept beginnings of a text in one walk over it: instead of a tree's nodes, the lengths at which
/// something is kept and the hashes of the tokens up to there, so that places need not have their tokens in
/// memory. A hash is only a hint: whoever asks compares the tokens. Not thread-safe.
class PrefixIndex {
 public:
  struct Place {
    int64_t tokens = 0;
    uint64_t hash = 0;  ///< HashTokens of them
  };

  void Add(const std::string& owner, Place place, const std::string& id);
  void Remove(const std::string& owner, Place place, const std::string& id);

  /// Places of the owner at just these tokens.
  std::vector<std::string> At(std::string_view owner, Place place) const;
  /// Places of the owner at beginnings of `tokens` (all of them included), the longest first.
  std::vector<std::string> Beginnings(std::string_view owner, std::span<const int32_t> tokens) const;

 private:
  struct OwnerPlaces {
    std::map<int64_t, int64_t> lengths;  ///< how many places there are of each
    std::unordered_multimap<uint64_t, std::string> ids;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  static uint64_t Key(Place place) { return Mix64(place.hash + static_cast<uint64_t>(place.tokens)); }
  const OwnerPlaces* Find(std::string_view owner) const;

  std::unordered_map<std::string, OwnerPlaces, TextHash, std::equal_to<>> owners_;
};

}  // namespace tern
