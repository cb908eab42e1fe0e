#include "infer/state_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_map>

#include "base/file.h"
#include "base/log.h"
#include "infer/prefix_index.h"
#include "model/state.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "index.sqlite";
constexpr std::string_view kSuffix = ".state";
constexpr size_t kIdLength = 3 + 32;

bool IsStateId(std::string_view id) {
  return id.size() == kIdLength && id.starts_with("st_") &&
         id.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}

Status Errno(const char* doing, const std::string& path) {
  return IoError(fmt::format("cannot {} '{}': {}", doing, path, std::strerror(errno)));
}

/// What a file says of itself, in a form that is the same each time.
std::string Header(const StateRecord& record) {
  nlohmann::json header = {{"id", record.id},
                           {"owner", record.owner},
                           {"named", record.named},
                           {"parent", record.parent},
                           {"note", record.note},
                           {"tokens", record.tokens},
                           {"has_logits", record.has_logits},
                           {"created", record.created}};
  // Absent otherwise, so that files written before this field existed keep their check.
  if (record.evictable) header["evictable"] = true;
  return header.dump(-1, ' ', /*ensure_ascii=*/true);
}

/// 128 bits over the header and every number, in hexadecimal.
std::string Check(const std::string& header, std::span<const float> state, std::span<const int32_t> tokens,
                  std::span<const float> logits) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash(XXH3_createState(), &XXH3_freeState);
  XXH3_128bits_reset(hash.get());
  XXH3_128bits_update(hash.get(), header.data(), header.size());
  XXH3_128bits_update(hash.get(), state.data(), state.size_bytes());
  XXH3_128bits_update(hash.get(), tokens.data(), tokens.size_bytes());
  XXH3_128bits_update(hash.get(), logits.data(), logits.size_bytes());
  const XXH128_hash_t digest = XXH3_128bits_digest(hash.get());
  return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

/// The note of a file: its header and its check.
std::string Note(const std::string& header, const std::string& check) {
  return fmt::format(R"({{"kept":{},"check":"{}"}})", header, check);
}

Status Verify(const StateRecord& record, const SavedState& saved, const std::string& path) {
  const std::string header = Header(record);
  const std::string check = Check(header, saved.state.data(), saved.tokens, saved.logits);
  if (saved.note == Note(header, check) && record.tokens == static_cast<int64_t>(saved.tokens.size()) &&
      record.has_logits == !saved.logits.empty() && record.hash == HashTokens(saved.tokens)) {
    return OkStatus();
  }
  return Corrupt(fmt::format("state file '{}' is not what was written", path));
}

/// The record of a file by its own words. Throws what the JSON library throws.
StateRecord RecordOf(const SavedState& saved) {
  const nlohmann::json kept = nlohmann::json::parse(saved.note).at("kept");
  return {.id = kept.at("id").get<std::string>(),
          .owner = kept.at("owner").get<std::string>(),
          .named = kept.at("named").get<bool>(),
          .evictable = kept.value("evictable", false),
          .parent = kept.at("parent").get<std::string>(),
          .note = kept.at("note").get<std::string>(),
          .tokens = static_cast<int64_t>(saved.tokens.size()),
          .hash = HashTokens(saved.tokens),
          .has_logits = !saved.logits.empty(),
          .created = kept.at("created").get<int64_t>(),
          .used = kept.at("created").get<int64_t>()};
}

/// Whether a record of the index can be counted with; what else it says is compared when the file is read.
bool IsPlausible(const StateRecord& record, uint64_t file_bytes) {
  constexpr int64_t kLatest = int64_t{1} << 60;
  return record.file_bytes == file_bytes && record.tokens >= 0 &&
         static_cast<uint64_t>(record.tokens) <= file_bytes / sizeof(int32_t) && record.created >= 0 &&
         record.created < kLatest && record.used >= 0 && record.used < kLatest;
}

}  // namespace

std::string NewStateId() {
  std::random_device device;
  std::string id = "st_";
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", static_cast<uint32_t>(device()));
  return id;
}

StateStore::StateStore(std::string folder, const ModelConfig& config, std::string model_hash)
    : folder_(std::move(folder)), config_(config), model_hash_(std::move(model_hash)) {}

StateStore::~StateStore() {
  database_.reset();  // before the lock is given up
  if (lock_ >= 0) ::close(lock_);
}

std::string StateStore::Path(const std::string& id) const {
  return fmt::format("{}/{}{}", folder_, id, kSuffix);
}

Result<std::unique_ptr<StateStore>> StateStore::Open(const std::string& folder, const ModelConfig& config,
                                                     const std::string& model_hash) {
  if (model_hash.empty() || model_hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidArgument(fmt::format("'{}' is no hash of a model", model_hash));
  }
  const std::string own = fmt::format("{}/{}", folder, model_hash);
  std::error_code error;
  fs::create_directories(own, error);
  if (error) return IoError(fmt::format("cannot make the folder of states '{}': {}", own, error.message()));
  fs::permissions(own, fs::perms::owner_all, error);  // texts of people: nobody else's business
  std::unique_ptr<StateStore> store(new StateStore(own, config, model_hash));
  TERN_RETURN_IF_ERROR(store->Lock());
  TERN_RETURN_IF_ERROR(store->OpenDatabase());
  TERN_RETURN_IF_ERROR(store->Reconcile());
  return store;
}

Status StateStore::Lock() {
  const std::string path = folder_ + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return Errno("open", path);
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return OkStatus();
  if (errno != EWOULDBLOCK) return Errno("lock", path);
  return Unavailable(fmt::format("the folder of states '{}' is in use already", folder_));
}

