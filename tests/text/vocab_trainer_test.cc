// Vocabularies learned from text.
#include "text/vocab_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "tests/testing/test_data.h"
#include "text/merge_candidates.h"
#include "text/token_worth.h"
#include "text/tokenizer.h"
#include "text/training_words.h"
#include "text/utf8.h"
#include "text/world_vocab.h"

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes;
  while (bytes.size() < size) bytes += static_cast<char>(random.Below(256));
  return bytes;
}

/// Sentences of a few words, with punctuation, digits, a multi-byte letter and line breaks.
std::string RandomProse(uint64_t seed, int sentences) {
  const char* const words[] = {"the",   "tern",  "flies", "north",   "n\xc3\xa9st",
                               "again", "don't", "42",    "sea-ice", "ter"};
  Random random(seed);
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    for (uint64_t n = 2 + random.Below(8); n > 0; --n)
      text += std::string(n > 1 ? " " : "") + words[random.Below(10)];
    text += random.Below(3) ? "." : "!\n\n";
  }
  return text;
}

std::vector<std::string> Train(const std::vector<std::string>& documents, VocabOptions options) {
  VocabTrainer trainer;
  for (const std::string& document : documents) trainer.Add(document);
  auto tokens = trainer.Train(options);
  EXPECT_TRUE(tokens.ok()) << tokens.status().message();
  return tokens.ok() ? *tokens : std::vector<std::string>();
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::vector<WordRange> ranges;
  while (!text.empty()) {
    const std::string_view chunk = text.substr(0, NextChunk(text));
    FindWords(chunk, &ranges);
    for (const WordRange& range : ranges)
      words.emplace_back(chunk.substr(range.begin, range.end - range.begin));
    text.remove_prefix(chunk.size());
  }
  return words;
}

TEST(TrainingWords, AreCutAsReadersSeeThem) {
  EXPECT_THAT(WordsOf("Don't go, Ann\xe2\x80\x99s 1990!"),
              ElementsAre("Don", "'t", " go", ",", " Ann", "\xe2\x80\x99s", " 1", "9", "9", "0", "!"));
  EXPECT_THAT(WordsOf("a  b\n\n c\n\nd "), ElementsAre("a", " ", " b", "\n\n", " c", "\n\n", "d", " "));
  EXPECT_THAT(WordsOf("'tis \"so\""), ElementsAre("'", "tis", " \"", "so", "\""));
  EXPECT_THAT(WordsOf("\xe0\xa4\x95\xe0\xa5\x8d\xe0\xa4\xb7 \xff\xfe x\xff"),
              ElementsAre("\xe0\xa4\x95\xe0\xa5\x8d\xe0\xa4\xb7", " x"))
      << "marks belong to letters, bytes that are no UTF-8 to nothing";
}

TEST(TrainingWords, ChunksCoverAnyBytes) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int round = 0; round < 300; ++round) {
    std::string text = RandomBytes(random, 1 + random.Below(400));
    if (round % 3 == 0) std::fill(text.begin(), text.begin() + static_cast<ptrdiff_t>(text.size() / 2), ' ');
    if (round % 3 == 1) text += std::string(300, 'x') + RandomProse(static_cast<uint64_t>(round), 3);
    std::vector<WordRange> words;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t length = NextChunk(rest);
      ASSERT_GT(length, 0u);
      ASSERT_LE(length, std::min(rest.size(), kMaxChunkBytes));
      const std::string_view chunk = rest.substr(0, length);
      FindWords(chunk, &words);
      uint32_t end = 0;
      for (const WordRange& word : words) {
        EXPECT_GE(word.begin, end);
        EXPECT_GT(word.end, word.begin);
        for (size_t at = word.begin; at < word.end;) {
          const Utf8Char next = DecodeUtf8(chunk, at);
          EXPECT_TRUE(next.valid);
          at += next.length;
        }
        end = word.end;
      }
      EXPECT_LE(end, chunk.size());
      rest.remove_prefix(length);
    }
  }
}

TEST(MergeCandidates, AreTheMostFrequentPairs) {
  const std::vector<CountedText> words = {{"abc", 5}, {"abd", 3}, {"xc\xc3\xa9", 4}};
  // é alone; then ab (8), then abc (5) — of its equals none — xc (4), xcé (4), abd (3).
  EXPECT_THAT(FindMergeCandidates(words, 100, 1),
              ElementsAre("\xc3\xa9", "ab", "abc", ::testing::_, ::testing::_, "abd"));
  EXPECT_THAT(FindMergeCandidates(words, 2, 1), ElementsAre("\xc3\xa9", "ab"));
  EXPECT_THAT(FindMergeCandidates(words, 100, 5), ElementsAre("ab", "abc"));
}

/// Tokens of a text, the slow way, without `banned`.
int64_t GreedyLength(const std::vector<std::string>& tokens, const std::string& text, size_t banned) {
  int64_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    size_t longest = 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i != banned && tokens[i].size() > longest && text.compare(at, tokens[i].size(), tokens[i]) == 0)
        longest = tokens[i].size();
    }
    at += longest;
  }
  return count;
}

TEST(TokenWorth, IsWhatTheTextGrowsByWithoutTheToken) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"ab", "abc", "bca", "cab", "aa", "aaa", "cc"}) tokens.emplace_back(token);
  constexpr uint64_t kSeed = 3;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int round = 0; round < 200; ++round) {
    // Short chunks: a token that occurs twice within what its first loss changes is counted as if alone.
    CountedText chunk{"", static_cast<int64_t>(1 + random.Below(5))};
    for (uint64_t n = 1 + random.Below(7); n > 0; --n) chunk.text += "abc"[random.Below(3)];
    const std::vector<int64_t> worth = WorthOfTokens({chunk}, tokens);
    const int64_t length = GreedyLength(tokens, chunk.text, tokens.size());
    for (size_t i = 256; i < tokens.size(); ++i) {
      if (chunk.text.find(tokens[i]) != chunk.text.rfind(tokens[i])) continue;  // overlapping uses
      EXPECT_EQ(worth[i], chunk.count * (GreedyLength(tokens, chunk.text, i) - length))
          << chunk.text << " " << tokens[i];
    }
  }
}

