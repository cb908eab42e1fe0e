// A baseline that knows nothing of meaning: how many words two sentences share.
#pragma once

#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

namespace tern {

/// Words that hold a sentence together and say little of what it is about.
inline bool IsFunctionWord(const std::string& word) {
  static const std::set<std::string> kWords = {
      "a",    "about", "after", "all",  "an",   "and",  "any",   "are",   "as",    "at",   "away",  "be",    "because",
      "been", "before", "but",  "by",   "can",  "could", "did",  "do",    "does",  "for",  "from",  "had",   "has",
      "have", "he",    "her",   "him",  "his",  "i",    "in",    "into",  "is",    "it",   "its",   "me",    "my",
      "near", "no",    "nobody", "not", "nothing", "never", "of", "off",  "on",    "or",   "our",   "out",   "over",
      "she",  "so",    "that",  "the",  "their", "them", "then", "there", "they",  "this", "to",    "too",   "under",
      "up",   "us",    "very",  "was",  "we",   "were", "when",  "who",   "will",  "with", "without", "would", "you",
      "your"};
  return kWords.count(word) != 0;
}

/// The other words of a sentence, in small letters. Of ASCII letters and apostrophes.
inline std::set<std::string> ContentWords(std::string_view sentence) {
  std::set<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && !IsFunctionWord(word)) words.insert(word);
    word.clear();
  };
  for (const char c : sentence) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalpha(byte) != 0 || c == '\'') {
      word += static_cast<char>(std::tolower(byte));
    } else {
      end_word();
    }
  }
  end_word();
  return words;
}

/// Jaccard's index of the content words: shared ones over all ones, 0 to 1; 0 where there are none.
inline double WordOverlap(std::string_view a, std::string_view b) {
  const std::set<std::string> x = ContentWords(a), y = ContentWords(b);
  std::set<std::string> shared, all;
  std::set_intersection(x.begin(), x.end(), y.begin(), y.end(), std::inserter(shared, shared.end()));
  std::set_union(x.begin(), x.end(), y.begin(), y.end(), std::inserter(all, all.end()));
  return all.empty() ? 0 : static_cast<double>(shared.size()) / static_cast<double>(all.size());
}

}  // namespace tern
