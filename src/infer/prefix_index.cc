#include "infer/prefix_index.h"

#include <algorithm>

namespace tern {

void PrefixIndex::Add(const std::string& owner, Place place, const std::string& id) {
  OwnerPlaces& places = owners_[owner];
  ++places.lengths[place.tokens];
  places.ids.emplace(Key(place), id);
}

void PrefixIndex::Remove(const std::string& owner, Place place, const std::string& id) {
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return;
  OwnerPlaces& places = found->second;
  const auto [begin, end] = places.ids.equal_range(Key(place));
  const auto it = std::find_if(begin, end, [&](const auto& entry) { return entry.second == id; });
  if (it == end) return;
  places.ids.erase(it);
  const auto length = places.lengths.find(place.tokens);
  if (--length->second == 0) places.lengths.erase(length);
  if (places.ids.empty()) owners_.erase(found);
}

const PrefixIndex::OwnerPlaces* PrefixIndex::Find(std::string_view owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? nullptr : &found->second;
}

std::vector<std::string> PrefixIndex::At(std::string_view owner, Place place) const {
  std::vector<std::string> ids;
  const OwnerPlaces* places = Find(owner);
  if (places == nullptr) return ids;
  const auto [begin, end] = places->ids.equal_range(Key(place));
  for (auto it = begin; it != end; ++it) ids.push_back(it->second);
  return ids;
}

std::vector<std::string> PrefixIndex::Beginnings(std::string_view owner,
                                                 std::span<const int32_t> tokens) const {
  std::vector<std::string> ids;
  const OwnerPlaces* places = Find(owner);
  if (places == nullptr) return ids;
  PrefixHash hash;
  size_t read = 0;
  for (const auto& [length, count] : places->lengths) {
    if (static_cast<uint64_t>(length) > tokens.size()) break;
    while (read < static_cast<size_t>(length)) hash.Add(tokens[read++]);
    const auto [begin, end] = places->ids.equal_range(Key({length, hash.value()}));
    for (auto it = begin; it != end; ++it) ids.push_back(it->second);
  }
  std::reverse(ids.begin(), ids.end());
  return ids;
}

}  // namespace tern
