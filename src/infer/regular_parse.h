// Regular expressions as JSON Schema writes them: ECMAScript's, read into trees.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/grammar_chars.h"

namespace tern {

/// A regular expression as a tree whose nodes are numbered; children come before their parents.
struct RegularTree {
  enum class Kind : uint8_t {
    kSet,        ///< one character of `set`
    kSequence,   ///< the children one after another; without any: the empty text
    kChoice,     ///< one of the children
    kRepeat,     ///< the child, min to max times
    kStart,      ///< ^
    kEnd,        ///< $
    kBoundary,   ///< \b, or \B if negated
    kLookAhead,  ///< what follows begins with the child, or does not if negated
  };
  static constexpr uint32_t kUnbounded = UINT32_MAX;
  struct Node {
    Kind kind;
    bool negated = false;
    uint32_t set = 0;  ///< kSet: index into sets
    uint32_t min = 0, max = 0;
    std::vector<uint32_t> children = {};
  };
  std::vector<Node> nodes;
  std::vector<CharSet> sets;
  uint32_t root = 0;
};

/// Reads ECMAScript's expressions with Unicode characters as units: alternatives, groups (named ones too),
/// greedy and lazy repetitions, classes, \d \w \s \b and their opposites (\d and \w are ASCII), \p{…} with a
/// general category, \n \r \t \f \v \0 \cX \xHH \uHHHH \u{H…}, ^ and $ anywhere (the ends of the whole text),
/// look-ahead, the flags i and s of a group, (?i:…), and before the whole, (?i)…. Braces and closing brackets
/// that are not part of anything stand for themselves. kUnsupported, with the byte of the pattern, for the rest:
/// back references, look-behind, other flags.
Result<RegularTree> ParseRegular(std::string_view pattern);

}  // namespace tern
