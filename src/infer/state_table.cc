#include "infer/state_table.h"

#include <algorithm>
#include <chrono>

namespace tern {
namespace {

PrefixIndex::Place PlaceOf(const StateRecord& record) { return {record.tokens, record.hash}; }

}  // namespace

uint64_t BytesInMemory(const KeptState& state) {
  return state.state.data().size_bytes() + state.logits.size() * sizeof(float) +
         state.tokens.size() * sizeof(int32_t) + sizeof(KeptState);
}

StateEntry& StateTable::Insert(StateEntry entry) {
  last_used_ = std::max(last_used_, entry.record.used);
  const std::string id = entry.record.id;
  StateEntry& placed = entries_.emplace(id, std::move(entry)).first->second;
  index_.Add(placed.record.owner, PlaceOf(placed.record), id);
  named_ += placed.record.named;
  evictable_ += placed.record.named && placed.record.evictable;
  Count(placed);
  return placed;
}

void StateTable::Forget(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  StateEntry& entry = it->second;
  Uncount(entry);
  named_ -= entry.record.named;
  evictable_ -= entry.record.named && entry.record.evictable;
  index_.Remove(entry.record.owner, PlaceOf(entry.record), id);
  touched_.erase(id);
  entries_.erase(it);  // last: `id` may be the entry's own
}

bool StateTable::CanLeaveMemory(const StateEntry& entry) const {
  return entry.state != nullptr && !entry.queued && !(named_stay_ && entry.record.stays());
}

bool StateTable::CanLeaveDisk(const StateEntry& entry) {
  return entry.record.file_bytes > 0 && !entry.record.stays();
}

void StateTable::Count(StateEntry& entry) {
  if (CanLeaveMemory(entry)) in_memory_.emplace(entry.record.used, &entry);
  if (CanLeaveDisk(entry)) on_disk_.emplace(entry.record.used, &entry);
  disk_bytes_ += entry.record.file_bytes;
  if (entry.record.stays()) staying_disk_bytes_ += entry.record.file_bytes;
  if (entry.state == nullptr || entry.queued) return;
  Holders& holders = holders_[entry.state.get()];
  if (holders.all++ == 0) memory_bytes_ += BytesInMemory(*entry.state);
  if (entry.record.stays() && holders.staying++ == 0) staying_memory_bytes_ += BytesInMemory(*entry.state);
}

void StateTable::Uncount(StateEntry& entry) {
  if (CanLeaveMemory(entry)) in_memory_.erase(entry.record.used);
  if (CanLeaveDisk(entry)) on_disk_.erase(entry.record.used);
  disk_bytes_ -= entry.record.file_bytes;
  if (entry.record.stays()) staying_disk_bytes_ -= entry.record.file_bytes;
  if (entry.state == nullptr || entry.queued) return;
  const auto held = holders_.find(entry.state.get());
  if (entry.record.stays() && --held->second.staying == 0)
    staying_memory_bytes_ -= BytesInMemory(*entry.state);
  if (--held->second.all > 0) return;
  memory_bytes_ -= BytesInMemory(*entry.state);
  holders_.erase(held);
}

int64_t StateTable::Now() {
  using std::chrono::duration_cast, std::chrono::microseconds, std::chrono::system_clock;
  const int64_t now = duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  return last_used_ = std::max(now, last_used_ + 1);
}

void StateTable::Touch(StateEntry& entry) {
  Change(entry, [&](StateEntry& e) { e.record.used = Now(); });
  if (entry.record.file_bytes > 0) touched_.insert(entry.record.id);
}

StateEntry* StateTable::Find(const std::string& id) {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second;
}

StateEntry* StateTable::FindNamed(std::string_view owner, std::string_view id) {
  StateEntry* entry = Find(std::string(id));
  return entry == nullptr || !entry->record.named || entry->record.owner != owner ? nullptr : entry;
}

std::vector<StateEntry*> StateTable::At(std::string_view owner, const StateRecord& place) {
  std::vector<StateEntry*> found;
  for (const std::string& id : index_.At(owner, PlaceOf(place))) found.push_back(&entries_.at(id));
  return found;
}

StateEntry* StateTable::LongestBeginning(std::string_view owner, std::span<const int32_t> tokens,
                                         const std::unordered_set<std::string>& unfit) {
  for (const std::string& id : index_.Beginnings(owner, tokens)) {
    StateEntry& entry = entries_.at(id);
    if (entry.record.tokens == 0 || unfit.contains(id)) continue;
    const bool whole = static_cast<uint64_t>(entry.record.tokens) == tokens.size();
    if (!whole || entry.record.has_logits) return &entry;
  }
  return nullptr;
}

std::vector<const StateEntry*> StateTable::ListNamed(std::string_view owner) const {
  std::vector<const StateEntry*> named = ListNamed();
  std::erase_if(named, [&](const StateEntry* entry) { return entry->record.owner != owner; });
  return named;
}

std::vector<const StateEntry*> StateTable::ListNamed() const {
  std::vector<const StateEntry*> named;
  for (const auto& [id, entry] : entries_) {
    if (entry.record.named) named.push_back(&entry);
  }
  std::sort(named.begin(), named.end(), [](const StateEntry* a, const StateEntry* b) {
    return std::pair(a->record.created, a->record.id) < std::pair(b->record.created, b->record.id);
  });
  return named;
}

bool StateTable::HeldByStaying(const KeptState* state) const {
  const auto held = holders_.find(state);
  return held != holders_.end() && held->second.staying > 0;
}

std::vector<std::pair<std::string, int64_t>> StateTable::TakeUses() {
  std::vector<std::pair<std::string, int64_t>> uses;
  for (const std::string& id : touched_) uses.emplace_back(id, entries_.at(id).record.used);
  touched_.clear();
  return uses;
}

}  // namespace tern
