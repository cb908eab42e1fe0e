// Kept states: what is found, what is forgotten, and whose it is.
#include "infer/state_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "tests/infer/state_testing.h"
#include "tests/testing/test_data.h"

namespace tern {
namespace {

using testing::Found;
using ::testing::HasSubstr;
using testing::IsStateOf;
using testing::MakeState;
using testing::OpenCache;
using testing::RandomText;
using testing::StateBytes;
using testing::StatePtr;
using testing::TempDir;
using testing::Tokens;

constexpr uint64_t kMuch = uint64_t{1} << 30;

TEST(StateCache, FindsTheLongestKeptBeginning) {
  const auto cache = OpenCache({});
  cache->Keep("", MakeState({1, 2}));
  cache->Keep("", MakeState({1, 2, 3, 4}));
  cache->Keep("", MakeState({1, 9, 9}));
  EXPECT_EQ(Found(*cache, "", {1, 2, 3, 4, 5}), 4);
  EXPECT_EQ(Found(*cache, "", {1, 2, 3, 5}), 2);
  EXPECT_EQ(Found(*cache, "", {1, 2}), 2);
  EXPECT_EQ(Found(*cache, "", {1}), 0);
  EXPECT_EQ(Found(*cache, "", {2, 1, 2}), 0);
  EXPECT_EQ(Found(*cache, "", {}), 0);
  const StateCacheStats stats = cache->stats();
  EXPECT_EQ(stats.hits, 3);
  EXPECT_EQ(stats.misses, 3);
  EXPECT_EQ(stats.states, 3);
  EXPECT_EQ(stats.named, 0);
}

TEST(StateCache, AWholeTextCountsOnlyWithLogits) {
  const auto cache = OpenCache({});
  cache->Keep("", MakeState({1, 2}));
  cache->Keep("", MakeState({1, 2, 3}, /*with_logits=*/false));
  EXPECT_EQ(Found(*cache, "", {1, 2, 3}), 2);
  EXPECT_EQ(Found(*cache, "", {1, 2, 3, 4}), 3);
  cache->Keep("", MakeState({1, 2, 3}));
  EXPECT_EQ(Found(*cache, "", {1, 2, 3}), 3);
  EXPECT_EQ(cache->stats().states, 2);
  // One that has logits does not lose them again.
  cache->Keep("", MakeState({1, 2, 3}, /*with_logits=*/false));
  EXPECT_EQ(Found(*cache, "", {1, 2, 3}), 3);
  EXPECT_EQ(cache->stats().states, 2);
}

TEST(StateCache, DoesNotKeepWhatIsOfAnotherModel) {
  const auto cache = OpenCache({});
  ModelConfig wider = testing::StateConfig();
  wider.layers = 2;
  const auto foreign = std::make_shared<const KeptState>(KeptState{{1, 2}, State(StateLayout(wider)), {}});
  cache->Keep("", foreign);
  EXPECT_EQ(Found(*cache, "", {1, 2, 3}), 0);
  EXPECT_EQ(cache->Save("", foreign, "", "").status().code(), StatusCode::kInvalidArgument);
  KeptState few_logits = *MakeState({1, 2});
  few_logits.logits.pop_back();
  EXPECT_EQ(cache->Save("", std::make_shared<const KeptState>(few_logits), "", "").status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(cache->Save("", nullptr, "", "").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cache->stats().states, 0);
}

TEST(StateCache, AgreesWithASlowSearch) {
  for (const bool on_disk : {false, true}) {
    SCOPED_TRACE(on_disk);
    const TempDir dir;
    // With a folder and no memory each place goes to disk at once, and comes back from there.
    const auto cache = OpenCache({.memory_bytes = on_disk ? 0 : kMuch, .folder = on_disk ? dir.path() : ""});
    std::map<std::string, std::set<Tokens>> kept;
    Random random(7);
    for (int i = 0; i < (on_disk ? 60 : 1000); ++i) {
      const std::string owner = random.Below(2) == 0 ? "a" : "b";
      const Tokens tokens = RandomText(random, 1 + random.Below(8), 2);
      if (random.Below(3) == 0) {
        cache->Keep(owner, MakeState(tokens));
        ASSERT_TRUE(cache->Flush().ok());
        kept[owner].insert(tokens);
        continue;
      }
      size_t longest = 0;
      for (const Tokens& beginning : kept[owner]) {
        const bool begins = beginning.size() <= tokens.size() &&
                            std::equal(beginning.begin(), beginning.end(), tokens.begin());
        if (begins) longest = std::max(longest, beginning.size());
      }
      ASSERT_EQ(Found(*cache, owner, tokens), static_cast<int64_t>(longest)) << "step " << i;
    }
    EXPECT_EQ(cache->stats().evictions, 0);
    EXPECT_EQ(cache->stats().states, static_cast<int64_t>(kept["a"].size() + kept["b"].size()));
  }
}

TEST(StateCache, ForgetsTheLeastRecentlyUsedOfAllOwners) {
  const auto cache = OpenCache({.memory_bytes = 4 * StateBytes()});
  for (int32_t i = 0; i < 4; ++i) cache->Keep(i % 2 == 0 ? "a" : "b", MakeState({i, i}));
  EXPECT_EQ(Found(*cache, "a", {0, 0, 1}), 2);
  cache->Keep("a", MakeState({4, 4}));
  EXPECT_EQ(Found(*cache, "b", {1, 1, 1}), 0);
  EXPECT_EQ(Found(*cache, "a", {0, 0, 1}), 2);
  cache->Keep("b", MakeState({3, 3}));  // there already: only used
  cache->Keep("b", MakeState({5, 5}));
  EXPECT_EQ(Found(*cache, "a", {2, 2, 2}), 0);
  EXPECT_EQ(Found(*cache, "b", {3, 3, 3}), 2);
  EXPECT_EQ(cache->stats().evictions, 2);
  EXPECT_LE(cache->stats().memory_bytes, 4 * StateBytes());
  EXPECT_EQ(cache->stats().states, 4);
}

TEST(StateCache, NamedStatesCanBeListedFetchedAndDeleted) {
  const TempDir dir;
  for (const std::string& folder : {std::string(), dir.path()}) {
    const auto cache = OpenCache({.folder = folder});
    const auto first = cache->Save("a", MakeState({1, 2, 3}), "", "a title: ü \" \\ \n");
    ASSERT_TRUE(first.ok()) << first.status().message();
    const auto second = cache->Save("a", MakeState({1, 2, 3, 4}, false), first->id, "");
    ASSERT_TRUE(second.ok()) << second.status().message();
    EXPECT_THAT(first->id, ::testing::MatchesRegex("st_[0-9a-f]{32}"));
    const auto list = cache->List("a");
    ASSERT_EQ(list.size(), 2u);
    EXPECT_EQ(list[0].id, first->id);
    EXPECT_EQ(list[0].note, "a title: ü \" \\ \n");
    EXPECT_EQ(list[0].tokens, 3);
    EXPECT_GT(list[0].bytes, 100u);
    EXPECT_GT(list[0].created, 1700000000);
    EXPECT_TRUE(list[0].in_memory);
    EXPECT_EQ(list[1].parent, first->id);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", first->id), {1, 2, 3}));
    EXPECT_EQ(Found(*cache, "a", {1, 2, 3, 4}), 3);  // the longer one has no logits
    EXPECT_EQ(Found(*cache, "a", {1, 2, 3, 4, 5}), 4);
    ASSERT_TRUE(cache->Delete("a", first->id).ok());
    EXPECT_EQ(cache->Fetch("a", first->id).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(cache->Delete("a", first->id).code(), StatusCode::kNotFound);
    EXPECT_EQ(Found(*cache, "a", {1, 2, 3, 4}), 0);
    EXPECT_EQ(cache->stats().named, 1);
    ASSERT_TRUE(cache->Delete("a", second->id).ok());
    EXPECT_EQ(cache->stats().memory_bytes, 0u);
    EXPECT_EQ(cache->stats().disk_bytes, 0u);
  }
}

TEST(StateCache, ANamedStateTakesTheUnnamedOnesPlace) {
  const auto cache = OpenCache({});
  const StatePtr state = MakeState({1, 2, 3});
  cache->Keep("a", state);
  const auto saved = cache->Save("a", state, "", "");
  ASSERT_TRUE(saved.ok());
  EXPECT_EQ(cache->stats().states, 1);
  cache->Keep("a", state);
  EXPECT_EQ(cache->stats().states, 1);
  // An unnamed one with logits beside a named one without.
  ASSERT_TRUE(cache->Save("a", MakeState({7, 8}, false), "", "").ok());
  cache->Keep("a", MakeState({7, 8}));
  EXPECT_EQ(Found(*cache, "a", {7, 8}), 2);
}

TEST(StateCache, ForksShareTheirNumbers) {
  const auto cache = OpenCache({.memory_bytes = 2 * StateBytes()});
  const auto saved = cache->Save("a", MakeState({1, 2, 3}), "", "");
  ASSERT_TRUE(saved.ok());
  const uint64_t one = cache->stats().memory_bytes;
  std::vector<std::string> ids = {saved->id};
  for (int i = 0; i < 10; ++i) {
    const auto fork = cache->Save("a", *cache->Fetch("a", ids.back()), ids.back(), "");
    ASSERT_TRUE(fork.ok()) << fork.status().message();
    ids.push_back(fork->id);
  }
  EXPECT_EQ(cache->stats().memory_bytes, one);
  for (const std::string& id : ids) EXPECT_TRUE(cache->Delete("a", id).ok());
  EXPECT_EQ(cache->stats().memory_bytes, 0u);
}

TEST(StateCache, WithoutAFolderNamedStatesStayAndMustFit) {
  const auto cache = OpenCache({.memory_bytes = 3 * StateBytes()});
  std::vector<std::string> ids;
  for (int32_t i = 0; i < 3; ++i) {
    cache->Keep("a", MakeState({9, i}));
    const auto saved = cache->Save("a", MakeState({1, i}), "", "");
    ASSERT_TRUE(saved.ok()) << saved.status().message();
    ids.push_back(saved->id);
  }
  const auto more = cache->Save("a", MakeState({1, 3}), "", "");
  EXPECT_EQ(more.status().code(), StatusCode::kExhausted);
  EXPECT_THAT(more.status().message(), HasSubstr(std::to_string(3 * StateBytes())));
  for (int32_t i = 0; i < 3; ++i)
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", ids[static_cast<size_t>(i)]), {1, i}));
  EXPECT_EQ(Found(*cache, "a", {9, 2, 2}), 0);  // unnamed ones made room
  ASSERT_TRUE(cache->Delete("a", ids[0]).ok());
  EXPECT_TRUE(cache->Save("a", MakeState({1, 3}), "", "").ok());
}

TEST(StateCache, AStateIsReplacedWhereThereIsRoomForTheDifferenceOnly) {
  const TempDir dir;
  for (const std::string& folder : {std::string(), dir.path()}) {
    StateCacheOptions options = {.memory_bytes = 2 * StateBytes(), .folder = folder};
    if (!folder.empty()) {  // two files, however large one is
      const auto saved = OpenCache(options)->Save("b", MakeState({5, 5}), "", "");
      ASSERT_TRUE(saved.ok());
      const uint64_t file = OpenCache(options)->stats().disk_bytes;
      ASSERT_GT(file, 500u);
      ASSERT_TRUE(OpenCache(options)->Delete("b", saved->id).ok());
      options.disk_bytes = 2 * file + 2000;  // less than is reserved for a third
    }
    auto cache = OpenCache(options);
    std::string id = cache->Save("a", MakeState({1, 2}), "", "talk")->id;
    ASSERT_TRUE(cache->Save("b", MakeState({1, 2}), "", "").ok());
    ASSERT_EQ(cache->Save("a", MakeState({1, 3}), "", "").status().code(), StatusCode::kExhausted);
    for (int32_t i = 0; i < 5; ++i) {
      const auto next = cache->Replace("a", id, MakeState({3, i}), "", "talk");
      ASSERT_TRUE(next.ok()) << next.status().message();
      EXPECT_EQ(cache->Info("a", id).status().code(), StatusCode::kNotFound);
      id = next->id;
      EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {3, i}));
      EXPECT_EQ(cache->stats().named, 2);
    }
    // Another owner's makes no room, nor does one that is not there; what was to be replaced stays.
    const std::string others = cache->List("b").front().id;
    for (const std::string& wrong : {others, std::string("st_none")}) {
      EXPECT_EQ(cache->Replace("a", wrong, MakeState({1, 3}), "", "").status().code(),
                StatusCode::kExhausted);
    }
    EXPECT_FALSE(cache->Replace("a", id, MakeState(Tokens(5000)), "", "").ok());
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {3, 4}));
    EXPECT_TRUE(IsStateOf(*cache->Fetch("b", others), {1, 2}));
    if (folder.empty()) continue;
    cache.reset();
    EXPECT_EQ(OpenCache(options)->List("a").size(), 1u);
  }
}

