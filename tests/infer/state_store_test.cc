// Kept states on disk: what damage, full disks, other programs and sudden ends may cost.
#include "infer/state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "base/file.h"
#include "tests/infer/state_testing.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::Found;
using ::testing::HasSubstr;
using testing::IsStateOf;
using testing::MakeState;
using testing::OpenCache;
using testing::RandomText;
using testing::ReadBytes;
using testing::StateConfig;
using testing::TempDir;
using testing::Tokens;
using testing::WriteBytes;

std::string Own(const TempDir& dir) { return dir.File(testing::kModelHash); }
std::string Index(const TempDir& dir) { return Own(dir) + "/index.sqlite"; }
std::string FileOf(const TempDir& dir, const std::string& id) { return Own(dir) + "/" + id + ".state"; }

std::vector<std::string> FilesEndingWith(const std::string& folder, const std::string& suffix) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().string().ends_with(suffix)) paths.push_back(entry.path().string());
  }
  return paths;
}

StateRecord RecordFor(const KeptState& state, const std::string& owner) {
  return {.id = NewStateId(),
          .owner = owner,
          .named = true,
          .note = "a note",
          .tokens = static_cast<int64_t>(state.tokens.size()),
          .hash = HashTokens(state.tokens),
          .has_logits = !state.logits.empty(),
          .created = 1,
          .used = 1};
}

TEST(StateStore, AnyDamageToAFileIsNoticed) {
  const TempDir dir;
  auto store = StateStore::Open(dir.path(), StateConfig(), testing::kModelHash);
  ASSERT_TRUE(store.ok()) << store.status().message();
  const auto state = MakeState({1, 2, 3, 4, 5});
  StateRecord record = RecordFor(*state, "owner");
  const auto written = (*store)->Write(record, *state);
  ASSERT_TRUE(written.ok()) << written.status().message();
  const std::string path = FileOf(dir, record.id);
  const std::vector<std::byte> good = ReadBytes(path);
  ASSERT_EQ(*written, good.size());
  int harmless = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{static_cast<uint8_t>(1u << (at % 8))};
    WriteBytes(path, bad);
    const auto read = (*store)->Read(record);
    if (!read.ok()) continue;
    // What no number depends on: the architecture's name, which the layout says again.
    ++harmless;
    ASSERT_TRUE(IsStateOf(*read, state->tokens)) << "byte " << at;
  }
  EXPECT_LE(harmless, 24);
  for (size_t size = 0; size < good.size(); size += 13) {
    WriteBytes(path, {good.begin(), good.begin() + static_cast<int64_t>(size)});
    EXPECT_FALSE((*store)->Read(record).ok()) << "of " << size << " bytes";
  }
  WriteBytes(path, good);
  EXPECT_TRUE((*store)->Read(record).ok());
  // The index may be damaged as well.
  StateRecord other = record;
  other.owner = "somebody else";
  EXPECT_EQ((*store)->Read(other).status().code(), StatusCode::kCorrupt);
  other = record, other.named = false;
  EXPECT_FALSE((*store)->Read(other).ok());
  other = record, other.tokens = 4;
  EXPECT_FALSE((*store)->Read(other).ok());
}

