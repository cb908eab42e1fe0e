// The sentences that embeddings are measured with are what docs/embeddings.md says of them.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "tests/testing/test_data.h"
#include "tools/content_words.h"

namespace tern {
namespace {

std::vector<std::vector<std::string>> Lines(const std::string& name) {
  std::vector<std::vector<std::string>> lines;
  std::ifstream file(testing::SourceDir() + "/tests/infer/" + name);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    lines.emplace_back();
    for (std::string field; std::getline(fields, field, '\t');) lines.back().push_back(field);
  }
  return lines;
}

TEST(Similarity, WordsAreCountedWithoutThoseThatOnlyHoldTheSentence) {
  const std::set<std::string> words = {"dog's", "bowl", "house", "dog"};
  EXPECT_EQ(ContentWords("The Dog's bowl is NOT in the house, dog!"), words);
  EXPECT_DOUBLE_EQ(WordOverlap("A dog sleeps.", "The dog eats."), 1.0 / 3);
  EXPECT_DOUBLE_EQ(WordOverlap("It is.", ""), 0);
}

TEST(Similarity, PairsHaveAGradeAndTwoSentences) {
  const auto lines = Lines("similarity.tsv");
  EXPECT_EQ(lines.size(), 42u);
  for (const auto& fields : lines) {
    ASSERT_EQ(fields.size(), 3u);
    const double grade = std::stod(fields[0]);
    EXPECT_TRUE(grade >= 0 && grade <= 5) << fields[0];
    EXPECT_NE(fields[1], fields[2]);
  }
}

TEST(Similarity, WordsAloneSayTheOppositeInTheAdversarialSet) {
  const auto lines = Lines("adversarial.tsv");
  std::map<std::string, int> kinds;
  for (const auto& fields : lines) {
    ASSERT_EQ(fields.size(), 4u);
    ++kinds[fields[0]];
    EXPECT_EQ(WordOverlap(fields[1], fields[2]), 0) << fields[1] << " / " << fields[2];
    EXPECT_EQ(WordOverlap(fields[1], fields[3]), 1) << fields[1] << " / " << fields[3];
    EXPECT_NE(fields[1], fields[3]);
  }
  EXPECT_EQ(kinds, (std::map<std::string, int>{{"negation", 12}, {"roles", 12}, {"place", 6}}));
}

}  // namespace
}  // namespace tern