TEST(StateCache, NothingOfOneOwnerIsSeenByAnother) {
  const TempDir dir;
  const auto cache = OpenCache({.folder = dir.path()});
  cache->Keep("a", MakeState({1, 2, 3}));
  const auto saved = cache->Save("a", MakeState({4, 5}), "", "secret");
  ASSERT_TRUE(saved.ok());
  const std::string unknown = "st_00000000000000000000000000000000";
  const auto with = [](std::string message, const std::string& from, const std::string& to) {
    return message.replace(message.find(from), from.size(), to);
  };
  for (const std::string owner : {"b", "", "A"}) {
    EXPECT_EQ(Found(*cache, owner, {1, 2, 3, 4}), 0);
    EXPECT_EQ(Found(*cache, owner, {4, 5, 6}), 0);
    EXPECT_TRUE(cache->List(owner).empty());
    const Status statuses[] = {cache->Info(owner, saved->id).status(),
                               cache->Fetch(owner, saved->id).status(), cache->Delete(owner, saved->id)};
    for (const Status& status : statuses) {
      EXPECT_EQ(status.code(), StatusCode::kNotFound);
      EXPECT_EQ(status.message(), with(cache->Info(owner, unknown).status().message(), unknown, saved->id));
    }
  }
  // The same tokens of another owner are another state.
  cache->Keep("b", MakeState({1, 2, 3}));
  EXPECT_EQ(cache->stats().states, 3);
  EXPECT_TRUE(IsStateOf(*cache->Fetch("a", saved->id), {4, 5}));
}

