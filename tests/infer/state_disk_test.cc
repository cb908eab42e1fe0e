// Kept states on a disk that is full or cannot be written, for real: a file system of a few hundred KiB that
// a child process mounts for itself alone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tests/infer/state_testing.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using testing::IsStateOf;
using testing::MakeState;
using testing::OpenCache;
using testing::TempDir;
using testing::Tokens;

constexpr int kNoMount = 99;

bool Write(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  return written;
}

/// Puts a file system of that size at `folder`, which this process alone sees. Works without privileges where
/// the system lets users have namespaces of their own.
bool MountSmallDisk(const std::string& folder, const std::string& size) {
  const std::string user = std::to_string(::getuid()), group = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  if (!Write("/proc/self/uid_map", "0 " + user + " 1") || !Write("/proc/self/setgroups", "deny") ||
      !Write("/proc/self/gid_map", "0 " + group + " 1")) {
    return false;
  }
  return ::mount("none", folder.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
}

/// Runs `work` in a child that has a small disk at `folder`. Its expectations are this test's.
void RunOnSmallDisk(const std::string& folder, const std::string& size, const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!MountSmallDisk(folder, size)) _exit(kNoMount);
    work();
    std::fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == kNoMount) GTEST_SKIP() << "no file system can be mounted here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(StateDisk, EvictableStatesMakeRoomOnAFullDisk) {
  const TempDir dir;
  RunOnSmallDisk(dir.path(), "8m", [&] {
    const auto cache = OpenCache({.memory_bytes = 0, .folder = dir.path()});  // a budget of 8 GiB
    const std::string stays = cache->Save("a", MakeState({1, 2}), "", "")->id;
    // 400 KB each, so that the index and its log are small beside them.
    const auto text = [](int32_t i) {
      Tokens tokens(100'000, 3);
      tokens[0] = i;
      return tokens;
    };
    std::string last;
    for (int32_t i = 0; i < 40; ++i) {
      const auto saved = cache->SaveEvictable("a", MakeState(text(i)), "", "");
      ASSERT_TRUE(saved.ok()) << i << ": " << saved.status().message();
      last = saved->id;
    }
    EXPECT_GT(cache->stats().evictions, 0);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", last), text(39)));
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", stays), {1, 2}));
  });
}

TEST(StateDisk, StatesThatStayFillADiskAndThenSavingFails) {
  const TempDir dir;
  RunOnSmallDisk(dir.path(), "600k", [&] {
    auto cache = OpenCache({.memory_bytes = 0, .folder = dir.path()});
    std::vector<std::string> ids;
    Status status;
    while (status.ok() && ids.size() < 300) {
      const auto saved = cache->Save("a", MakeState({2, static_cast<int32_t>(ids.size())}), "", "");
      status = saved.status();
      if (saved.ok()) ids.push_back(saved->id);
    }
    EXPECT_EQ(status.code(), StatusCode::kExhausted) << status.message();
    EXPECT_GT(ids.size(), 10u);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_TRUE(IsStateOf(*cache->Fetch("a", ids[i]), {2, static_cast<int32_t>(i)}));
    }
    ASSERT_TRUE(cache->Delete("a", ids[0]).ok());
    cache.reset();
    cache = OpenCache({.memory_bytes = 0, .folder = dir.path()});
    EXPECT_EQ(cache->List("a").size(), ids.size() - 1);
  });
}

TEST(StateDisk, AFolderThatCannotBeWrittenAnyMoreStillGivesItsStates) {
  const TempDir dir;
  RunOnSmallDisk(dir.path(), "2m", [&] {
    const auto cache = OpenCache({.memory_bytes = 0, .folder = dir.path() + "/states"});
    const std::string id = cache->Save("a", MakeState({1, 2}), "", "")->id;
    // The disk itself cannot become read-only while the index is open: a second mount of it can.
    ASSERT_EQ(::mount(dir.path().c_str(), dir.path().c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, dir.path().c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    for (const bool evictable : {false, true}) {
      const Status full = evictable ? cache->SaveEvictable("a", MakeState({1, 3}), "", "").status()
                                    : cache->Save("a", MakeState({1, 3}), "", "").status();
      EXPECT_EQ(full.code(), StatusCode::kIo) << full.message();
    }
    cache->Keep("a", MakeState({4, 5}));
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {1, 2}));
    EXPECT_EQ(cache->List("a").size(), 1u);
  });
}

}  // namespace
}  // namespace tern