TEST(StateStore, ADamagedStateIsSetAsideAndAsIfItHadNeverBeen) {
  const TempDir dir;
  std::string id, whole;
  {
    const auto cache = OpenCache({.folder = dir.path()});
    id = cache->Save("a", MakeState({1, 2, 3}), "", "").status().ok() ? cache->List("a")[0].id : "";
    whole = cache->Save("a", MakeState({1, 2}), "", "")->id;
    cache->Keep("a", MakeState({1, 2, 3, 4}));
    ASSERT_TRUE(cache->Flush().ok());
  }
  for (const std::string& path : FilesEndingWith(Own(dir), ".state")) {
    if (path == FileOf(dir, whole)) continue;
    std::vector<std::byte> bytes = ReadBytes(path);
    bytes[bytes.size() - 1] ^= std::byte{1};
    WriteBytes(path, bytes);
  }
  {
    const auto cache = OpenCache({.folder = dir.path()});
    EXPECT_EQ(cache->stats().states, 3);
    EXPECT_EQ(Found(*cache, "a", {1, 2, 3, 4, 5}), 2);
    EXPECT_EQ(cache->stats().corrupt, 2);
    EXPECT_EQ(cache->stats().states, 1);
    EXPECT_EQ(cache->Fetch("a", id).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(FilesEndingWith(Own(dir), ".corrupt").size(), 1u);  // the named one
    // A file that is simply gone.
    fs::remove(FileOf(dir, cache->Save("a", MakeState({7}), "", "")->id));
  }
  const auto cache = OpenCache({.folder = dir.path()});
  EXPECT_EQ(cache->List("a").size(), 1u);
  EXPECT_TRUE(IsStateOf(*cache->Fetch("a", whole), {1, 2}));
}

TEST(StateStore, ADamagedIndexIsSetAsideAndMadeAnewFromTheFiles) {
  const TempDir dir;
  std::string id;
  {
    const auto cache = OpenCache({.folder = dir.path()});
    const auto parent = cache->Save("a", MakeState({1, 2}), "", "");
    ASSERT_TRUE(parent.ok());
    id = cache->Save("a", MakeState({1, 2, 3}, false), parent->id, "title ü")->id;
    ASSERT_TRUE(cache->Save("b", MakeState({1, 2, 3}), "", "").ok());
    cache->Keep("b", MakeState({5, 5, 5}));
    ASSERT_TRUE(cache->Flush().ok());
  }
  const auto check = [&](const char* how) {
    SCOPED_TRACE(how);
    const auto cache = OpenCache({.folder = dir.path()});
    ASSERT_NE(cache, nullptr);
    const auto list = cache->List("a");
    ASSERT_EQ(list.size(), 2u);
    EXPECT_EQ(list[1].id, id);
    EXPECT_EQ(list[1].note, "title ü");
    EXPECT_EQ(list[1].parent, list[0].id);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {1, 2, 3}));
    EXPECT_EQ(cache->List("b").size(), 1u);
    EXPECT_EQ(Found(*cache, "b", {5, 5, 5, 5}), 3);
    EXPECT_EQ(Found(*cache, "a", {5, 5, 5, 5}), 0);
  };
  WriteBytes(Index(dir), std::vector<std::byte>(5000, std::byte{'x'}));
  check("no database");
  EXPECT_TRUE(fs::exists(Index(dir) + ".corrupt-1"));
  std::vector<std::byte> bytes = ReadBytes(Index(dir));
  std::fill(bytes.begin() + 4096, bytes.end(), std::byte{0xff});
  WriteBytes(Index(dir), bytes);
  check("pages overwritten");
  EXPECT_TRUE(fs::exists(Index(dir) + ".corrupt-2"));
  WriteBytes(Index(dir), {});
  check("empty");
  fs::remove(Index(dir));
  check("removed");
}

TEST(StateStore, ARandomlyDamagedIndexNeverGivesWrongStates) {
  const TempDir dir;
  const std::map<std::string, Tokens> texts = {{"a", {1, 2, 3}}, {"b", {1, 2, 4}}, {"c", {9}}};
  {
    const auto cache = OpenCache({.folder = dir.path()});
    for (const auto& [owner, tokens] : texts) ASSERT_TRUE(cache->Save(owner, MakeState(tokens), "", "").ok());
  }
  const std::vector<std::byte> good = ReadBytes(Index(dir));
  Random random(3);
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    std::vector<std::byte> bad = good;
    for (uint64_t n = 1 + random.Below(20); n > 0; --n) {
      bad[random.Below(2) == 0 ? random.Below(bad.size()) : random.Below(100)] ^=
          std::byte{static_cast<uint8_t>(1 + random.Below(255))};
    }
    WriteBytes(Index(dir), bad);
    auto opened =
        StateCache::Open({.memory_bytes = 0, .folder = dir.path()}, StateConfig(), testing::kModelHash);
    if (!opened.ok()) {  // the version's number was hit
      EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported) << opened.status().message();
      continue;
    }
    for (const auto& [owner, tokens] : texts) {
      for (const StateInfo& info : (*opened)->List(owner)) {
        const auto state = (*opened)->Fetch(owner, info.id);
        if (state.ok()) {
          EXPECT_TRUE(IsStateOf(*state, tokens));
        }
      }
    }
    for (const std::string& aside :
         FilesEndingWith(Own(dir), ".corrupt")) {  // make it whole for the next round
      fs::rename(aside, aside.substr(0, aside.size() - 8));
    }
  }
}