TEST(StateCache, WhatMemoryHasNoRoomForGoesToTheFolderAndComesBack) {
  const TempDir dir;
  const StateCacheOptions options = {.memory_bytes = 2 * StateBytes(), .folder = dir.path()};
  std::string id;
  {
    const auto cache = OpenCache(options);
    const auto saved = cache->Save("a", MakeState({8, 8}), "", "kept");
    ASSERT_TRUE(saved.ok());
    id = saved->id;
    for (int32_t i = 0; i < 6; ++i) {
      cache->Keep("a", MakeState({1, i, i}));
      ASSERT_TRUE(cache->Flush().ok());  // so that no queue is full
    }
    EXPECT_LE(cache->stats().memory_bytes, options.memory_bytes);
    EXPECT_EQ(cache->stats().evictions, 0);
    EXPECT_EQ(cache->stats().disk_writes, 7);
    EXPECT_FALSE(cache->Info("a", id)->in_memory);
    for (int32_t i = 0; i < 6; ++i) EXPECT_EQ(Found(*cache, "a", {1, i, i, 9}), 3);
    EXPECT_GE(cache->stats().disk_reads, 4);
    EXPECT_LE(cache->stats().memory_bytes, options.memory_bytes);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {8, 8}));
    EXPECT_TRUE(cache->Info("a", id)->in_memory);
  }
  const auto cache = OpenCache(options);
  EXPECT_EQ(cache->stats().states, 7);
  EXPECT_EQ(cache->stats().memory_bytes, 0u);
  for (int32_t i = 0; i < 6; ++i) EXPECT_EQ(Found(*cache, "a", {1, i, i, 9}), 3);
  EXPECT_EQ(Found(*cache, "b", {1, 1, 1, 9}), 0);
  EXPECT_EQ(cache->Info("a", id)->note, "kept");
  EXPECT_TRUE(IsStateOf(*cache->Fetch("a", id), {8, 8}));
}

