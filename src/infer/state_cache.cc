#include "infer/state_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "infer/prefix_index.h"
#include "infer/state_store.h"
#include "infer/state_table.h"

namespace tern {
namespace {

/// States that wait to be written when memory had no room for them; what comes on top is forgotten, so that
/// a slow disk holds up nobody.
constexpr size_t kQueue = 8;
/// What a file has beside its numbers and texts, generously: reserved before it is written.
constexpr uint64_t kFileOverhead = 2048;

using StatePtr = std::shared_ptr<const KeptState>;

class Cache final : public StateCache {
 public:
  Cache(const StateCacheOptions& options, const ModelConfig& config, std::unique_ptr<StateStore> store)
      : options_(options),
        layout_(config),
        vocab_(config.vocab),
        store_(std::move(store)),
        table_(/*named_stay=*/store_ == nullptr) {
    if (store_ == nullptr) return;
    int64_t used = 0;
    for (StateRecord& record : store_->TakeRecords()) {
      used = record.used = std::max(record.used, used + 1);
      table_.Insert({.record = std::move(record)});
    }
    // The budget may have become smaller.
    while (disk_bytes() > options_.disk_bytes && !table_.on_disk().empty()) {
      LeaveDisk(*table_.on_disk().begin()->second, &doomed_);
    }
    writer_ = std::thread([this] { WriteQueued(); });
  }

