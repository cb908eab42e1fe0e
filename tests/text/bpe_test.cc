#include "text/bpe.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/random.h"

namespace tern {
namespace {

/// Joins pairs as the definition says, one at a time.
std::vector<int32_t> ByDefinition(const std::string& word, const MergeTable& merges) {
  std::vector<int32_t> ids;
  for (const char c : word) ids.push_back(static_cast<uint8_t>(c));
  for (;;) {
    size_t best = 0;
    MergeTable::Merge merge;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const MergeTable::Merge here = merges.Find(ids[i], ids[i + 1]);
      if (here.rank < merge.rank) {
        merge = here;
        best = i;
      }
    }
    if (merge.rank == MergeTable::kNone) return ids;
    ids[best] = merge.id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(Bpe, JoinsShortAndLongWordsByTheDefinition) {
  std::vector<int32_t> bytes(256);
  for (int32_t i = 0; i < 256; ++i) bytes[static_cast<size_t>(i)] = i;
  constexpr uint64_t kSeed = 3;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int round = 0; round < 60; ++round) {
    // Ranks in any order: a token may be joined on with a lower rank than it was made with.
    const auto letters = static_cast<int32_t>(1 + random.Below(3));
    MergeTable merges(60);
    for (int32_t i = 0; i < 60; ++i) {
      const auto pick = [&] {
        const auto k = static_cast<int32_t>(random.Below(static_cast<uint64_t>(letters + i)));
        return k < letters ? 'a' + k : 256 + k - letters;
      };
      const int32_t left = pick();
      const int32_t right = pick();
      merges.Add(left, right, {static_cast<uint32_t>(i * 37 % 60), 256 + i});
    }
    for (const size_t length : {1, 2, 3, 17, 63, 64, 65, 66, 200, 500}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) {
        word.push_back(
            static_cast<char>('a' + static_cast<int>(random.Below(static_cast<uint64_t>(letters)))));
      }
      std::vector<int32_t> ids;
      AppendBpe(word, bytes.data(), merges, &ids);
      ASSERT_EQ(ids, ByDefinition(word, merges)) << word;
    }
  }
}

TEST(MergeTable, TellsAPairThatIsThereAlready) {
  MergeTable merges(2);
  EXPECT_TRUE(merges.Add(1, 2, {0, 300}));
  EXPECT_FALSE(merges.Add(1, 2, {1, 301}));
  EXPECT_TRUE(merges.Add(2, 1, {1, 301}));
  EXPECT_EQ(merges.Find(1, 2).id, 300);
  EXPECT_EQ(merges.Find(0, 0).rank, MergeTable::kNone);
  EXPECT_EQ(MergeTable(0).Find(0, 0).rank, MergeTable::kNone);
}

}  // namespace
}  // namespace tern
