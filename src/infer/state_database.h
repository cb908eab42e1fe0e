// The index of a folder of states: one SQLite database.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace tern {

/// All about a kept place but the place itself.
struct StateRecord {
  std::string id = {};     ///< "st_" and 32 hexadecimal digits
  std::string owner = {};  ///< valid UTF-8, as are parent and note
  bool named = false;
  bool evictable = false;  ///< a named state that is forgotten as an unnamed one is
  std::string parent = {};
  std::string note = {};
  int64_t tokens = 0;
  uint64_t hash = 0;  ///< HashTokens of the tokens
  bool has_logits = false;
  uint64_t file_bytes = 0;        ///< 0: not on disk
  int64_t created = 0, used = 0;  ///< microseconds since 1970

  /// It stays until it is deleted.
  bool stays() const { return named && !evictable; }
};

/// Thread-compatible. What a call has changed survives the end of the process at any moment; an end of the
/// system may undo the last calls, but leaves no damage (write-ahead log, synchronous = NORMAL).
class StateDatabase {
 public:
  /// Opens or creates it; an index of version 1 becomes one of this version. kCorrupt when the file is no
  /// database or is damaged, kUnsupported when it is of another version. Nobody else may have it open.
  static Result<std::unique_ptr<StateDatabase>> Open(const std::string& path);
  ~StateDatabase();
  StateDatabase(const StateDatabase&) = delete;
  StateDatabase& operator=(const StateDatabase&) = delete;

  /// All records, the least recently used first.
  Result<std::vector<StateRecord>> All();
  /// Adds a record, or replaces the one of this id.
  Status Put(const StateRecord& record);
  Status Remove(std::span<const std::string> ids);
  /// Sets when states were used last.
  Status MarkUsed(std::span<const std::pair<std::string, int64_t>> used);

 private:
  class Connection;
  explicit StateDatabase(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace tern