  ~Cache() override {
    if (store_ == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    writer_.join();
  }

  StatePtr Find(std::string_view owner, std::span<const int32_t> tokens) override;
  void Keep(std::string_view owner, StatePtr state) override;
  Result<StateInfo> Save(std::string_view owner, StatePtr state, std::string parent,
                         std::string note) override;
  Result<StateInfo> SaveEvictable(std::string_view owner, StatePtr state, std::string parent,
                                  std::string note) override;
  Result<StateInfo> Replace(std::string_view owner, std::string_view id, StatePtr state, std::string parent,
                            std::string note) override;
  std::vector<StateInfo> List(std::string_view owner) override;
  std::vector<StateInfo> ListAll() override;
  Result<StateInfo> Info(std::string_view owner, std::string_view id) override;
  Result<StatePtr> Fetch(std::string_view owner, std::string_view id) override;
  Status Delete(std::string_view owner, std::string_view id) override;
  Status Flush() override;
  void GiveUpMemory() override;
  StateCacheStats stats() const override;

 private:
  using Lock = std::unique_lock<std::mutex>;

  static Status Unknown(std::string_view id) { return NotFound(fmt::format("there is no state '{}'", id)); }
  Status CheckFits(const KeptState& state) const;
  static StateRecord NewRecord(std::string_view owner, const KeptState& state);
  static StateRecord NamedRecord(std::string_view owner, const KeptState* state, std::string parent,
                                 std::string note);
  StateInfo Describe(const StateEntry& entry) const;

  // These take the mutex.
  Result<StateInfo> SaveFor(std::string_view old, StatePtr state, StateRecord record);
  Result<StateInfo> TrySaveFor(std::string_view old, StatePtr state, StateRecord record);
  Result<uint64_t> WriteNamed(StateRecord& record, const KeptState& state, std::string_view old);
  bool ForgetOldestOnDisk(uint64_t bytes);
  Result<bool> WriteOut(const std::string& id);
  void WriteQueued();
  Status SaveUses();

  // These are called with the mutex held.
  Result<StatePtr> Load(Lock& lock, StateEntry& entry);
  void LoseDamaged(Lock& lock, const StateRecord& record, const Status& why);
  void ForgetUnnamed(StateEntry& entry);
  Status CheckRoomInMemory(const StatePtr& state) const;
  Status CheckRoomInMemory(const StatePtr& state, StateEntry* old);
  void MakeRoomInMemory();
  void LeaveMemory(StateEntry& entry);
  bool MakeRoomOnDisk(uint64_t bytes, int64_t before, std::vector<std::string>* doomed);
  void LeaveDisk(StateEntry& entry, std::vector<std::string>* doomed);
  void Finish(const std::string& id, const Result<uint64_t>& written);
  uint64_t disk_bytes() const { return table_.disk_bytes() + reserved_bytes_; }

  const StateCacheOptions options_;
  const StateLayout layout_;
  const int64_t vocab_;
  const std::unique_ptr<StateStore> store_;  ///< null: memory only

  std::mutex deleting_;  ///< held by Delete and Replace, so that what makes room is not deleted meanwhile
  mutable std::mutex mutex_;  ///< never held while waiting for the disk
  StateTable table_;
  StateCacheStats stats_;
  uint64_t reserved_bytes_ = 0;      ///< of the disk, for what is being written
  std::deque<std::string> queue_;    ///< to be written
  std::vector<std::string> doomed_;  ///< files to be removed
  bool stopping_ = false, writer_busy_ = false, warned_ = false;
  std::condition_variable wake_, idle_;
  std::thread writer_;
};

// --- places
// --------------------------------------------------------------------------------------------------

Status Cache::CheckFits(const KeptState& state) const {
  if (!(state.state.layout() == layout_)) return InvalidArgument("the state is of another model");
  if (state.logits.empty() || static_cast<int64_t>(state.logits.size()) == vocab_) return OkStatus();
  return InvalidArgument(fmt::format("the state has {} logits; expected {}", state.logits.size(), vocab_));
}

StateRecord Cache::NewRecord(std::string_view owner, const KeptState& state) {
  return {.id = NewStateId(),
          .owner = std::string(owner),
          .tokens = static_cast<int64_t>(state.tokens.size()),
          .hash = HashTokens(state.tokens),
          .has_logits = !state.logits.empty()};
}

StateInfo Cache::Describe(const StateEntry& entry) const {
  const StateRecord& record = entry.record;
  const int64_t numbers = layout_.Floats() + record.tokens + (record.has_logits ? vocab_ : 0);
  return {.id = record.id,
          .owner = record.owner,
          .parent = record.parent,
          .note = record.note,
          .tokens = record.tokens,
          .bytes = static_cast<uint64_t>(numbers) * sizeof(float),
          .created = record.created / 1000000,
          .used = record.used / 1000000,
          .in_memory = entry.state != nullptr,
          .evictable = record.evictable};
}

StatePtr Cache::Find(std::string_view owner, std::span<const int32_t> tokens) {
  Lock lock(mutex_);
  std::unordered_set<std::string> unfit;
  while (StateEntry* entry = table_.LongestBeginning(owner, tokens, unfit)) {
    const std::string id = entry->record.id;
    auto loaded = Load(lock, *entry);
    if (loaded.ok() && std::equal((*loaded)->tokens.begin(), (*loaded)->tokens.end(), tokens.begin())) {
      ++stats_.hits;
      return *loaded;
    }
    unfit.insert(id);
  }
  ++stats_.misses;
  return nullptr;
}

void Cache::Keep(std::string_view owner, StatePtr state) {
  if (state == nullptr || state->tokens.empty() || !CheckFits(*state).ok()) return;
  StateRecord record = NewRecord(owner, *state);
  const Lock lock(mutex_);
  for (StateEntry* same : table_.At(owner, record)) {
    if (same->state != nullptr && same->state->tokens != state->tokens) continue;
    if (same->record.has_logits || !record.has_logits) return table_.Touch(*same);
    if (!same->record.named) ForgetUnnamed(*same);
  }
  record.created = record.used = table_.Now();
  table_.Insert({.record = std::move(record), .state = std::move(state)});
  MakeRoomInMemory();
}

Result<StateInfo> Cache::Save(std::string_view owner, StatePtr state, std::string parent, std::string note) {
  StateRecord record = NamedRecord(owner, state.get(), std::move(parent), std::move(note));
  return SaveFor(/*old=*/"", std::move(state), std::move(record));
}

Result<StateInfo> Cache::SaveEvictable(std::string_view owner, StatePtr state, std::string parent,
                                       std::string note) {
  StateRecord record = NamedRecord(owner, state.get(), std::move(parent), std::move(note));
  record.evictable = true;
  return SaveFor(/*old=*/"", std::move(state), std::move(record));
}

Result<StateInfo> Cache::Replace(std::string_view owner, std::string_view id, StatePtr state,
                                 std::string parent, std::string note) {
  const std::lock_guard deleting(deleting_);
  std::vector<std::string> old;
  {
    const Lock lock(mutex_);
    if (table_.FindNamed(owner, id) != nullptr) old.emplace_back(id);  // never another owner's
  }
  StateRecord record = NamedRecord(owner, state.get(), std::move(parent), std::move(note));
  TERN_ASSIGN_OR_RETURN(StateInfo info,
                        SaveFor(old.empty() ? "" : old.front(), std::move(state), std::move(record)));
  // The new one is on disk by now. What cannot be removed is found again at the next start.
  const Status removed = store_ == nullptr ? OkStatus() : store_->Remove(old);
  if (!removed.ok()) LogWarning("{}", removed.message());
  return info;
}

StateRecord Cache::NamedRecord(std::string_view owner, const KeptState* state, std::string parent,
                               std::string note) {
  if (state == nullptr) return {};  // Save refuses it
  StateRecord record = NewRecord(owner, *state);
  record.named = true;
  record.parent = std::move(parent);
  record.note = std::move(note);
  return record;
}

/// `old`: the id of the named state that leaves, or of none.
Result<StateInfo> Cache::SaveFor(std::string_view old, StatePtr state, StateRecord record) {
  auto saved = TrySaveFor(old, std::move(state), std::move(record));
  if (!saved.ok()) {
    const Lock lock(mutex_);
    ++stats_.not_kept;
  }
  return saved;
}

Result<StateInfo> Cache::TrySaveFor(std::string_view old, StatePtr state, StateRecord record) {
  if (state == nullptr) return InvalidArgument("there is no state to save");
  TERN_RETURN_IF_ERROR(CheckFits(*state));
  uint64_t reserved = 0;
  if (store_ != nullptr) {
    TERN_ASSIGN_OR_RETURN(reserved, WriteNamed(record, *state, old));
  }
  const Lock lock(mutex_);
  reserved_bytes_ -= reserved;
  if (store_ == nullptr) {
    TERN_RETURN_IF_ERROR(CheckRoomInMemory(state, table_.FindNamed(record.owner, old)));
    record.created = record.used = table_.Now();
  }
  if (table_.FindNamed(record.owner, old) != nullptr) table_.Forget(std::string(old));
  // A place need not be kept twice: the unnamed one gives way.
  for (StateEntry* same : table_.At(record.owner, record)) {
    if (!same->record.named && same->record.has_logits <= record.has_logits) ForgetUnnamed(*same);
  }
  const StateEntry& entry = table_.Insert({.record = std::move(record), .state = std::move(state)});
  const StateInfo info = Describe(entry);
  MakeRoomInMemory();
  return info;
}

std::vector<StateInfo> Cache::List(std::string_view owner) {
  const Lock lock(mutex_);
  std::vector<StateInfo> infos;
  for (const StateEntry* entry : table_.ListNamed(owner)) infos.push_back(Describe(*entry));
  return infos;
}

std::vector<StateInfo> Cache::ListAll() {
  const Lock lock(mutex_);
  std::vector<StateInfo> infos;
  for (const StateEntry* entry : table_.ListNamed()) infos.push_back(Describe(*entry));
  return infos;
}

Result<StateInfo> Cache::Info(std::string_view owner, std::string_view id) {
  const Lock lock(mutex_);
  const StateEntry* entry = table_.FindNamed(owner, id);
  if (entry == nullptr) return Unknown(id);
  return Describe(*entry);
}

Result<StatePtr> Cache::Fetch(std::string_view owner, std::string_view id) {
  Lock lock(mutex_);
  StateEntry* entry = table_.FindNamed(owner, id);
  if (entry == nullptr) return Unknown(id);
  return Load(lock, *entry);
}

Status Cache::Delete(std::string_view owner, std::string_view id) {
  const std::lock_guard deleting(deleting_);
  const std::string ids[] = {std::string(id)};
  {
    const Lock lock(mutex_);
    if (table_.FindNamed(owner, id) == nullptr) return Unknown(id);
    table_.Forget(ids[0]);
  }
  return store_ == nullptr ? OkStatus() : store_->Remove(ids);
}

StateCacheStats Cache::stats() const {
  const Lock lock(mutex_);
  StateCacheStats stats = stats_;
  stats.memory_bytes = table_.memory_bytes();
  stats.disk_bytes = disk_bytes();
  stats.states = table_.size();
  stats.named = table_.named();
  stats.evictable = table_.evictable();
  return stats;
}

/// The place itself, from disk if need be; then the mutex is given up in between, and `entry` may be gone
/// afterwards.
Result<StatePtr> Cache::Load(Lock& lock, StateEntry& entry) {
  table_.Touch(entry);
  if (entry.state != nullptr) return entry.state;
  const StateRecord record = entry.record;
  lock.unlock();
  auto read = store_->Read(record);
  lock.lock();
  ++stats_.disk_reads;
  StateEntry* still = table_.Find(record.id);
  if (still == nullptr) return Unknown(record.id);  // deleted meanwhile
  if (!read.ok()) {
    if (read.status().code() == StatusCode::kIo) return read.status();  // it may be readable next time
    LoseDamaged(lock, record, read.status());
    return Unknown(record.id);
  }
  if (still->state == nullptr) table_.Change(*still, [&](StateEntry& e) { e.state = *read; });
  MakeRoomInMemory();
  return *read;
}

void Cache::LoseDamaged(Lock& lock, const StateRecord& record, const Status& why) {
  ++stats_.corrupt;
  table_.Forget(record.id);
  lock.unlock();
  LogWarning("a kept state is lost: {}", why.message());
  store_->SetAside(record);
  lock.lock();
}

/// Its file is left to the writer.
void Cache::ForgetUnnamed(StateEntry& entry) {
  if (entry.record.file_bytes > 0) {
    doomed_.push_back(entry.record.id);
    wake_.notify_one();
  }
  table_.Forget(entry.record.id);
}

// --- memory
// --------------------------------------------------------------------------------------------------

/// Without a folder named states that are not evictable stay where they are, so they must fit by themselves.
Status Cache::CheckRoomInMemory(const StatePtr& state) const {
  const uint64_t more = table_.HeldByStaying(state.get()) ? 0 : BytesInMemory(*state);
  const uint64_t named = table_.staying_memory_bytes();
  if (named + more <= options_.memory_bytes) return OkStatus();
  return Exhausted(fmt::format(
      "no room to save a state of {} bytes: saved states take {} of the {} bytes of memory that states may "
      "have, and there is no folder for more",
      more, named, options_.memory_bytes));
}

/// The same once `old` (a named state, or null) has left.
Status Cache::CheckRoomInMemory(const StatePtr& state, StateEntry* old) {
  if (old == nullptr) return CheckRoomInMemory(state);
  // It may share its numbers with forks, or with the new one: the table knows what is free without it.
  const StatePtr numbers = old->state;
  table_.Change(*old, [](StateEntry& e) { e.state = nullptr; });
  const Status status = CheckRoomInMemory(state);
  table_.Change(*old, [&](StateEntry& e) { e.state = numbers; });
  return status;
}

/// Sends the least recently used states away until the rest is within the budget.
void Cache::MakeRoomInMemory() {
  while (table_.memory_bytes() > options_.memory_bytes && !table_.in_memory().empty()) {
    LeaveMemory(*table_.in_memory().begin()->second);
  }
}

void Cache::GiveUpMemory() {
  const Lock lock(mutex_);
  while (!table_.in_memory().empty()) LeaveMemory(*table_.in_memory().begin()->second);
}

void Cache::LeaveMemory(StateEntry& entry) {
  if (entry.record.file_bytes > 0) return table_.Change(entry, [](StateEntry& e) { e.state = nullptr; });
  if (store_ == nullptr || (queue_.size() >= kQueue && !entry.writing)) {
    ++stats_.evictions;
    return table_.Forget(entry.record.id);
  }
  table_.Change(entry, [](StateEntry& e) { e.queued = true, e.queued_at = e.record.used; });
  if (entry.writing) return;  // Flush does it just now
  queue_.push_back(entry.record.id);
  wake_.notify_one();
}

// --- disk
// ----------------------------------------------------------------------------------------------------

/// Makes room for `bytes` by forgetting unnamed and evictable states used before `before`, whose files the
/// caller is to remove. False, and nothing is forgotten, when that does not suffice.
bool Cache::MakeRoomOnDisk(uint64_t bytes, int64_t before, std::vector<std::string>* doomed) {
  uint64_t needed = disk_bytes() + bytes;
  std::vector<StateEntry*> leaving;
  for (auto it = table_.on_disk().begin(); needed > options_.disk_bytes; ++it) {
    if (it == table_.on_disk().end() || it->first >= before) return false;
    needed -= it->second->record.file_bytes;
    leaving.push_back(it->second);
  }
  for (StateEntry* entry : leaving) LeaveDisk(*entry, doomed);
  return true;
}

void Cache::LeaveDisk(StateEntry& entry, std::vector<std::string>* doomed) {
  doomed->push_back(entry.record.id);
  if (entry.state != nullptr && !entry.record.named) {
    return table_.Change(entry, [](StateEntry& e) { e.record.file_bytes = 0; });
  }
  ++stats_.evictions;
  table_.Forget(entry.record.id);
}

/// Writes it and completes its record. What is reserved of the disk for it until it counts. For a moment its
/// file stands beside the old one's: more than the budget by no more than that one.
Result<uint64_t> Cache::WriteNamed(StateRecord& record, const KeptState& state, std::string_view old) {
  const uint64_t texts = record.owner.size() + record.parent.size() + record.note.size();
  const uint64_t room = BytesInMemory(state) + kFileOverhead + 2 * texts;
  std::vector<std::string> doomed;
  {
    const Lock lock(mutex_);
    record.created = record.used = table_.Now();
    const StateEntry* leaving = table_.FindNamed(record.owner, old);
    // An evictable one may have to leave by itself: it must not count twice.
    const bool frees = leaving != nullptr && leaving->record.stays();
    const uint64_t freed = frees ? std::min(room, leaving->record.file_bytes) : 0;
    if (!MakeRoomOnDisk(room - freed, std::numeric_limits<int64_t>::max(), &doomed)) {
      return Exhausted(
          fmt::format("no room to save a state of {} bytes: saved states take {} of the {} bytes of disk "
                      "that states may have",
                      room, table_.staying_disk_bytes(), options_.disk_bytes));
    }
    reserved_bytes_ += room;
  }
  const Status removed = store_->Remove(doomed);
  if (!removed.ok()) LogWarning("{}", removed.message());
  auto written = store_->Write(record, state);
  // A disk may be full although the budget is not.
  while (written.status().code() == StatusCode::kExhausted && ForgetOldestOnDisk(room)) {
    written = store_->Write(record, state);
  }
  const Lock lock(mutex_);
  if (!written.ok()) {
    reserved_bytes_ -= room;
    return written.status();
  }
  ++stats_.disk_writes;
  record.file_bytes = *written;
  return room;
}

/// Forgets unnamed and evictable states of at least that many bytes on disk, or all of them. False when there
/// is none.
bool Cache::ForgetOldestOnDisk(uint64_t bytes) {
  std::vector<std::string> doomed;
  {
    const Lock lock(mutex_);
    uint64_t freed = 0;
    while (freed < bytes && !table_.on_disk().empty()) {
      StateEntry& entry = *table_.on_disk().begin()->second;
      freed += entry.record.file_bytes;
      LeaveDisk(entry, &doomed);
    }
  }
  const Status removed = store_->Remove(doomed);
  if (!removed.ok()) LogWarning("{}", removed.message());
  return !doomed.empty();
}

/// Writes an unnamed state that is in memory only. False when more recent ones have all the room.
Result<bool> Cache::WriteOut(const std::string& id) {
  StateRecord record;
  StatePtr state;
  uint64_t room = 0;
  std::vector<std::string> doomed;
  {
    const Lock lock(mutex_);
    StateEntry* entry = table_.Find(id);
    if (entry == nullptr || entry->state == nullptr || entry->writing || entry->record.file_bytes > 0)
      return true;
    room = BytesInMemory(*entry->state) + kFileOverhead;
    if (!MakeRoomOnDisk(room, entry->record.used, &doomed)) {
      Finish(id, Exhausted("no room"));
      return false;
    }
    entry->writing = true;
    record = entry->record;
    state = entry->state;
    reserved_bytes_ += room;
  }
  const Status removed = store_->Remove(doomed);
  auto written = removed.ok() ? store_->Write(record, *state) : Result<uint64_t>(removed);
  const Lock lock(mutex_);
  reserved_bytes_ -= room;
  Finish(id, written);
  if (!written.ok()) return written.status();
  return true;
}

/// An unnamed state was written, or could not be: one that was to leave memory leaves now, unless it was used
/// meanwhile.
void Cache::Finish(const std::string& id, const Result<uint64_t>& written) {
  stats_.disk_writes += written.ok();
  StateEntry* entry = table_.Find(id);
  if (entry == nullptr) {  // forgotten while it was written
    if (written.ok()) doomed_.push_back(id), wake_.notify_one();
    return;
  }
  entry->writing = false;
  if (!written.ok() && entry->queued) {
    ++stats_.evictions;
    return table_.Forget(id);
  }
  table_.Change(*entry, [&](StateEntry& e) {
    if (written.ok()) e.record.file_bytes = *written;
    if (e.queued && e.record.used == e.queued_at) e.state = nullptr;
    e.queued = false;
  });
  MakeRoomInMemory();
}

/// The writer's thread: writes states that memory has no room for, and removes files that nobody waits for.
void Cache::WriteQueued() {
  Lock lock(mutex_);
  for (bool last = false; !last;) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty() || !doomed_.empty(); });
    last = stopping_;
    writer_busy_ = true;
    const std::vector<std::string> doomed = std::exchange(doomed_, {});
    std::string id;
    if (!last && !queue_.empty()) {
      id = std::move(queue_.front());
      queue_.pop_front();
    }
    lock.unlock();
    Status status = store_->Remove(doomed);
    if (status.ok() && !id.empty()) status = WriteOut(id).status();
    if (status.ok()) status = SaveUses();
    lock.lock();
    if (!status.ok() && !std::exchange(warned_, true))
      LogWarning("the folder of states: {}", status.message());
    writer_busy_ = false;
    idle_.notify_all();
  }
}

