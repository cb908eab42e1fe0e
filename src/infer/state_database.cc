#include "infer/state_database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <string_view>

namespace tern {
namespace {

constexpr int kVersion = 2;

constexpr const char* kSchema =
    "CREATE TABLE states ("
    " id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL, named INTEGER NOT NULL, parent TEXT NOT NULL,"
    " note TEXT NOT NULL, tokens INTEGER NOT NULL, hash INTEGER NOT NULL, has_logits INTEGER NOT NULL,"
    " file_bytes INTEGER NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,"
    " evictable INTEGER NOT NULL DEFAULT 0)";

/// Version 1 knew no evictable states.
constexpr const char* kFromVersion1 = "ALTER TABLE states ADD COLUMN evictable INTEGER NOT NULL DEFAULT 0";

}  // namespace

/// SQLite's handle, and its errors as Status.
class StateDatabase::Connection {
 public:
  explicit Connection(std::string path) : path_(std::move(path)) {}
  ~Connection() { sqlite3_close_v2(handle_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status Open() {
    constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path_.c_str(), &handle_, kFlags, nullptr) != SQLITE_OK) return Error();
    // One connection only: without shared memory, so that folders on network disks will do.
    TERN_RETURN_IF_ERROR(Run("PRAGMA locking_mode = EXCLUSIVE"));
    TERN_RETURN_IF_ERROR(Run("PRAGMA journal_mode = WAL"));
    return Run("PRAGMA synchronous = NORMAL");
  }

  Status Error() const {
    const int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle_);
    std::string message = fmt::format("index of states '{}': {}", path_,
                                      handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_));
    // The last two: the statements are right and the folder can be written to, so it is the file that is not.
    const bool damaged =
        code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR || code == SQLITE_READONLY;
    if (damaged) return Corrupt(std::move(message));
    if (code == SQLITE_FULL || code == SQLITE_NOMEM) return Exhausted(std::move(message));
    return IoError(std::move(message));
  }

  Status Run(const char* sql) {
    return sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? OkStatus() : Error();
  }

  /// Runs `work` as one transaction: all of it or nothing.
  template <typename Work>
  Status Transact(Work work) {
    TERN_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
    Status status = work();
    if (status.ok()) status = Run("COMMIT");
    if (!status.ok()) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
    return status;
  }

  sqlite3* handle() { return handle_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* handle_ = nullptr;
};

namespace {

/// One prepared statement. Texts that are bound must outlive the next Step.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    prepared_ = sqlite3_prepare_v2(database, sql, -1, &handle_, nullptr) == SQLITE_OK;
  }
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void Bind(int at, int64_t value) { sqlite3_bind_int64(handle_, at, value); }
  void Bind(int at, std::string_view value) {
    sqlite3_bind_text64(handle_, at, value.data() == nullptr ? "" : value.data(), value.size(), SQLITE_STATIC,
                        SQLITE_UTF8);
  }
  /// SQLITE_ROW, SQLITE_DONE or an error.
  int Step() { return prepared_ ? sqlite3_step(handle_) : SQLITE_ERROR; }
  /// To be run again with other values.
  bool Finish() {
    const bool done = Step() == SQLITE_DONE;
    sqlite3_reset(handle_);
    return done;
  }

  int64_t Integer(int column) { return sqlite3_column_int64(handle_, column); }
  std::string Text(int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
    return text == nullptr ? std::string()
                           : std::string(text, static_cast<size_t>(sqlite3_column_bytes(handle_, column)));
  }

 private:
  sqlite3_stmt* handle_ = nullptr;
  bool prepared_ = false;
};

}  // namespace

