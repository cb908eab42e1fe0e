// Kept states: beginnings of texts that others may start from, and conversations that people come back to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/model.h"

namespace tern {

/// A place in a text: everything that a generation needs to go on there. Immutable once shared.
struct KeptState {
  std::vector<int32_t> tokens;  ///< all that were read
  State state;
  std::vector<float> logits;  ///< [V] after the last token, or empty where the next token is known to follow
};

struct StateCacheOptions {
  uint64_t memory_bytes = uint64_t{1} << 30;  ///< for states in memory
  std::string folder = {};  ///< where states go that memory has no room for; empty: they are forgotten
  uint64_t disk_bytes = uint64_t{8} << 30;  ///< for states in the folder; the least recently used go first
};

/// A named state, as lists show it.
struct StateInfo {
  std::string id = {};  ///< "st_…": unguessable, never reused
  std::string owner = {};
  std::string parent = {};  ///< the state it was forked from or continues, or empty
  std::string note = {};    ///< free text of the program (a title, a session's name)
  int64_t tokens = 0;
  uint64_t bytes = 0;
  int64_t created = 0, used = 0;  ///< Unix seconds
  bool in_memory = false;
  bool evictable = false;  ///< it is forgotten when other states need its memory or disk
};

/// Counts are since the cache was opened.
struct StateCacheStats {
  uint64_t memory_bytes = 0, disk_bytes = 0;
  int64_t states = 0, named = 0;  ///< that there are now: all, and the named ones among them
  int64_t evictable = 0;          ///< named states that may be forgotten
  int64_t hits = 0, misses = 0;   ///< of Find
  int64_t disk_reads = 0, disk_writes = 0;
  int64_t evictions = 0;  ///< unnamed and evictable states forgotten for want of memory or disk
  int64_t not_kept = 0;   ///< failed calls of Save, SaveEvictable and Replace
  int64_t corrupt = 0;    ///< damaged files met
};

/// States of one model by owner. Two kinds share the budgets: unnamed ones, which are forgotten when room is
/// needed; and named ones, which stay until they are deleted (they move to the folder when memory has no
/// room; without a folder, keeping one that has no room fails). Both are found by the tokens they have read.
/// A named state may be evictable: it has an id, but it is forgotten as an unnamed one is.
/// Nothing of one owner is ever given, listed or hinted at to another. Owners are written to the folder as
/// they are: names or digests, never keys.
///
/// Thread-safe. Reading a state from the folder takes milliseconds, in Find and Fetch; what has to be written
/// for room is written by a thread of its own. Files are written whole or not at all and checked by hash when
/// read; a damaged one is set aside, counted and as if it had never been. After a restart (or a kill) all
/// that was on disk is there again; Flush writes out the rest. docs/states.md has the whole story.
class StateCache {
 public:
  /// `model_hash`: Model::Hash(); states of other models in the folder are left alone, and do not count.
  /// kUnavailable while another cache (of any process) has this model's states open, kUnsupported when they
  /// were written by another version.
  static Result<std::shared_ptr<StateCache>> Open(const StateCacheOptions& options, const ModelConfig& config,
                                                  std::string model_hash);
  virtual ~StateCache() = default;

  /// The longest kept beginning of `tokens`. One of all the tokens counts only if it has logits. Null: none.
  virtual std::shared_ptr<const KeptState> Find(std::string_view owner, std::span<const int32_t> tokens) = 0;
  /// Keeps a place under its tokens; one that is there already is only marked as used (and given logits if it
  /// had none).
  virtual void Keep(std::string_view owner, std::shared_ptr<const KeptState> state) = 0;

  /// Gives a place a name. With a folder it is on disk when this returns, which may take some tens of
  /// milliseconds. kExhausted when named states have all the room, kInvalidArgument for a state of another
  /// model and for texts that are not UTF-8 (with a folder).
  virtual Result<StateInfo> Save(std::string_view owner, std::shared_ptr<const KeptState> state,
                                 std::string parent, std::string note) = 0;
  /// Save, but the state is evictable. kExhausted only when states that are not evictable leave too little.
  virtual Result<StateInfo> SaveEvictable(std::string_view owner, std::shared_ptr<const KeptState> state,
                                          std::string parent, std::string note) = 0;
  /// Save in place of the named state `id` of the same owner, which is gone when this returns: only what the
  /// new one takes beyond it must find room. When it fails the old one is still there. Where there is none of
  /// that id (it may just have been deleted), this is Save.
  virtual Result<StateInfo> Replace(std::string_view owner, std::string_view id,
                                    std::shared_ptr<const KeptState> state, std::string parent,
                                    std::string note) = 0;
  /// In the order they were made.
  virtual std::vector<StateInfo> List(std::string_view owner) = 0;
  /// The same of all owners: for whoever looks after the service, never for another owner.
  virtual std::vector<StateInfo> ListAll() = 0;
  /// kNotFound for unknown ids and for those of other owners alike.
  virtual Result<StateInfo> Info(std::string_view owner, std::string_view id) = 0;
  virtual Result<std::shared_ptr<const KeptState>> Fetch(std::string_view owner, std::string_view id) = 0;
  /// Gone for good when this returns, from the folder as well.
  virtual Status Delete(std::string_view owner, std::string_view id) = 0;

  /// Writes the states that are only in memory, the most recently used first, as many as the disk's budget
  /// allows. (Named ones are on disk already.)
  virtual Status Flush() = 0;
  /// For a model that rests: all that can leaves memory. What is on disk is read from there again; unnamed
  /// states that are not (Flush first) may be forgotten, named ones never are.
  virtual void GiveUpMemory() = 0;
  virtual StateCacheStats stats() const = 0;
};

}  // namespace tern