Status Cache::Flush() {
  if (store_ == nullptr) return OkStatus();
  std::vector<std::string> ids;
  {
    Lock lock(mutex_);
    idle_.wait(lock, [&] { return queue_.empty() && !writer_busy_; });
    for (auto it = table_.in_memory().rbegin(); it != table_.in_memory().rend(); ++it) {
      if (it->second->record.file_bytes == 0) ids.push_back(it->second->record.id);
    }
  }
  for (const std::string& id : ids) {
    TERN_ASSIGN_OR_RETURN(const bool had_room, WriteOut(id));
    if (!had_room) break;  // nor have the older ones
  }
  return SaveUses();
}

/// Tells the index which states were used since the last time.
Status Cache::SaveUses() {
  std::vector<std::pair<std::string, int64_t>> uses;
  {
    const Lock lock(mutex_);
    uses = table_.TakeUses();
  }
  return store_->MarkUsed(uses);
}

}  // namespace

Result<std::shared_ptr<StateCache>> StateCache::Open(const StateCacheOptions& options,
                                                     const ModelConfig& config, std::string model_hash) {
  std::unique_ptr<StateStore> store;
  if (!options.folder.empty()) {
    TERN_ASSIGN_OR_RETURN(store, StateStore::Open(options.folder, config, model_hash));
  }
  return std::shared_ptr<StateCache>(std::make_shared<Cache>(options, config, std::move(store)));
}

}  // namespace tern