TEST(VocabTrainer, GivesTheSizeAskedForInOrder) {
  const std::string text = RandomProse(1, 500);
  for (const int32_t size : {257, 258, 280, 300}) {
    const std::vector<std::string> tokens = Train({text}, {.vocab_size = size});
    ASSERT_EQ(tokens.size(), static_cast<size_t>(size));
    EXPECT_EQ(tokens[0], "");
    for (size_t byte = 0; byte < 256; ++byte)
      EXPECT_EQ(tokens[byte + 1], std::string(1, static_cast<char>(byte)));
    for (size_t i = 257; i < tokens.size(); ++i) {
      EXPECT_GT(tokens[i].size(), 1u);
      EXPECT_TRUE(i == 257 ||
                  std::pair(tokens[i - 1].size(), tokens[i - 1]) < std::pair(tokens[i].size(), tokens[i]));
    }
    const auto tokenizer = MakeWorldTokenizer(tokens);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
    EXPECT_EQ((*tokenizer)->vocab_size(), size);
  }
}

TEST(VocabTrainer, TokensStayWithinWordsAndOccurOftenEnough) {
  const std::string text = RandomProse(2, 800) + "once\xff\xfe" + "\xff\xfe";
  const std::vector<std::string> tokens = Train({text}, {.vocab_size = 300, .min_count = 5});
  const std::vector<std::string> words = WordsOf(text);
  for (size_t i = 257; i < tokens.size(); ++i) {
    const auto uses = std::count_if(words.begin(), words.end(), [&](const std::string& word) {
      return word.find(tokens[i]) != std::string::npos;
    });
    EXPECT_GE(uses, 5) << tokens[i];
  }
}

TEST(VocabTrainer, TheSameTextGivesTheSameTokens) {
  std::vector<std::string> documents;
  for (uint64_t seed = 0; seed < 20; ++seed) documents.push_back(RandomProse(seed, 30));
  SetNumThreads(1);
  const auto expected = Train(documents, {.vocab_size = 300});
  std::reverse(documents.begin(), documents.end());
  SetNumThreads(3);
  EXPECT_EQ(Train(documents, {.vocab_size = 300}), expected);
  SetNumThreads(0);
}

TEST(VocabTrainer, AnyBytesGoRound) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  const std::string noise = RandomBytes(random, 5000);
  const std::vector<std::string> tokens =
      Train({RandomProse(4, 300), noise, "\n\r\t'\\\"\xc2\x85\xe2\x80\xa8\n\r\t'\\\""}, {.vocab_size = 320});
  const auto tokenizer = ParseWorldTokenizer(FormatWorldVocab(tokens), "learned");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  for (int round = 0; round < 20; ++round) {
    const std::string text =
        RandomBytes(random, random.Below(300)) + RandomProse(static_cast<uint64_t>(round), 3);
    EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode(text)), text);
  }
}

TEST(VocabTrainer, DroppingTokensBeatsPlainMerges) {
  TERN_REQUIRE_TEST_DATA(data);
  const auto text = ReadFileToString(data + "/text/stories.txt");
  ASSERT_TRUE(text.ok());
  constexpr size_t cut = 4'000'000, end = 5'000'000;
  std::map<double, size_t> length;
  for (const double candidates : {1.0, 2.0}) {
    const auto tokenizer =
        MakeWorldTokenizer(Train({text->substr(0, cut)}, {.vocab_size = 1024, .candidates = candidates}));
    ASSERT_TRUE(tokenizer.ok());
    length[candidates] = (*tokenizer)->Encode(text->substr(cut, end - cut)).size();
  }
  EXPECT_LT(length[2.0], length[1.0]) << "on text that was not learned";
  EXPECT_LT(length[2.0] * 3, end - cut) << "more than 3 bytes a token";
}

TEST(VocabTrainer, SaysWhenTheTextIsTooSmall) {
  VocabTrainer trainer;
  trainer.Add("the tern, the tern, the sea");
  const auto tokens = trainer.Train({.vocab_size = 1000});
  ASSERT_FALSE(tokens.ok());
  EXPECT_THAT(tokens.status().message(), HasSubstr("ask for a vocabulary of"));
  for (const int32_t size : {0, 256, (1 << 20) + 1}) EXPECT_FALSE(trainer.Train({.vocab_size = size}).ok());
  VocabOptions stopped{.vocab_size = 258};
  stopped.progress = [](double) { return false; };
  EXPECT_EQ(trainer.Train(stopped).status().code(), StatusCode::kCancelled);
}

TEST(WorldVocabFile, ReadsBackWhatWasWritten) {
  std::vector<std::string> tokens = {""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"", " it's", "a\\b", "\n\n", "\xe5\xa4\x8f", "\xe5\xa4", "\xe2\x80\xa8x",
                            "\xc2\x9b", "\xef\xbb\xbf", "\"'"}) {
    tokens.emplace_back(token);
  }
  const std::string content = FormatWorldVocab(tokens);
  const auto read = ParseWorldVocab(content, "written");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, tokens);
  EXPECT_THAT(content, HasSubstr("\n258 ' it\\'s' 5\n")) << "a gap at 257";
}

}  // namespace
}  // namespace tern
