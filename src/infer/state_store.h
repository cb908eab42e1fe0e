// States on disk: a folder with a file per state and an index of them. docs/states.md draws it.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "infer/state_cache.h"
#include "infer/state_database.h"

namespace tern {

/// The states of one model in a folder, without any thought of room. Thread-safe, and blocks while it waits
/// for the disk. The files are the truth: each holds all that the index says about it, so that a damaged
/// index is made anew from them.
class StateStore {
 public:
  /// Opens or creates `folder`/`model_hash`. A damaged index is renamed, and so are damaged files when they
  /// are met; both are logged. Fails with kUnavailable while another process (or another store of this one)
  /// has it open, kUnsupported when it is of another version.
  static Result<std::unique_ptr<StateStore>> Open(const std::string& folder, const ModelConfig& config,
                                                  const std::string& model_hash);
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  /// What was there at opening, the least recently used first. Once.
  std::vector<StateRecord> TakeRecords() { return std::move(records_); }

  /// When it returns the size of the file, that and its record are on disk.
  Result<uint64_t> Write(StateRecord record, const KeptState& state);
  /// kNotFound when the file is gone, kCorrupt when it is not what was written.
  Result<std::shared_ptr<const KeptState>> Read(const StateRecord& record) const;
  /// Forgets states, for good even when the system stops right afterwards.
  Status Remove(std::span<const std::string> ids);
  /// Forgets a damaged state but, when it is a named one, leaves its file under another name.
  void SetAside(const StateRecord& record);
  Status MarkUsed(std::span<const std::pair<std::string, int64_t>> used);

 private:
  StateStore(std::string folder, const ModelConfig& config, std::string model_hash);
  Status Lock();
  Status OpenDatabase();
  Status Reconcile();
  void Import(const std::string& id);
  std::string Path(const std::string& id) const;

  const std::string folder_;
  const ModelConfig config_;
  const std::string model_hash_;
  int lock_ = -1;  ///< a file that is locked while the folder is open
  std::vector<StateRecord> records_;
  mutable std::mutex mutex_;  ///< of the database; files need none, as ids are never written twice at once
  std::unique_ptr<StateDatabase> database_;
};

/// A new id.
std::string NewStateId();

}  // namespace tern