TEST(StateStore, RefusesAnotherVersion) {
  const TempDir dir;
  OpenCache({.folder = dir.path()});
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(Index(dir).c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 77", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const auto cache = StateCache::Open({.folder = dir.path()}, StateConfig(), testing::kModelHash);
  ASSERT_EQ(cache.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(cache.status().message(), HasSubstr("77"));
  EXPECT_THAT(cache.status().message(), HasSubstr(Index(dir)));
}

void RunSql(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
  sqlite3_close(database);
}

TEST(StateStore, AnIndexWithoutEvictableStatesIsTakenOver) {
  const TempDir dir;
  const std::string id = OpenCache({.folder = dir.path()})->Save("a", MakeState({1, 2}), "", "talk")->id;
  RunSql(Index(dir), "ALTER TABLE states DROP COLUMN evictable; PRAGMA user_version = 1");
  for (int i = 0; i < 2; ++i) {
    const auto cache = OpenCache({.folder = dir.path()});
    ASSERT_EQ(cache->List("a").size(), 1u) << i;
    EXPECT_EQ(cache->List("a")[0].id, id);
    EXPECT_FALSE(cache->List("a")[0].evictable);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {1, 2}));
    if (i == 0) {
      EXPECT_TRUE(cache->SaveEvictable("b", MakeState({3}), "", "").ok());
    }
  }
  EXPECT_TRUE(FilesEndingWith(Own(dir), "corrupt-1").empty());
}

TEST(StateStore, TheIndexAndTheFileTellThatAStateIsEvictable) {
  const TempDir dir;
  std::string id;
  {
    const auto cache = OpenCache({.folder = dir.path()});
    id = cache->SaveEvictable("a", MakeState({1, 2}), "", "")->id;
    ASSERT_TRUE(cache->Save("a", MakeState({1, 3}), "", "").ok());
  }
  for (const bool without_index : {false, true}) {
    if (without_index) fs::remove(Index(dir));
    const auto cache = OpenCache({.folder = dir.path()});
    ASSERT_EQ(cache->List("a").size(), 2u);
    for (const StateInfo& info : cache->List("a")) EXPECT_EQ(info.evictable, info.id == id);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {1, 2}));
  }
}

TEST(StateStore, OneCacheHasAModelsStatesOpenAtATime) {
  const TempDir dir;
  auto first = OpenCache({.folder = dir.path()});
  const auto second = StateCache::Open({.folder = dir.path()}, StateConfig(), testing::kModelHash);
  ASSERT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(dir.path()));
  EXPECT_THAT(second.status().message(), ::testing::Not(HasSubstr("another process")));  // it is this one
  // Another model's are beside them.
  ASSERT_TRUE(first->Save("a", MakeState({1, 2}), "", "").ok());
  const auto other = StateCache::Open({.folder = dir.path()}, StateConfig(), "fedcba");
  ASSERT_TRUE(other.ok()) << other.status().message();
  EXPECT_TRUE((*other)->List("a").empty());
  EXPECT_EQ(Found(**other, "a", {1, 2, 3}), 0);
  first.reset();
  EXPECT_EQ(OpenCache({.folder = dir.path()})->List("a").size(), 1u);
  // No hash may lead out of the folder.
  EXPECT_EQ(StateCache::Open({.folder = dir.path()}, StateConfig(), "../x").status().code(),
            StatusCode::kInvalidArgument);
}

TEST(StateStore, SaysWhyAFolderCannotBeUsed) {
  const TempDir dir;
  ASSERT_TRUE(WriteStringToFile(dir.File("file"), "x").ok());
  const auto cache = StateCache::Open({.folder = dir.File("file")}, StateConfig(), testing::kModelHash);
  ASSERT_FALSE(cache.ok());
  EXPECT_THAT(cache.status().message(), HasSubstr(dir.File("file")));
}

TEST(StateStore, TextsMustBeUtf8) {
  const TempDir dir;
  const auto cache = OpenCache({.folder = dir.path()});
  EXPECT_EQ(cache->Save("a", MakeState({1}), "", "\xff").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cache->stats().disk_bytes, 0u);
  EXPECT_TRUE(FilesEndingWith(Own(dir), ".state").empty());
}

