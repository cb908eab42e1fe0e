// Random patterns and all short texts, for tests of regular languages against brute force.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/regular_language.h"

namespace tern::testing {

/// All texts of these characters up to a length, by length and then in the alphabet's order.
inline std::vector<std::string> TextsOver(std::string_view alphabet, size_t longest) {
  std::vector<std::string> texts = {""};
  for (size_t begin = 0, length = 0; length < longest; ++length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const char c : alphabet) texts.push_back(texts[begin] + c);
    }
  }
  return texts;
}

inline RegularLanguage PatternLanguage(const std::string& pattern) {
  RegularBudget budget;
  const auto language = RegularLanguage::OfPattern(pattern, &budget);
  EXPECT_TRUE(language.ok()) << pattern << ": " << language.status().message();
  return language.ok() ? *language : RegularLanguage();
}

/// Patterns over a, b and - in ECMAScript's language.
class PatternMaker {
 public:
  explicit PatternMaker(uint32_t seed) : random_(seed) {}

  uint32_t Below(uint32_t bound) { return random_() % bound; }
  /// Without ^, \b and their like in look-ahead, where the standard library takes them wrong.
  /// Not nested deeper than this by default, as the standard library tries all ways through nested repetitions.
  std::string Pattern(int depth = 2) {
    std::string pattern = Sequence(depth);
    if (Below(4) == 0) pattern += "|" + Sequence(depth);
    return pattern;
  }

 private:
  std::string Sequence(int depth) {
    std::string sequence;
    for (uint32_t parts = Below(4); parts > 0; --parts) sequence += Part(depth);
    return sequence;
  }
  std::string Part(int depth) {
    static const std::vector<std::string> assertions = {"^", "$", "\\b", "\\B"};
    static const std::vector<std::string> characters = {"a",   "b",   "\\-",  ".",     "[ab]",    "[^a]",
                                                        "\\w", "\\W", "[b-]", "[\\w]", "[^\\w-]", "[a-b]"};
    static const std::vector<std::string> repetitions = {"*",     "+",     "?",  "{2}", "{1,}",
                                                         "{0,2}", "{2,3}", "*?", "+?",  "??"};
    const auto any = [this](const std::vector<std::string>& of) {
      return of[Below(static_cast<uint32_t>(of.size()))];
    };
    const uint32_t kind = Below(12);
    if (kind == 0 && !ahead_) return any(assertions);
    if (kind == 1 && depth > 0) {
      const bool outer = std::exchange(ahead_, true);
      const std::string body = Pattern(depth - 1);
      ahead_ = outer;
      return (Below(2) == 0 ? "(?=" : "(?!") + body + ")";
    }
    // One random number after another: compilers differ in the order in which they evaluate operands.
    std::string part = any(characters);
    if (kind <= 4 && depth > 0) {
      part = Below(2) == 0 ? "(" : "(?:";
      part += Pattern(depth - 1);
      part += ')';
    }
    return Below(2) == 0 ? part : part + any(repetitions);
  }
  std::mt19937 random_;
  bool ahead_ = false;
};

}  // namespace tern::testing