TEST(StateCache, FlushWritesTheMostRecentOnesThatFit) {
  const TempDir dir;
  StateCacheOptions options = {.folder = dir.path(), .disk_bytes = 12000};
  {
    const auto cache = OpenCache(options);
    for (int32_t i = 0; i < 40; ++i) cache->Keep("a", MakeState({1, i, i}));
    EXPECT_EQ(cache->stats().disk_writes, 0);
    ASSERT_TRUE(cache->Flush().ok());
    EXPECT_EQ(cache->stats().states, 40);
  }
  int64_t reopened = 0;
  {
    const auto cache = OpenCache(options);
    reopened = cache->stats().states;
    EXPECT_GE(reopened, 4);
    EXPECT_LE(cache->stats().disk_bytes, options.disk_bytes);
    for (int32_t i = 0; i < 40; ++i) EXPECT_EQ(Found(*cache, "a", {1, i, i}), i < 40 - reopened ? 0 : 3) << i;
  }
  options.disk_bytes = 5000;  // less than there is
  const auto cache = OpenCache(options);
  EXPECT_LT(cache->stats().states, reopened);
  EXPECT_LE(cache->stats().disk_bytes, options.disk_bytes);
  EXPECT_EQ(Found(*cache, "a", {1, 39, 39}), 3);
}