TEST(StateStore, AFullDiskCostsNothingThatWasSaved) {
  const TempDir dir;
  const auto cache = OpenCache({.memory_bytes = 0, .folder = dir.path()});
  const auto saved = cache->Save("a", MakeState({1, 2}), "", "");
  ASSERT_TRUE(saved.ok());
  // A limit on the size of files stands for a full disk: the system refuses in the middle of one.
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {700, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status full = cache->Save("a", MakeState({3, 4}), "", "").status();
  cache->Keep("a", MakeState({5, 6}));
  const Status flushed = cache->Flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(full.ok());
  EXPECT_THAT(full.message(), HasSubstr(dir.path()));
  EXPECT_TRUE(flushed.ok()) << flushed.message();  // the unnamed one is forgotten
  EXPECT_EQ(Found(*cache, "a", {5, 6}), 0);
  EXPECT_TRUE(IsStateOf(*cache->Fetch("a", saved->id), {1, 2}));
  EXPECT_EQ(cache->List("a").size(), 1u);
  EXPECT_EQ(FilesEndingWith(Own(dir), "").size(),
            4u);  // lock, index, its log, one state: nothing half-written
  EXPECT_TRUE(cache->Save("a", MakeState({3, 4}), "", "").ok());
}

// --- kill -9 at any moment

/// Saves, keeps and deletes until it is killed, and tells what it has done: "S id seed" (is saved), "d id"
/// (will be deleted), "D id" (is deleted).
[[noreturn]] void WriteUntilKilled(const std::string& folder, uint64_t seed, int out) {
  const auto say = [&](const std::string& line) {
    if (::write(out, line.data(), line.size()) < 0) _exit(1);
  };
  auto cache = StateCache::Open({.memory_bytes = 3000, .folder = folder}, StateConfig(), testing::kModelHash);
  if (!cache.ok()) _exit(2);
  say("ready\n");
  Random random(seed);
  for (;;) {
    const uint64_t text = random.Below(1u << 30);
    Random text_random(text);
    const Tokens tokens = RandomText(text_random, 2 + text % 7);
    if (random.Below(2) == 0) (*cache)->Keep("a", MakeState(tokens));
    const auto saved = (*cache)->Save("a", MakeState(tokens), "", std::to_string(text));
    if (!saved.ok()) _exit(3);
    say("S " + saved->id + " " + std::to_string(text) + "\n");
    const auto list = (*cache)->List("a");
    if (list.size() < 8) continue;
    const std::string id = list[random.Below(list.size())].id;
    say("d " + id + "\n");
    if (!(*cache)->Delete("a", id).ok()) _exit(4);
    say("D " + id + "\n");
  }
}

struct Told {
  std::map<std::string, uint64_t> saved;  ///< id → text
  std::set<std::string> deleted;
};

/// Kills the child some microseconds after it has told `lines` of what it does (however slow the disk is),
/// and adds all that it told.
void RunAndKill(const std::string& folder, uint64_t seed, int64_t lines, int microseconds, Told* told) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    WriteUntilKilled(folder, seed, ends[1]);
  }
  close(ends[1]);
  std::string text;
  const auto hear = [&] {
    char buffer[4096];
    const ssize_t n = read(ends[0], buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
    return n > 0;
  };
  while (std::count(text.begin(), text.end(), '\n') <= lines && hear()) continue;
  usleep(static_cast<useconds_t>(microseconds));
  kill(child, SIGKILL);
  while (hear()) continue;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
  std::istringstream words(text);
  for (std::string what, id; words >> what;) {
    if (what == "ready") continue;
    words >> id;
    if (what == "S") words >> told->saved[id];
    if (what == "d") told->saved.erase(id);
    if (what == "D") told->deleted.insert(id);
  }
}

TEST(StateStore, AKillAtAnyMomentCostsNothingThatWasSaved) {
  const TempDir dir;
  Told told;
  Random random(11);
  for (uint64_t round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    const auto lines = static_cast<int64_t>(random.Below(10));
    ASSERT_NO_FATAL_FAILURE(
        RunAndKill(dir.path(), round, lines, static_cast<int>(random.Below(5000)), &told));
    if (round % 3 == 2) fs::remove(Index(dir));  // even then
    const auto cache = OpenCache({.folder = dir.path()});
    ASSERT_NE(cache, nullptr);
    for (const auto& [id, text] : told.saved) {
      Random text_random(text);
      const Tokens tokens = RandomText(text_random, 2 + text % 7);
      const auto state = cache->Fetch("a", id);
      ASSERT_TRUE(state.ok()) << state.status().message();
      EXPECT_TRUE(IsStateOf(*state, tokens));
      EXPECT_EQ(cache->Info("a", id)->note, std::to_string(text));
    }
    for (const std::string& id : told.deleted) EXPECT_FALSE(cache->Info("a", id).ok()) << "it is back";
    // One more may have been saved, or one less deleted, than the child could tell.
    EXPECT_LE(cache->List("a").size(), told.saved.size() + round + 1);
    EXPECT_EQ(cache->stats().corrupt, 0);
    EXPECT_TRUE(FilesEndingWith(Own(dir), ".corrupt").empty());
  }
  EXPECT_GT(told.saved.size(), 0u);
  EXPECT_GT(told.deleted.size(), 0u);
}

}  // namespace
}  // namespace tern
