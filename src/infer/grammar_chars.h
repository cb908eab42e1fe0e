// Sets of Unicode characters, and the sequences of bytes that encode them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tern {

/// From first to last, both included.
struct CharRange {
  int32_t first = 0, last = 0;
  bool operator==(const CharRange&) const = default;
};

/// A set of Unicode scalar values: ascending ranges that neither touch nor hold surrogates. A value.
class CharSet {
 public:
  CharSet() = default;
  /// Any ranges within 0 to 10FFFF, in any order; surrogates in them are left out.
  explicit CharSet(std::vector<CharRange> ranges);
  static CharSet All();

  CharSet Complement() const;
  CharSet Union(const CharSet& other) const;
  CharSet Minus(const CharSet& other) const;
  CharSet Intersection(const CharSet& other) const;
  bool Contains(int32_t character) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<CharRange>& ranges() const { return ranges_; }

 private:
  std::vector<CharRange> ranges_;
};

struct ByteRange {
  uint8_t low = 0, high = 0;
};

/// `length` bytes, each from its range: every such sequence is one character's UTF-8.
struct Utf8Sequence {
  std::array<ByteRange, 4> bytes = {};
  uint8_t length = 0;
};

/// The sequences that together are exactly the set's characters; no text fits two of them.
std::vector<Utf8Sequence> Utf8Sequences(const CharSet& set);

}  // namespace tern