TEST(StateCache, GivesUpMemoryButNoNamedState) {
  const TempDir dir;
  for (const std::string& folder : {std::string(), dir.path()}) {
    const auto cache = OpenCache({.folder = folder});
    cache->Keep("a", MakeState({1, 2}));
    const auto saved = cache->Save("a", MakeState({3, 4}), "", "");
    ASSERT_TRUE(saved.ok() && cache->Flush().ok());
    const uint64_t before = cache->stats().memory_bytes;
    cache->GiveUpMemory();
    EXPECT_EQ(cache->stats().memory_bytes, folder.empty() ? before / 2 : 0);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", saved->id), {3, 4}));
    EXPECT_EQ(Found(*cache, "a", {1, 2, 3}), folder.empty() ? 0 : 2);
  }
}

TEST(StateCache, TheFolderForgetsUnnamedStatesForNamedOnesAndThenRefuses) {
  const TempDir dir;
  const StateCacheOptions options = {.memory_bytes = StateBytes(), .folder = dir.path(), .disk_bytes = 20000};
  const auto cache = OpenCache(options);
  for (int32_t i = 0; i < 4; ++i) {
    cache->Keep("a", MakeState({1, i, i}));
    ASSERT_TRUE(cache->Flush().ok());
  }
  std::vector<std::string> ids;
  Status status;
  while (status.ok() && ids.size() < 100) {
    const auto saved = cache->Save("a", MakeState({2, static_cast<int32_t>(ids.size())}), "", "");
    status = saved.status();
    if (saved.ok()) ids.push_back(saved->id);
  }
  EXPECT_GE(ids.size(), 5u);
  EXPECT_EQ(status.code(), StatusCode::kExhausted);
  EXPECT_THAT(status.message(), HasSubstr("20000"));
  EXPECT_LE(cache->stats().disk_bytes, options.disk_bytes);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", ids[i]), {2, static_cast<int32_t>(i)}));
  }
  ASSERT_TRUE(cache->Delete("a", ids[0]).ok());
  EXPECT_TRUE(cache->Save("a", MakeState({3}), "", "").ok());
}

