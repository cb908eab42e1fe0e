// What a state cache knows of its places: found by owner and tokens, ordered by use, counted by bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "infer/prefix_index.h"
#include "infer/state_cache.h"
#include "infer/state_database.h"

namespace tern {

/// One kept place.
struct StateEntry {
  StateRecord record;
  std::shared_ptr<const KeptState> state = nullptr;  ///< null: on disk only
  bool writing = false;                              ///< a thread writes it at this moment
  bool queued = false;    ///< on its way out of memory: not counted there, and gone when it is written
  int64_t queued_at = 0;  ///< record.used then
};

/// The bytes of a place in memory.
uint64_t BytesInMemory(const KeptState& state);

/// Not thread-safe. Entries stay where they are until they are forgotten.
class StateTable {
 public:
  /// `named_stay`: named states that are not evictable may not leave memory (there is no folder for them).
  explicit StateTable(bool named_stay) : named_stay_(named_stay) {}

  StateEntry& Insert(StateEntry entry);
  void Forget(const std::string& id);
  /// Whatever changes an entry's `record.file_bytes`, `record.used`, `state` or `queued` does it through
  /// this.
  template <typename Modify>
  void Change(StateEntry& entry, Modify modify) {
    Uncount(entry);
    modify(entry);
    Count(entry);
  }
  /// Marks it as the one used last.
  void Touch(StateEntry& entry);
  /// Microseconds since 1970, but never the same twice: the order of use.
  int64_t Now();

  /// Null: no such entry.
  StateEntry* Find(const std::string& id);
  StateEntry* FindNamed(std::string_view owner, std::string_view id);
  /// Entries of the owner that may be at these tokens (the hash says so).
  std::vector<StateEntry*> At(std::string_view owner, const StateRecord& place);
  /// The longest that may be a beginning of `tokens` (the hash says so); one of all of them counts only with
  /// logits. `unfit`: ids to pass over. Null: none.
  StateEntry* LongestBeginning(std::string_view owner, std::span<const int32_t> tokens,
                               const std::unordered_set<std::string>& unfit);
  /// In the order of creation.
  std::vector<const StateEntry*> ListNamed(std::string_view owner) const;
  std::vector<const StateEntry*> ListNamed() const;  ///< of all owners

  /// Those that may leave memory, or the disk, by their last use.
  using Order = std::map<int64_t, StateEntry*>;
  const Order& in_memory() const { return in_memory_; }
  const Order& on_disk() const { return on_disk_; }

  /// States that several entries share (forks) count once.
  uint64_t memory_bytes() const { return memory_bytes_; }
  /// Of named states that are not evictable.
  uint64_t staying_memory_bytes() const { return staying_memory_bytes_; }
  /// Whether a named entry that is not evictable holds this state in memory.
  bool HeldByStaying(const KeptState* state) const;
  uint64_t disk_bytes() const { return disk_bytes_; }
  uint64_t staying_disk_bytes() const { return staying_disk_bytes_; }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t named() const { return named_; }
  int64_t evictable() const { return evictable_; }

  /// Ids of states on disk with their last use, of those used since the last call.
  std::vector<std::pair<std::string, int64_t>> TakeUses();

 private:
  struct Holders {
    int64_t all = 0, staying = 0;
  };
  void Count(StateEntry& entry);
  void Uncount(StateEntry& entry);
  bool CanLeaveMemory(const StateEntry& entry) const;
  static bool CanLeaveDisk(const StateEntry& entry);

  const bool named_stay_;
  std::unordered_map<std::string, StateEntry> entries_;
  PrefixIndex index_;
  Order in_memory_, on_disk_;
  std::unordered_map<const KeptState*, Holders> holders_;
  uint64_t memory_bytes_ = 0, staying_memory_bytes_ = 0, disk_bytes_ = 0, staying_disk_bytes_ = 0;
  int64_t named_ = 0, evictable_ = 0;
  int64_t last_used_ = 0;
  std::unordered_set<std::string> touched_;
};

}  // namespace tern
