#include "infer/stop_strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "tests/infer/stop_strings_attack.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

StopStrings Watch(const std::vector<std::string>& stops) {
  auto made = StopStrings::Make(stops);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return *made;
}

TEST(StopStrings, PassesEverythingWithoutStops) {
  StopStrings watcher = Watch({});
  EXPECT_EQ(watcher.Push("abc"), "abc");
  EXPECT_EQ(watcher.Push(""), "");
  EXPECT_EQ(watcher.Finish(), "");
  EXPECT_FALSE(watcher.stopped());
}

TEST(StopStrings, HoldsBackWhatCouldBeginAStopAndHidesIt) {
  StopStrings watcher = Watch({"\n\nUser"});
  EXPECT_EQ(watcher.Push("Hello.\n"), "Hello.");
  EXPECT_EQ(watcher.Push("\nUs"), "");
  EXPECT_EQ(watcher.held(), 4u);
  EXPECT_EQ(watcher.Push("er: more"), "");
  EXPECT_TRUE(watcher.stopped());
  EXPECT_EQ(watcher.Push("ignored"), "");
  EXPECT_EQ(watcher.Finish(), "");
}

TEST(StopStrings, ReleasesWhatTurnedOutHarmless) {
  StopStrings watcher = Watch({"\n\nUser"});
  EXPECT_EQ(watcher.Push("a\n"), "a");
  EXPECT_EQ(watcher.Push("\n"), "");
  EXPECT_EQ(watcher.Push("\n"), "\n");  // the last two may still begin the stop
  EXPECT_EQ(watcher.Push("x"), "\n\nx");
  EXPECT_EQ(watcher.Push("\n\nUse"), "");
  EXPECT_EQ(watcher.Finish(), "\n\nUse");
  EXPECT_FALSE(watcher.stopped());
}

TEST(StopStrings, TheFirstToEndWins) {
  StopStrings watcher = Watch({"abcd", "bc"});
  EXPECT_EQ(watcher.Push("xab"), "x");
  EXPECT_EQ(watcher.Push("cd"), "a");
  EXPECT_TRUE(watcher.stopped());
}

TEST(StopStrings, OfThoseThatEndTogetherTheLongestIsHidden) {
  for (const std::vector<std::string>& stops :
       {std::vector<std::string>{"b", "ab"}, std::vector<std::string>{"ab", "b"}}) {
    StopStrings watcher = Watch(stops);
    EXPECT_EQ(watcher.Push("xa"), "x");
    EXPECT_EQ(watcher.Push("b"), "");
    EXPECT_TRUE(watcher.stopped());
  }
}

TEST(StopStrings, MatchesInTheMiddleOfAPieceAndOfACharacter) {
  StopStrings watcher = Watch({std::string("\x9f\x98", 2), std::string("\0z", 2)});
  EXPECT_EQ(watcher.Push("ok \xf0\x9f"), "ok \xf0");
  EXPECT_EQ(watcher.Push("\x98\x80 tail"), "");
  EXPECT_TRUE(watcher.stopped());
  StopStrings zero = Watch({std::string("\0z", 2)});
  EXPECT_EQ(zero.Push(std::string("a\0b\0z!", 6)), std::string("a\0b", 3));
  EXPECT_TRUE(zero.stopped());
}

TEST(StopStrings, CopiesGoTheirOwnWays) {
  StopStrings watcher = Watch({"stop"});
  EXPECT_EQ(watcher.Push("a st"), "a ");
  StopStrings fork = watcher;
  EXPECT_EQ(watcher.Push("op"), "");
  EXPECT_EQ(fork.Push("art"), "start");
  EXPECT_TRUE(watcher.stopped());
  EXPECT_FALSE(fork.stopped());
}

TEST(StopStrings, RefusesEmptyAndOversizedStops) {
  EXPECT_THAT(StopStrings::Make({"a", ""}).status().message(), HasSubstr("stop string 1 is empty"));
  const std::string half(StopStrings::kMaxBytes / 2, 'a');
  EXPECT_TRUE(StopStrings::Make({half, half}).ok());
  EXPECT_THAT(StopStrings::Make({half, half, "b"}).status().message(), HasSubstr("1048577 bytes"));
}

/// 100 KB of stops and 2 MB of the text that makes naive matchers quadratic: 10^11 steps for them.
TEST(StopStrings, AreLinearOnRepetitiveText) {
  std::string stop(100000, 'a');
  StopStrings watcher = Watch({stop + "b", "c" + stop + "d"});
  size_t shown = 0;
  for (int i = 0; i < 2000000; ++i) shown += watcher.Push("a").size();
  EXPECT_EQ(shown, 1900000u);
  EXPECT_EQ(watcher.Push("b"), "");
  EXPECT_TRUE(watcher.stopped());
}

TEST(StopStrings, AgreeWithASearchThroughTheWholeText) {
  int with_stop = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    Random random(seed);
    std::vector<uint8_t> data(1 + random.Below(120));
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(random.NextU64() >> 56);
    if (seed % 8 != 0) data[0] &= 0x7f;  // mostly the small alphabet
    ASSERT_EQ(AttackStopStrings(data.data(), data.size()), "") << "seed " << seed;
    with_stop += data[0] % 6 > 0;
  }
  EXPECT_GT(with_stop, 10000);
}

TEST(StopStrings, AgreeWithASearchOnLongTextsOfTwoLetters) {
  int stopped = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    const auto text = [&](size_t longest, size_t shortest) {
      std::string s(shortest + random.Below(longest - shortest + 1), 'a');
      for (char& c : s) c = static_cast<char>('a' + random.Below(2));
      return s;
    };
    std::vector<std::string> stops, pieces;
    for (uint64_t i = 0; i <= random.Below(4); ++i) stops.push_back(text(9, 4));
    std::string whole;
    for (int i = 0; i < 25; ++i) pieces.push_back(text(3, 0)), whole += pieces.back();
    ASSERT_EQ(CheckStopStrings(stops, pieces), "") << "seed " << seed;
    stopped += FindStop(stops, whole).stopped;
  }
  EXPECT_GT(stopped, 500);
  EXPECT_LT(stopped, 2900);
}

}  // namespace
}  // namespace tern