TEST(StateCache, EvictableStatesLeaveInTheOrderOfUseAndOthersStay) {
  const TempDir dir;
  for (const std::string& folder : {std::string(), dir.path()}) {
    StateCacheOptions options = {.memory_bytes = 4 * StateBytes(), .folder = folder};
    if (!folder.empty()) options.disk_bytes = 8000;  // a handful
    const auto cache = OpenCache(options);
    const std::string stays = cache->Save("a", MakeState({1, 2}), "", "")->id;
    std::vector<std::string> ids;
    for (int32_t i = 0; i < 2; ++i) ids.push_back(cache->SaveEvictable("b", MakeState({2, i}), "", "")->id);
    for (int32_t i = 2; i < 12; ++i) {
      ASSERT_TRUE(cache->Fetch("b", ids[0]).ok()) << i;  // used again and again: it may stay
      const auto saved = cache->SaveEvictable("b", MakeState({2, i}), "", "");
      ASSERT_TRUE(saved.ok()) << saved.status().message();
      EXPECT_TRUE(saved->evictable);
      ids.push_back(saved->id);
    }
    EXPECT_EQ(cache->Info("b", ids[1]).status().code(), StatusCode::kNotFound);
    EXPECT_TRUE(IsStateOf(*cache->Fetch("b", ids.back()), {2, 11}));
    EXPECT_TRUE(IsStateOf(*cache->Fetch("a", stays), {1, 2}));
    const StateCacheStats stats = cache->stats();
    EXPECT_EQ(stats.named, stats.evictable + 1);
    EXPECT_GT(stats.evictions, 0);
    EXPECT_LE(stats.memory_bytes, options.memory_bytes);
    if (!folder.empty()) {
      EXPECT_LE(stats.disk_bytes, options.disk_bytes);
    }
  }
}

TEST(StateCache, AStateThatStaysTakesTheRoomOfEvictableOnesButNotTheOtherWay) {
  const auto cache = OpenCache({.memory_bytes = 2 * StateBytes()});
  for (int32_t i = 0; i < 2; ++i) ASSERT_TRUE(cache->SaveEvictable("a", MakeState({2, i}), "", "").ok());
  for (int32_t i = 0; i < 2; ++i) ASSERT_TRUE(cache->Save("a", MakeState({3, i}), "", "").ok());
  EXPECT_EQ(cache->stats().evictable, 0);
  EXPECT_EQ(cache->SaveEvictable("a", MakeState({4}), "", "").status().code(), StatusCode::kExhausted);
  EXPECT_EQ(cache->stats().not_kept, 1);
  EXPECT_EQ(cache->List("a").size(), 2u);
}

TEST(StateCache, ListsTheStatesOfAllOwnersToWhoeverLooksAfterThem) {
  const auto cache = OpenCache({});
  ASSERT_TRUE(cache->Save("a", MakeState({1}), "", "").ok());
  ASSERT_TRUE(cache->SaveEvictable("b", MakeState({1}), "", "").ok());
  const auto all = cache->ListAll();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].owner, "a");
  EXPECT_EQ(all[1].owner, "b");
}

TEST(StateCache, ManyThreadsGetWhatIsTheirs) {
  const TempDir dir;
  const auto cache = OpenCache({.memory_bytes = 6 * StateBytes(), .folder = dir.path(), .disk_bytes = 40000});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      const std::string owner = t < 2 ? "a" : "b";  // two threads share an owner
      Random random(static_cast<uint64_t>(t));
      std::vector<std::pair<std::string, Tokens>> saved;
      for (int i = 0; i < 150; ++i) {
        const Tokens tokens = RandomText(random, 1 + random.Below(6), 3, t < 2 ? 1 : 2);
        const uint64_t what = random.Below(10);
        if (what < 4) {
          cache->Keep(owner, MakeState(tokens, random.Below(2) == 0));
        } else if (what < 8) {
          EXPECT_GE(Found(*cache, owner, tokens), 0);
          EXPECT_EQ(Found(*cache, "c", tokens), 0);
        } else if (what == 8 && saved.size() < 3) {
          const auto info = cache->Save(owner, MakeState(tokens), "", "n");
          EXPECT_TRUE(info.ok()) << info.status().message();
          if (info.ok()) saved.emplace_back(info->id, tokens);
        } else if (!saved.empty()) {
          const auto [id, expected] = saved.front();
          EXPECT_TRUE(IsStateOf(*cache->Fetch(owner, id), expected));
          EXPECT_TRUE(cache->Delete(owner, id).ok());
          saved.erase(saved.begin());
        } else {
          EXPECT_TRUE(cache->Flush().ok());
        }
      }
      for (const auto& [id, tokens] : saved) EXPECT_TRUE(IsStateOf(*cache->Fetch(owner, id), tokens));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache->stats().corrupt, 0);
  EXPECT_LE(cache->stats().disk_bytes, 40000u);
}

}  // namespace
}  // namespace tern