StateDatabase::StateDatabase(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
StateDatabase::~StateDatabase() = default;

Result<std::unique_ptr<StateDatabase>> StateDatabase::Open(const std::string& path) {
  auto connection = std::make_unique<Connection>(path);
  TERN_RETURN_IF_ERROR(connection->Open());
  {
    Statement check(connection->handle(), "PRAGMA quick_check(1)");
    if (check.Step() != SQLITE_ROW) return connection->Error();
    const std::string found = check.Text(0);
    if (found != "ok") return Corrupt(fmt::format("index of states '{}' is damaged: {}", path, found));
  }
  int64_t version = 0, tables = 0;
  {
    Statement ask(connection->handle(),
                  "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version");
    if (ask.Step() != SQLITE_ROW) return connection->Error();
    version = ask.Integer(0), tables = ask.Integer(1);
  }
  const bool is_new = version == 0 && tables == 0;
  if (is_new || version == 1) {
    const std::string set_version = fmt::format("PRAGMA user_version = {}", kVersion);
    TERN_RETURN_IF_ERROR(connection->Transact([&] {
      const Status made = connection->Run(is_new ? kSchema : kFromVersion1);
      return made.ok() ? connection->Run(set_version.c_str()) : made;
    }));
  } else if (version != kVersion) {
    return Unsupported(
        fmt::format("index of states '{}' has version {}; this program reads {}", path, version, kVersion));
  }
  std::unique_ptr<StateDatabase> database(new StateDatabase(std::move(connection)));
  TERN_RETURN_IF_ERROR(database->All().status());  // every row can be read
  return database;
}

Result<std::vector<StateRecord>> StateDatabase::All() {
  Statement select(
      connection_->handle(),
      "SELECT id, owner, named, parent, note, tokens, hash, has_logits, file_bytes, created, used, evictable"
      " FROM states ORDER BY used");
  std::vector<StateRecord> records;
  int step = 0;
  while ((step = select.Step()) == SQLITE_ROW) {
    records.push_back({.id = select.Text(0),
                       .owner = select.Text(1),
                       .named = select.Integer(2) != 0,
                       .evictable = select.Integer(11) != 0,
                       .parent = select.Text(3),
                       .note = select.Text(4),
                       .tokens = select.Integer(5),
                       .hash = static_cast<uint64_t>(select.Integer(6)),
                       .has_logits = select.Integer(7) != 0,
                       .file_bytes = static_cast<uint64_t>(select.Integer(8)),
                       .created = select.Integer(9),
                       .used = select.Integer(10)});
  }
  if (step != SQLITE_DONE) return connection_->Error();
  return records;
}

Status StateDatabase::Put(const StateRecord& record) {
  Statement insert(connection_->handle(),
                   "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.Bind(1, record.id);
  insert.Bind(2, record.owner);
  insert.Bind(3, static_cast<int64_t>(record.named));
  insert.Bind(4, record.parent);
  insert.Bind(5, record.note);
  insert.Bind(6, record.tokens);
  insert.Bind(7, static_cast<int64_t>(record.hash));
  insert.Bind(8, static_cast<int64_t>(record.has_logits));
  insert.Bind(9, static_cast<int64_t>(record.file_bytes));
  insert.Bind(10, record.created);
  insert.Bind(11, record.used);
  insert.Bind(12, static_cast<int64_t>(record.evictable));
  return insert.Finish() ? OkStatus() : connection_->Error();
}

Status StateDatabase::Remove(std::span<const std::string> ids) {
  return connection_->Transact([&] {
    Statement remove(connection_->handle(), "DELETE FROM states WHERE id = ?");
    for (const std::string& id : ids) {
      remove.Bind(1, id);
      if (!remove.Finish()) return connection_->Error();
    }
    return OkStatus();
  });
}

Status StateDatabase::MarkUsed(std::span<const std::pair<std::string, int64_t>> used) {
  return connection_->Transact([&] {
    Statement update(connection_->handle(), "UPDATE states SET used = ? WHERE id = ?");
    for (const auto& [id, when] : used) {
      update.Bind(1, when);
      update.Bind(2, id);
      if (!update.Finish()) return connection_->Error();
    }
    return OkStatus();
  });
}

}  // namespace tern