Status StateStore::OpenDatabase() {
  const std::string path = fmt::format("{}/{}", folder_, kIndex);
  auto opened = StateDatabase::Open(path);
  if (!opened.ok() && opened.status().code() == StatusCode::kCorrupt) {
    std::error_code error;
    int n = 1;
    while (fs::exists(fmt::format("{}.corrupt-{}", path, n), error)) ++n;
    for (const char* part : {"", "-wal", "-shm"}) {
      fs::rename(path + part, fmt::format("{}.corrupt-{}{}", path, n, part), error);
    }
    LogWarning("{}; it is now '{}.corrupt-{}', and a new one is made from the files",
               opened.status().message(), path, n);
    opened = StateDatabase::Open(path);
  }
  if (!opened.ok()) return opened.status();
  database_ = std::move(*opened);
  return OkStatus();
}

/// Makes index and files agree: a process may have ended between changing the one and the other.
Status StateStore::Reconcile() {
  std::unordered_map<std::string, uint64_t> files;  // with their sizes
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string(), id = it->path().stem().string();
    if (name.find(".tmp-") != std::string::npos) leftovers.push_back(it->path());
    std::error_code unknown;
    if (name.ends_with(kSuffix) && IsStateId(id)) files[id] = it->file_size(unknown);
  }
  if (error)
    return IoError(fmt::format("cannot read the folder of states '{}': {}", folder_, error.message()));
  for (const fs::path& path : leftovers) fs::remove(path, error);

  TERN_ASSIGN_OR_RETURN(const std::vector<StateRecord> records, database_->All());
  std::vector<std::string> gone;
  for (const StateRecord& record : records) {
    const auto file = files.find(record.id);
    if (file == files.end()) {
      gone.push_back(record.id);
    } else if (IsPlausible(record, file->second)) {
      files.erase(file);
    }
  }
  if (!gone.empty()) TERN_RETURN_IF_ERROR(database_->Remove(gone));
  for (const auto& [id, bytes] : files) Import(id);
  TERN_ASSIGN_OR_RETURN(records_, database_->All());
  std::erase_if(records_, [](const StateRecord& record) { return !IsPlausible(record, record.file_bytes); });
  return OkStatus();
}

void StateStore::Import(const std::string& id) {
  StateRecord record = {.id = id};
  Status status;
  try {
    auto saved = LoadState(Path(id), config_, model_hash_);
    status = saved.status();
    if (saved.ok()) {
      record = RecordOf(*saved);
      status =
          record.id == id ? Verify(record, *saved, Path(id)) : Corrupt(fmt::format("it is of {}", record.id));
    }
  } catch (const nlohmann::json::exception& error) {
    status = Corrupt(error.what());
  }
  std::error_code error;
  record.file_bytes = fs::file_size(Path(id), error);
  if (status.ok()) status = database_->Put(record);
  if (status.ok()) return;
  if (status.code() == StatusCode::kIo)
    return LogWarning("{}", status.message());  // it may be readable next time
  LogWarning("state {} is damaged: {}", id, status.message());
  record.named = true;  // as it may be
  record.id = id;
  SetAside(record);
}

Result<uint64_t> StateStore::Write(StateRecord record, const KeptState& state) {
  const std::string path = Path(record.id);
  SavedState saved{.state = state.state,
                   .model_hash = model_hash_,
                   .tokens = state.tokens,
                   .logits = state.logits,
                   .note = {}};
  try {
    const std::string header = Header(record);
    saved.note = Note(header, Check(header, saved.state.data(), saved.tokens, saved.logits));
  } catch (const nlohmann::json::exception&) {
    return InvalidArgument("owner, parent and note of a state must be valid UTF-8");
  }
  TERN_RETURN_IF_ERROR(SaveState(saved, path));
  std::error_code error;
  record.file_bytes = fs::file_size(path, error);
  if (error) return IoError(fmt::format("cannot ask for the size of '{}': {}", path, error.message()));
  const std::lock_guard lock(mutex_);
  const Status status = database_->Put(record);
  if (status.ok()) return record.file_bytes;
  fs::remove(path, error);
  return status;
}

Result<std::shared_ptr<const KeptState>> StateStore::Read(const StateRecord& record) const {
  const std::string path = Path(record.id);
  TERN_ASSIGN_OR_RETURN(SavedState saved, LoadState(path, config_, model_hash_));
  TERN_RETURN_IF_ERROR(Verify(record, saved, path));
  return std::make_shared<const KeptState>(
      KeptState{std::move(saved.tokens), std::move(saved.state), std::move(saved.logits)});
}

Status StateStore::Remove(std::span<const std::string> ids) {
  if (ids.empty()) return OkStatus();
  // Files first: a file without a record would be found again, a record without a file is dropped.
  Status status;
  for (const std::string& id : ids) {
    if (::unlink(Path(id).c_str()) != 0 && errno != ENOENT) status = Errno("remove", Path(id));
  }
  SyncFolder(folder_);  // removals must not be undone by an end of the system
  const std::lock_guard lock(mutex_);
  const Status removed = database_->Remove(ids);
  return status.ok() ? removed : status;
}

void StateStore::SetAside(const StateRecord& record) {
  std::error_code error;
  if (record.named) fs::rename(Path(record.id), Path(record.id) + ".corrupt", error);
  const Status status = Remove(std::span(&record.id, 1));
  if (!status.ok()) LogWarning("{}", status.message());
}

Status StateStore::MarkUsed(std::span<const std::pair<std::string, int64_t>> used) {
  if (used.empty()) return OkStatus();
  const std::lock_guard lock(mutex_);
  return database_->MarkUsed(used);
}

}  // namespace tern
